"""A scratch machine to try the agent on: an overlay of this one behind its own OpenSSH server on loopback.

Nothing done to it reaches this machine; it is gone when the program ends. Needs root. ``make playground``
starts it and writes ``playground/settings.yaml``, which names it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from tests.support.overlay import overlay_machine

FOLDER = Path("playground")
SETTINGS = """\
site_id: playground
state_dir: {folder}/state
known_hosts: {known_hosts}
gate: {{cooldown_s: 0}}   # no pause between two attempts, for the tour
targets:
  - id: front-desk
    transport: ssh
    host: {host}
    port: {port}
    user: operator
    identity_file: {identity_file}
    become: sudo
    checks: {{include: [LIN-BANNER-001, LIN-PERM-001, LIN-PERM-002, LIN-SSH-003]}}
"""


def main() -> None:
    """Run the machine until Ctrl-C."""
    if os.geteuid() != 0:
        sys.exit("the playground makes a machine of its own and needs root for that: sudo make playground")
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "machine").mkdir(parents=True)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with overlay_machine((FOLDER / "machine").absolute()) as machine:
        settings = SETTINGS.format(
            folder=FOLDER.absolute(),
            known_hosts=machine.known_hosts,
            host=machine.host,
            port=machine.port,
            identity_file=machine.identity_file,
        )
        (FOLDER / "settings.yaml").write_text(settings, encoding="utf-8")
        login = f"ssh -i {machine.identity_file} -o UserKnownHostsFile={machine.known_hosts} -p {machine.port}"
        (FOLDER / "ssh").write_text(f'#!/bin/sh\nexec {login} operator@{machine.host} "$@"\n', encoding="utf-8")
        (FOLDER / "ssh").chmod(0o755)
        print("A scratch machine runs. In another terminal:")
        print("  .venv/bin/compliance-agent plan -c playground/settings.yaml")
        print("  playground/ssh sudo chmod 0644 /etc/shadow      (plants a drift)")
        print("Ctrl-C ends it and leaves nothing behind.")
        try:
            while not over.wait(0.5):
                pass
        except KeyboardInterrupt:
            print("Ending the machine.")
    shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()

"""Our side of the fleet benchmark, in a process of its own: ``python -m benchmarks.fleet_ours FOLDER MODE [...]``.

Modes: ``scan`` (what the agent does: one bundle a target), ``execs`` (a bare command a check over one connection),
``connections`` (a connection a check); the last two by the same connector, without our framing. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.fleet_checks import COMMANDS, make_engine, make_target
from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.connector import Connector
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.observation import Verdict
from compliance_agent.engine.scan import scan_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from compliance_agent.adapters.transports.link import Link
    from compliance_agent.domain.target import Target


def _all_scanned(transport: SshTransport, folder: Path, checks: int) -> Callable[[Target], bool]:
    engine = make_engine(folder, transport, checks)
    now = datetime.now(UTC)

    def scan(target: Target) -> bool:
        found = scan_target(engine, target, engine.checks_for(target), now=now)
        verdicts = [seen.verdict for seen in found.observations]
        return verdicts == [Verdict.PASS] * checks

    return scan


def _exec(link: Link, command: str) -> bool:
    channel = link.transport.open_session(timeout=60)
    channel.settimeout(60)
    channel.exec_command(command)
    output = b"".join(iter(lambda: channel.recv(65_536), b""))
    code = channel.recv_exit_status()
    channel.close()
    return bool(output) and code == 0


def _execs(connector: Connector, target: Target) -> bool:
    link = connector.connect(target)
    try:
        return sum(_exec(link, command) for command in COMMANDS) == len(COMMANDS)
    finally:
        link.close()


def _connections(connector: Connector, target: Target) -> bool:
    good = True
    for command in COMMANDS:
        link = connector.connect(target)
        good = _exec(link, command) and good
        link.close()
    return good


def _measure(pool: ThreadPoolExecutor, work: Callable[[Target], bool], targets: Sequence[Target]) -> dict[str, float]:
    began, cpu = time.monotonic(), time.process_time()
    good = sum(pool.map(work, targets))
    return {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - cpu, "good": good}


def main() -> None:
    """Run one mode and print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("mode", choices=["scan", "execs", "connections"])
    parser.add_argument("--checks", type=int, default=len(COMMANDS))
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--idle", type=float, default=0.0, help="seconds to watch the kept connections do nothing")
    options = parser.parse_args()
    work = json.loads((options.folder / "work.json").read_text())
    limits = SshOptions(60, 60, 60, 60, idle_limit_s=300 if options.passes > 1 or options.idle else 0)
    known_hosts, credentials = KnownHosts([options.folder / "known_hosts"]), CredentialReader()
    transport = SshTransport(limits, known_hosts, credentials)
    connector = Connector(limits, known_hosts, credentials)
    targets = [make_target(host, options.folder / "user_key", options.checks) for host in work["hosts"]]
    modes: dict[str, Callable[[Target], bool]] = {
        "execs": lambda target: _execs(connector, target),
        "connections": lambda target: _connections(connector, target),
    }
    if options.mode == "scan":
        modes["scan"] = _all_scanned(transport, options.folder, options.checks)
    with ThreadPoolExecutor(work["at_once"]) as pool:
        passes = [_measure(pool, modes[options.mode], targets) for _ in range(options.passes)]
    idle_share = 0.0
    if options.idle:
        began, cpu = time.monotonic(), time.process_time()
        time.sleep(options.idle)
        idle_share = (time.process_time() - cpu) / (time.monotonic() - began)
    print(
        json.dumps(
            {
                "passes": passes,
                "kept": transport.kept_connections,
                "idle_share": idle_share,
                "good": min(one["good"] for one in passes),
            }
        ),
        flush=True,
    )
    os._exit(0)  # the end of kept connections is not what is measured


if __name__ == "__main__":
    main()

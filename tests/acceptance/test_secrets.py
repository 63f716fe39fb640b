"""Secrets stay where they are: not in output, logs, the state, or any command line, on either machine."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.support.cli import Site, command, environment, outcomes
from tests.support.overlay import CLERK_PASSWORD, overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

CANARY = "canary-on-the-command-line"


class CommandLines:
    """Samples every process's arguments and environment while a block runs (the namespaces' own included)."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.rounds = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.is_set():
            self.rounds += 1
            for folder in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.seen.add((folder / name).read_bytes().replace(b"\0", b" "))
            self._over.wait(0.05)

    def hold(self, secret: str) -> bool:
        return any(secret.encode() in line for line in self.seen)


def key_lines(path: Path) -> list[str]:
    """Return the base64 lines of a private key that are its own (the first ones are the same for all)."""
    return path.read_text().splitlines()[2:-1]


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    with overlay_machine(tmp_path) as machine:
        password = tmp_path / "sudo-password"
        password.write_text(f"{CLERK_PASSWORD}\n")
        password.chmod(0o600)
        found = Site(tmp_path, machine, checks="[LIN-PERM-001, LIN-BANNER-001]")
        found.login = f"user: clerk\n    become_password_file: {password}"
        found.write()
        machine.run("chmod 0644 /etc/shadow; rm -f /etc/issue", check=True)
        yield found


def traces_of(folder: Path, secret: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_a_sudo_password_and_a_private_key_are_nowhere_to_be_found(site):
    said: list[str] = []
    site.machine.mark()

    def note(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
        said.append(done.stdout + done.stderr)
        return done

    with CommandLines() as lines:
        assert note(site("plan", "-v")).returncode == 2
        document, code = site.json("apply", "--yes")
        assert (set(outcomes(document).values()), code) == ({"remediated"}, 0)
        said.append(str(document))
        site.machine.run("chmod 0644 /etc/shadow", check=True)
        debug = site.settings.read_text().replace("gate:", "log: {level: debug}\ngate:")
        site.settings.write_text(debug)
        assert note(site("run", "--once")).returncode == 0
        for name in ("status", "doctor"):
            note(site(name))
        assert note(site("config", "show")).returncode == 0
        assert note(site("targets", "test")).returncode == 0
        site.machine.run(f": {CANARY}; sleep 0.3")
    secrets = [CLERK_PASSWORD, *key_lines(site.machine.identity_file)]
    assert len(secrets) >= 3
    assert lines.rounds > 5
    assert lines.hold(CANARY), "the sampling must see the commands inside the machine"
    for secret in secrets:
        assert [text for text in said if secret in text] == []
        assert traces_of(site.state, secret) == []
        assert not lines.hold(secret)
    written = "\n".join(sorted(site.machine.changed_files()))
    assert "/etc/issue" in written
    assert site.machine.run(f"xargs -d '\\n' grep -lsF -d skip '{CLERK_PASSWORD}'", stdin=written).stdout == ""


def test_a_wrong_sudo_password_is_told_without_it(site):
    wrong = "hunter2-battery-staple"
    (site.folder / "sudo-password").write_text(f"{wrong}\n")
    for arguments in (("plan", "-v"), ("apply", "--yes", "-v"), ("targets", "test")):
        done = site(*arguments)
        assert done.returncode == 4
        assert wrong not in done.stdout + done.stderr
    assert traces_of(site.state, wrong) == []


def test_a_secret_as_a_value_is_refused_and_not_repeated(site):
    value = "hunter2-battery-staple"
    site.settings.write_text(site.settings.read_text().replace("become: sudo", f"become: sudo\n    password: {value}"))
    done = subprocess.run(
        command("plan", "-c", str(site.settings)), capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 1
    assert f"{site.settings}:" in done.stderr
    assert value not in done.stdout + done.stderr

"""The command line as a process, as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.overlay import OverlayMachine

TIMEOUT_S = 120
REPOSITORY: Final = Path(__file__).parents[2]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "compliance_agent", *arguments]


def environment(**more: str) -> dict[str, str]:
    """The environment of a plain shell: no settings of the developer's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COMPLIANCE_AGENT")}
    return {**kept, "NO_COLOR": "1", **more}


def cli(*arguments: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command line, in a process of its own that is forked from one that has everything imported."""
    with ExitStack() as opened:
        given, out, err = (opened.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(3))
        if stdin is not None:
            given.write(stdin)
            given.seek(0)
        status = _warm().run(arguments, environment(**variables), [stream.fileno() for stream in (given, out, err)])
        for stream in (out, err):
            stream.seek(0)
        code = os.waitstatus_to_exitcode(status)
        return subprocess.CompletedProcess(["compliance-agent", *arguments], code, out.read(), err.read())


class WarmCommandLine:
    """The process of ``warm_cli.py``, as long as this one lives."""

    def __init__(self, *, measured: bool) -> None:
        """Start it; with ``measured``, what the commands run is counted as covered."""
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        variables = {"COVERAGE_PROCESS_START": str(REPOSITORY / "pyproject.toml")} if measured else {}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm_cli", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=REPOSITORY,
                env=environment(**variables),
            )

    def run(self, arguments: Sequence[str], variables: Mapping[str, str], streams: Sequence[int]) -> int:
        """Run one command line and return its wait status. Threads may do so at the same time."""
        order = json.dumps({"arguments": arguments, "environment": dict(variables), "folder": str(Path.cwd())})
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(self._orders, [order.encode()], [*streams, theirs.fileno()])
            ours.settimeout(TIMEOUT_S)
            with ours.makefile() as said:
                pid = int(said.readline())
                try:
                    return int(said.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise

    def close(self) -> None:
        """End it and wait, so that what was measured is on the disk."""
        self._orders.close()
        self._process.wait(TIMEOUT_S)


_warmed: list[WarmCommandLine] = []
measuring = False
"""Whether this run measures coverage; ``conftest.py`` sets it."""


def _warm() -> WarmCommandLine:
    if not _warmed:
        _warmed.append(WarmCommandLine(measured=measuring))
    return _warmed[0]


def end_warm_processes() -> None:
    """End what ``cli`` started; ``conftest.py`` calls it at the end of a run."""
    while _warmed:
        _warmed.pop().close()


@dataclass
class Site:
    """A settings file for one overlay machine, and the commands over it."""

    folder: Path
    machine: OverlayMachine
    checks: str = "[LIN-BANNER-001, LIN-PERM-001, LIN-PERM-002, LIN-SSH-003]"
    extra: str = ""
    login: str = "user: operator"
    become: str = "sudo"

    @property
    def settings(self) -> Path:
        return self.folder / "settings.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def write(self) -> None:
        machine = self.machine
        self.settings.write_text(
            f"""\
site_id: north-valley
state_dir: {self.state}
known_hosts: {machine.known_hosts}
gate: {{cooldown_s: 0}}
{self.extra}
targets:
  - id: front-desk
    transport: ssh
    host: {machine.host}
    port: {machine.port}
    {self.login}
    identity_file: {machine.identity_file}
    become: {self.become}
    checks: {{include: {self.checks}}}
""",
            encoding="utf-8",
        )

    def __call__(self, name: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return cli(name, *arguments, "-c", str(self.settings), stdin=stdin)

    def json(self, name: str, *arguments: str) -> tuple[dict[str, Any], int]:
        """Run a command with ``-o json``; return its document and exit code."""
        done = self(name, *arguments, "-o", "json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout), done.returncode


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    """Check id to outcome, for what drifted."""
    return {
        check["check"]: check["outcome"]
        for target in document["targets"]
        for check in target["checks"]
        if "outcome" in check
    }


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    """Check id to verdict."""
    return {check["check"]: check["verdict"] for target in document["targets"] for check in target["checks"]}

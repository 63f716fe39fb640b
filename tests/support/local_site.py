"""A site whose only target is this machine, with test runbooks over files in a temporary folder. Needs no root."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.cli import cli, command, environment
from tests.support.sshd import descendants
from tests.support.turns import RUNBOOK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

WAIT_S = 60
"""Longest wait for something that comes within seconds on an idle machine."""

HEALS = "TEST-FILE-001"
HEAL = 'printf good >"$PARAM_PATH"'


@dataclass
class LocalSite:
    """A settings file with its runbooks and rules, and the commands over it."""

    folder: Path
    remedies: Mapping[str, str] = field(default_factory=lambda: {HEALS: HEAL})
    targets: str = ""
    extra: str = ""
    rules: Sequence[Mapping[str, object]] | None = None

    @property
    def settings(self) -> Path:
        return self.folder / "settings.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def write(self) -> LocalSite:
        """Write everything anew; every file says good."""
        content, rules = self.folder / "content", self.folder / "rules"
        content.mkdir(exist_ok=True)
        rules.mkdir(exist_ok=True)
        for check_id, remedy in self.remedies.items():
            text = RUNBOOK.format(id=check_id, remedy=remedy, path=self.path(check_id))
            (content / f"{check_id}.yaml").write_text(text, encoding="utf-8")
            self.say("good", check_id)
        found = self.rules if self.rules is not None else [a_rule(check_id) for check_id in self.remedies]
        (rules / "local.json").write_text(json.dumps({"rules": found}), encoding="utf-8")
        self.write_settings()
        return self

    def write_settings(self, **changes: str) -> None:
        """Write the settings, whole or not at all, as an editor does."""
        values = {"interval": "5", "extra": self.extra, "targets": self.targets or self.target("front-desk"), **changes}
        fresh = self.folder / "settings.new"
        fresh.write_text(
            f"""\
site_id: north-valley
state_dir: {self.state}
runbooks: {{paths: [content]}}
rules: {{paths: [rules]}}
gate: {{cooldown_s: 0}}
schedule: {{linux_interval_s: {values["interval"]}, jitter: 0}}
{values["extra"]}
targets:
{values["targets"]}
""",
            encoding="utf-8",
        )
        fresh.replace(self.settings)

    def target(self, target_id: str, *checks: str) -> str:
        return f"  - {{id: {target_id}, transport: local, checks: {{include: [{', '.join(checks or self.remedies)}]}}}}"

    def path(self, check_id: str = HEALS) -> Path:
        return self.folder / check_id

    def say(self, text: str, check_id: str = HEALS) -> None:
        self.path(check_id).write_text(text, encoding="utf-8")

    def says(self, check_id: str = HEALS) -> str:
        return self.path(check_id).read_text(encoding="utf-8")

    def __call__(self, *arguments: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return cli(*arguments, "-c", str(self.settings), stdin=stdin, **variables)

    def json(self, *arguments: str) -> tuple[dict[str, Any], int]:
        """Run a command with ``-o json``; return its document and exit code."""
        done = self(*arguments, "-o", "json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout), done.returncode

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the state file itself, past the product's own reader."""
        with closing(sqlite3.connect(f"file:{self.state / 'state.sqlite'}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()

    @contextmanager
    def daemon(self, *arguments: str, **variables: str) -> Iterator[RunningDaemon]:
        """Run the daemon until the block ends."""
        with run_daemon("-c", str(self.settings), *arguments, **variables) as daemon:
            yield daemon


def a_rule(check_id: str, action: str | None = None, **changes: object) -> dict[str, object]:
    rule = {
        "rule_id": f"T-{check_id}",
        "incident_pattern": {"check_id": check_id},
        "action": action or f"run_linux_runbook:{check_id}",
    }
    return {**rule, **changes}


class RunningDaemon:
    """A daemon's process and what it has logged so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait until an event with these fields was logged, and return it."""
        return self.wait_for_nth(1, event, **fields)

    def wait_for_nth(self, number: int, event: str, **fields: object) -> dict[str, Any]:
        """Wait for the ``number``-th such event, counted from 1."""
        deadline, wanted, seen, found = time.monotonic() + WAIT_S, {"event": event, **fields}, 0, 0
        with self._news:
            while True:
                while seen < len(self.lines):
                    seen += 1
                    one = json.loads(self.lines[seen - 1])
                    found += wanted.items() <= one.items()
                    if found == number:
                        return dict(one)
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"no {wanted} in:\n{''.join(self.lines)}"
                self._news.wait(min(left_s, 0.5))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        return self.join()

    def join(self) -> int:
        code = self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return code

    def kill(self) -> None:
        """End it as a power cut does, with everything that it started."""
        below = descendants(self.process.pid)
        self.process.kill()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.join()


@contextmanager
def run_daemon(*arguments: str, **variables: str) -> Iterator[RunningDaemon]:
    """Run ``compliance-agent run`` until the block ends."""
    process = subprocess.Popen(
        command("run", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    )
    with process:
        daemon = RunningDaemon(process)
        try:
            yield daemon
        finally:
            if process.poll() is None:
                daemon.kill()
            daemon.join()


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def on_a_terminal(
    *arguments: str, answers: Sequence[tuple[str, str]] = (), columns: int = 160, **variables: str
) -> tuple[str, int]:
    """Run one command line on a terminal; return all that it showed, and its exit code.

    ``answers`` are pairs: when the first was shown, the second is typed (``^C`` interrupts).
    """
    shown = environment(TERM="xterm-256color", COLUMNS=str(columns), **variables)
    if variables.get("NO_COLOR") is None:
        del shown["NO_COLOR"]
    ours, theirs = pty.openpty()
    # A test run in the background ignores SIGINT, and so would what it starts.
    line = ["env", "--default-signal=INT", *command(*arguments)]
    with subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, env=shown) as process:
        os.close(theirs)
        waiting, text = list(answers), b""
        try:
            while data := _read_terminal(ours):
                text += data
                if waiting and waiting[0][0].encode() in text:
                    _type(process, ours, waiting.pop(0)[1])
        finally:
            os.close(ours)
            if waiting:
                process.kill()
        return text.decode(), process.wait(WAIT_S)


def _type(process: subprocess.Popen[bytes], descriptor: int, answer: str) -> None:
    if answer == "^C":  # the terminal is not the process's controlling one, so the key itself would not do it
        _await_rest(process)
        process.send_signal(signal.SIGINT)
    else:
        os.write(descriptor, answer.encode())


def _await_rest(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process waits: a signal just before Python's input() blocks is seen only at the next key."""
    asleep = 0
    while asleep < 20 and process.poll() is None:
        with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:  # noqa: PTH123 - as short as it gets
            asleep = asleep + 1 if file.read().rpartition(")")[2].split()[0] == "S" else 0
        time.sleep(0.02)


def _read_terminal(descriptor: int) -> bytes:
    readable, _, _ = select.select([descriptor], [], [], WAIT_S)
    assert readable, "the terminal stayed silent"
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # the other side is gone: that is a terminal's end of file
        return b""

"""The command line as a process, as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.overlay import OverlayMachine

TIMEOUT_S = 120


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "compliance_agent", *arguments]


def environment(**more: str) -> dict[str, str]:
    """The environment of a plain shell: no settings of the developer's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COMPLIANCE_AGENT")}
    return {**kept, "NO_COLOR": "1", **more}


def cli(*arguments: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command line."""
    return subprocess.run(
        command(*arguments),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=environment(**variables),
    )


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

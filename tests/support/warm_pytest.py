"""Runs pytest again and again, each time in a process of its own that has the libraries imported already.

``python -m tests.support.warm_pytest`` reads lines of JSON on standard input (``arguments`` for pytest, ``output``:
the file for what it prints) and answers each with pytest's exit code. The product is not imported here, so every run
imports what lies in its folder.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Final, NoReturn

import pytest

BROKEN: Final = 99
"""Exit code of a run in which pytest itself broke."""

LIBRARIES: Final = (
    "hypothesis",
    "msgspec",
    "paramiko",
    "pydantic",
    "re2",
    "ahocorasick",
    "requests",
    "structlog",
    "yaml",
)


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run_and_exit(asked["arguments"], asked["output"])
        _, status = os.waitpid(pid, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def _run_and_exit(arguments: list[str], output: str) -> NoReturn:
    """Run pytest as the only work of this process. Nothing may come back from here."""
    code = BROKEN
    try:
        nothing, printed = os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(nothing, 0)
        for stream in (1, 2):
            os.dup2(printed, stream)
        code = int(pytest.main(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - it is told in the output, and by the exit code
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()

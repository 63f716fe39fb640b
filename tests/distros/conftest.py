"""The whole systems start only for ``make distros``; every other run says in one line that they did not."""

from __future__ import annotations

import os
from typing import Final

import pytest

pytest.register_assert_rewrite("tests.distros.driver")

WANTED: Final = bool(os.environ.get("DISTROS"))
collect_ignore = [] if WANTED else ["test_every_runbook.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what did not run, and why."""
    if not WANTED:
        what = "tests/distros/test_every_runbook.py: every Linux runbook on whole systems"
        terminalreporter.line(f"NOT RUN (make distros does): {what}", yellow=True)
        return
    from tests.distros.driver import TABLE

    terminalreporter.section("NOT RUN on whole systems, or with a stand-in", yellow=True, bold=True)
    for runbook_id, reason in TABLE["not_run"].items():
        terminalreporter.line(f"NOT RUN: {runbook_id}: {reason}", yellow=True)
    for one in TABLE["stand_ins"]:
        terminalreporter.line(f"STAND-IN: {one}", yellow=True)

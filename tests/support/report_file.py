"""A pytest plugin that writes what became of each test, and which package was tested, into a file (``REPORT_FILE``)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import compliance_agent

if TYPE_CHECKING:
    from collections.abc import Generator

_REPORTS: list[dict[str, Any]] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the outcome of each phase, and the classes of the exception that ended it."""
    report = yield
    classes = [one.__name__ for one in call.excinfo.type.__mro__] if call.excinfo else []
    _REPORTS.append({"test": item.nodeid, "when": report.when, "outcome": report.outcome, "exception": classes})
    return report


def pytest_sessionfinish() -> None:
    """Write the file."""
    found = {"package": compliance_agent.__file__, "reports": _REPORTS}
    Path(os.environ["REPORT_FILE"]).write_text(json.dumps(found), encoding="utf-8")

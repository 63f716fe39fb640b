"""What every test shares: hypothesis profiles, and a loud list of tests that this machine cannot run.

A test that needs root, a command or a variable says so with a marker (``root``, ``needs``,
``needs_variable``). Where that is absent, the test is taken out of the run and named, with the
reason, above pytest's closing line; nothing is left out silently.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import pytest

from tests.support import cli

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# No deadline: the cores are shared, and a slow moment is no failure. "ci" draws the same examples in
# every run and keeps no database, so that one run cannot depend on another.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=5000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

# System administration's own folders are not on every user's PATH, but sshd and ip live there.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])

_NOT_RUN: Final = pytest.StashKey[dict[str, str]]()

MEASURED: Final = frozenset({"unit", "contract", "acceptance", "central"})
"""Folders whose tests count for coverage; the others repeat what these run, and Python at a third of its speed."""


def pytest_configure(config: pytest.Config) -> None:
    """Start with nothing left out."""
    config.stash[_NOT_RUN] = {}
    controller = _coverage(config)
    cli.measuring = controller is not None
    if controller is not None and hasattr(config, "workerinput"):
        # A worker first takes itself for the process that hands out the tests, and starts measuring as that does;
        # pytest-cov forgets this when it starts the worker's own, and it would go on beneath, paused by nobody.
        controller.cov.stop()


def _coverage(config: pytest.Config) -> Any:
    """Return pytest-cov's controller, or ``None`` where this run measures nothing."""
    return getattr(config.pluginmanager.getplugin("_cov"), "cov_controller", None)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Take tests whose lines others run, too, out of the measuring of coverage."""
    controller = _coverage(item.config)
    if controller is None or _is_measured(item):
        yield
        return
    controller.pause()
    yield
    controller.resume()


def _is_measured(item: pytest.Item) -> bool:
    folder = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    return folder in MEASURED and item.get_closest_marker("unmeasured") is None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what cannot run here, and remember why."""
    not_run = {item.nodeid: reason for item in items if (reason := _reason_not_to_run(item))}
    config.stash[_NOT_RUN].update(not_run)
    items[:] = [item for item in items if item.nodeid not in not_run]


def _reason_not_to_run(item: pytest.Item) -> str:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        return "needs root"
    for command in _arguments(item.iter_markers("needs")):
        if shutil.which(command) is None:
            return f"needs the command {command}"
    for name in _arguments(item.iter_markers("needs_variable")):
        if not os.environ.get(name):
            return f"needs the variable {name}"
    return ""


def _arguments(markers: Iterable[pytest.Mark]) -> list[str]:
    return [argument for marker in markers for argument in marker.args]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's list to the process that prints (pytest-xdist), and end what tests share."""
    cli.end_warm_processes()
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["not_run"] = session.config.stash[_NOT_RUN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over a worker's list (pytest-xdist); every worker brings the same one."""
    node.config.stash[_NOT_RUN].update(getattr(node, "workeroutput", {}).get("not_run", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name every test that did not run, and why."""
    not_run = config.stash[_NOT_RUN]
    if not not_run:
        return
    terminalreporter.section(f"{len(not_run)} tests DID NOT RUN on this machine", yellow=True, bold=True)
    for nodeid, reason in sorted(not_run.items()):
        terminalreporter.line(f"NOT RUN ({reason}): {nodeid}", yellow=True)

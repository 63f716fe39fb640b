"""A copy of the product in which one guard is taken out, and tests run against it."""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY: Final = Path(__file__).parents[2]
COPIED: Final = ("compliance_agent", "runbooks", "nix")
LINKED: Final = ("tests", "docs", "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile")
_TIMEOUT_S: Final = 120
_BELONGS_TO_THIS_RUN: Final = ("PYTEST_", "COV_", "COVERAGE_", "HYPOTHESIS_")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run of tests against a copy said.

    Attributes:
        exit_code: Of pytest.
        package: The file of the package that was imported.
        outcomes: Test to how its body ended: ``passed``, or ``failed`` with the classes of the exception.
        text: All that pytest printed.

    """

    exit_code: int
    package: str
    outcomes: dict[str, tuple[str, list[str]]]
    text: str


class MutatedCopy:
    """One copy, made once; ``without`` changes one file of it for as long as a block."""

    def __init__(self, folder: Path) -> None:
        """Copy what can be mutated and link what need not be."""
        self.folder = folder
        for name in COPIED:
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in LINKED:
            (folder / name).symlink_to(REPOSITORY / name)
        # Compiled files that are checked by content: a change within one tick of the clock is seen, too.
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(folder / "compliance_agent", quiet=1, invalidation_mode=mode)
        self._pytest = self._start()

    @contextmanager
    def without(self, file: str, old: str, new: str) -> Iterator[None]:
        """Replace the one place where ``old`` stands by ``new`` until the block ends."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        count = text.count(old)
        assert count == 1, f"{file}: stands {count} times, not once: {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(text, encoding="utf-8")

    def run(self, *tests: str) -> Verdict:
        """Run tests of this copy in a process of their own."""
        report, output = self.folder / "report.json", self.folder / "output.txt"
        for file in (report, output):
            file.unlink(missing_ok=True)
        options = ["-q", "-p", "tests.support.report_file", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"]
        options += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]  # imported to be quick
        assert self._pytest.stdin is not None
        assert self._pytest.stdout is not None
        self._pytest.stdin.write(json.dumps({"arguments": [*options, *tests], "output": str(output)}) + "\n")
        self._pytest.stdin.flush()
        exit_code = int(self._pytest.stdout.readline())
        text = output.read_text(encoding="utf-8")
        assert report.exists(), text
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        outcomes = {
            one["test"]: (one["outcome"], one["exception"]) for one in found["reports"] if one["when"] == "call"
        }
        return Verdict(exit_code, found["package"], outcomes, text)

    def close(self) -> None:
        """End the process that runs the tests."""
        self._pytest.communicate(timeout=_TIMEOUT_S)

    def _start(self) -> subprocess.Popen[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_BELONGS_TO_THIS_RUN)}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm_pytest"],
            cwd=self.folder,
            env={
                **kept,
                "PYTHONPATH": str(self.folder),
                "PYTHONDONTWRITEBYTECODE": "1",
                "REPORT_FILE": str(self.folder / "report.json"),
                "CI": "true",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

"""What files were like, and which of them are not any more."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.file_states import differing, files_step, read_file_states
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "a" * 64
BEFORE = f"""\
strict\t644 0:0 regular file\t/etc/a
{DIGEST}  /etc/a
strict\tlink\t'/etc/l' -> 'a'
loose\t1777 0:0\t/tmp/x
"""


def against(changed: str) -> tuple[str, ...]:
    return differing(read_file_states(BEFORE), read_file_states(changed))


def test_the_same_listing_in_another_order_differs_in_nothing() -> None:
    assert against("\n".join(reversed(BEFORE.splitlines()))) == ()


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ("644 0:0 regular", "600 0:0 regular", ("/etc/a",)),
        ("644 0:0 regular", "644 0:4 regular", ("/etc/a",)),
        (DIGEST, "b" * 64, ("/etc/a",)),
        ("-> 'a'", "-> 'b'", ("'/etc/l' -> 'a'", "'/etc/l' -> 'b'")),
        ("1777 0:0", "4755 0:0", ("/tmp/x",)),
        ("loose\t1777 0:0\t/tmp/x\n", "", ()),
        ("loose", "loose\t600 0:0\t/tmp/y\nloose", ()),
        ("strict\tlink", "strict\t644 0:0 regular file\t/etc/n\nstrict\tlink", ("/etc/n",)),
        ("strict\tlink", "strict\t600 0:0 regular file\t/etc/shadow-\nstrict\tlink", ()),
    ],
)
def test_content_mode_owner_and_what_is_there_count_but_not_what_comes_and_goes(
    old: str, new: str, paths: tuple[str, ...]
) -> None:
    assert against(BEFORE.replace(old, new, 1)) == paths


def test_a_listing_without_any_digest_is_no_listing() -> None:
    with pytest.raises(ComplianceAgentError, match="did not say"):
        read_file_states("strict\t644 0:0 regular file\t/etc/a\n")


def test_the_step_lists_real_files_by_content_mode_and_owner(tmp_path: Path) -> None:
    tree = tmp_path / "etc"
    tree.mkdir()
    (tree / "a b").write_text("x")
    (tree / "l").symlink_to("a b")
    script = files_step().script.replace("for tree in /etc /boot", f"for tree in {tree} /absent")
    listing = lambda: read_file_states(subprocess.check_output(["/bin/sh", "-c", script], text=True))  # noqa: E731
    before = listing()
    (tree / "a b").write_text("y")
    (tree / "l").unlink()
    (tree / "l").symlink_to("c")
    changed = differing(before, listing())
    assert f"{tree}/a b" in changed
    assert sum("->" in path for path in changed) == 2

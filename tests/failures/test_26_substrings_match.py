"""Failure 26: names were compared by substring, so ``group1`` was ``group16``, too.

Here names are compared whole; whoever means several writes a wildcard or an operator that says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.incident import fingerprint
from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.target import CheckSelection
from tests.support.turns import make_world

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.domain.json_value import JsonValue


@pytest.mark.parametrize("pattern", [{"target_id": "group1"}, {"tags": ["group1"]}, {"target_id": {"$in": ["group1"]}}])
def test_a_rule_for_group1_leaves_group16_alone(pattern: dict[str, JsonValue]) -> None:
    rule = compile_pattern(pattern)
    assert rule.matches({"target_id": "group1", "tags": ["group1"]})
    assert not rule.matches({"target_id": "group16", "tags": ["group16"]})
    assert not rule.matches({"target_id": "agroup1", "tags": ["agroup1"]})


@pytest.mark.parametrize(
    ("include", "found"),
    [
        ("TEST-FILE-001", ["TEST-FILE-001"]),
        ("TEST-FILE-00", []),
        ("FILE-001", []),
        ("test-file-001", []),
        ("TEST-FILE-00?", ["TEST-FILE-001", "TEST-FILE-002", "TEST-FILE-003"]),
    ],
)
def test_a_check_is_chosen_by_its_whole_id_or_by_a_wildcard(tmp_path: Path, include: str, found: list[str]) -> None:
    world = make_world(tmp_path)
    target = replace(world.target, checks=CheckSelection(include=(include,)))
    assert [check.id for check in world.engine.checks_for(target)] == found


def test_no_two_triples_of_names_share_a_fingerprint() -> None:
    names = [("group1", "6"), ("group", "16"), ("group16", ""), ("", "group16")]
    assert len({fingerprint("clinic", target, check) for target, check in names}) == len(names)

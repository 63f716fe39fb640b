"""Rule files on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.rule_files import builtin_rules_path, load_rule_files
from compliance_agent.domain.rule import RuleSource
from compliance_agent.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def document(*rule_ids: str) -> str:
    rules = "".join(f"  - {{rule_id: {one}, incident_pattern: {{a: 1}}, action: a:b}}\n" for one in rule_ids)
    return f"rules:\n{rules}"


def test_a_folder_gives_its_yaml_and_json_files_by_name(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(document("B"))
    (tmp_path / "a.yaml").write_text(document("A"))
    (tmp_path / "c.json").write_text('{"rules": [{"rule_id": "C", "incident_pattern": {"a": 1}, "action": "a:b"}]}')
    (tmp_path / "README.md").write_text("no rules")
    (tmp_path / ".hidden.yaml").write_text("no rules")
    rules, quarantined = load_rule_files([tmp_path], RuleSource.LOCAL)
    assert [rule.rule_id for rule in rules] == ["A", "B", "C"]
    assert quarantined == []


def test_a_duplicate_over_two_files_is_quarantined_with_the_place_of_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text(document("X"))
    second.write_text(document("Z", "X"))
    rules, quarantined = load_rule_files([first, second], RuleSource.LOCAL)
    assert [rule.rule_id for rule in rules] == ["X", "Z"]
    assert quarantined[0].reason == f"duplicate of {first}:2; give it an id of its own"
    assert quarantined[0].place == f"{second}:3"


def test_every_bad_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("rules: 5\n")
    (tmp_path / "b.yaml").write_text("rules: [\n")
    with pytest.raises(InputError) as caught:
        load_rule_files([tmp_path, tmp_path / "none.yaml"], RuleSource.LOCAL)
    assert [problem.source for problem in caught.value.problems] == [
        str(tmp_path / name) for name in ("a.yaml", "b.yaml", "none.yaml")
    ]


def test_an_empty_folder_holds_no_rules(tmp_path: Path) -> None:
    assert load_rule_files([tmp_path], RuleSource.LOCAL) == ([], [])


def test_the_built_in_rules_belong_to_the_package() -> None:
    assert builtin_rules_path().parts[-2:] == ("compliance_agent", "rules")

"""Rules, incidents and cases come from elsewhere; none of them may steer the terminal of who looks at them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.local_site import LocalSite, on_a_terminal

if TYPE_CHECKING:
    from pathlib import Path

STEERING = "\x1b]0;taken\x07"
"""Sets the title of a terminal's window."""

RULES: list[dict[str, Any]] = [
    {"rule_id": f"bad{STEERING}", "incident_pattern": {"a": 1}, "action": f"alert:x{STEERING}"},
    {"rule_id": "broken", "incident_pattern": {STEERING: {"$foo": STEERING}}, "action": f"alert:x{STEERING}"},
    {"rule_id": "wins", "name": STEERING, "incident_pattern": {"a": 1}, "action": f"alert:x{STEERING}", "priority": 1},
    {"rule_id": "later", "name": STEERING, "incident_pattern": {"a": 1}, "action": f"alert:y{STEERING}"},
    {"rule_id": "misses", "incident_pattern": {STEERING: {"$regex": f"^[{STEERING}]+$"}}, "action": "alert:x"},
    {"rule_id": "misses-2", "incident_pattern": {STEERING: STEERING}, "action": "alert:x"},
]
INCIDENT = {"a": 1, "incident_id": f"i\n{STEERING}", STEERING: [STEERING]}
CASES = [{"name": STEERING, "incident": INCIDENT, "expect": {"rules": [f"no{STEERING}", "misses-2"], "action": None}}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    LocalSite(tmp_path, rules=RULES).write()
    for name, content in (
        ("rules", {"rules": RULES}),
        ("next", {"rules": [{**one, "priority": 200} for one in RULES if one["rule_id"] != "wins"]}),
        ("unknown", {"rules": [], STEERING: 1}),
        ("incident", INCIDENT),
        ("cases", {"cases": CASES}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "explain incident.json --rules rules.json",
        "explain incident.json --rules rules.json --rule misses",
        "explain incident.json --rules rules.json --rule later",
        "explain incident.json --rules rules.json --rule broken",
        "explain incident.json --rules unknown.json",
        "rules list -c settings.yaml",
        "rules lint rules.json",
        "rules test cases.json --rules rules.json",
        "rules replay --incidents incident.json --rules rules.json --against next.json",
    ],
)
def test_no_command_about_rules_lets_them_steer_the_terminal(folder, monkeypatch, line) -> None:
    monkeypatch.chdir(folder)
    shown, _code = on_a_terminal(*line.split())
    assert "taken" in shown
    assert "\x1b]" not in shown
    assert "\x07" not in shown

from __future__ import annotations

import pytest

from compliance_agent.domain.facts import FactError, parse_facts
from compliance_agent.domain.runbook import FactSchema

SCHEMA = {
    "name": FactSchema(type="string"),
    "count": FactSchema(type="integer"),
    "on": FactSchema(type="boolean"),
    "paths": FactSchema(type="list"),
    "extra": FactSchema(type="string", optional=True),
}
GOOD = "name=a=b c\ncount=-3\non=true"


def test_lines_become_typed_facts() -> None:
    assert parse_facts(GOOD + "\npaths=/a\npaths=/b\n\n", SCHEMA) == {
        "name": "a=b c",
        "count": -3,
        "on": True,
        "paths": ["/a", "/b"],
    }


def test_a_list_without_a_line_is_empty() -> None:
    assert parse_facts(GOOD, SCHEMA)["paths"] == []


def test_an_empty_value_is_an_empty_string() -> None:
    assert parse_facts(GOOD.replace("a=b c", ""), SCHEMA)["name"] == ""


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("", "did not report the fact name"),
        (GOOD + "\nnoise", "no fact"),
        (GOOD + "\nother=1", "unknown fact other"),
        (GOOD + "\ncount=4", "twice"),
        (GOOD.replace("-3", "3.5"), "no integer"),
        (GOOD.replace("-3", ""), "no integer"),
        (GOOD.replace("-3", "9" * 19), "no integer"),
        (GOOD.replace("true", "yes"), "no boolean"),
        (GOOD.replace("on=true\n", "").replace("\non=true", ""), "did not report the fact on"),
    ],
)
def test_anything_else_is_an_error_never_a_pass(output, complaint) -> None:
    with pytest.raises(FactError, match=complaint):
        parse_facts(output, SCHEMA)

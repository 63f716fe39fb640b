from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.parameters import ParameterError, environment, problem_with, resolve, substitute
from compliance_agent.domain.runbook import Parameter

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

TRIES = Parameter(type="integer", description="tries", min=1, max=6, default=4)
MODE = Parameter(type="string", description="mode", pattern="0[0-7]{3}")
LEVEL = Parameter(type="string", description="level", choices=("low", "high"), default="low")
FLAG = Parameter(type="boolean", description="flag", default=False)


@pytest.mark.parametrize(
    ("schema", "value"), [(TRIES, 1), (TRIES, 6), (MODE, "0640"), (LEVEL, "high"), (FLAG, True), (FLAG, False)]
)
def test_a_fitting_value_has_no_problem(schema, value) -> None:
    assert problem_with(schema, value) == ""


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TRIES, 0),
        (TRIES, 7),
        (TRIES, True),
        (TRIES, "4"),
        (MODE, "640"),
        (MODE, "0640x"),
        (MODE, "0640\n"),
        (MODE, 640),
        (LEVEL, "mid"),
        (FLAG, 1),
        (Parameter(type="string", description="any"), "a\0b"),
    ],
)
def test_a_value_that_does_not_fit_is_named(schema, value) -> None:
    assert problem_with(schema, value)


def test_defaults_fill_what_was_not_given() -> None:
    assert resolve({"tries": TRIES, "level": LEVEL}, {"tries": 2}) == {"tries": 2, "level": "low"}


def test_an_unknown_parameter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ParameterError, match="unknown parameter trys; known: tries"):
        resolve({"tries": TRIES}, {"trys": 2})


def test_a_parameter_without_value_and_default_is_refused() -> None:
    with pytest.raises(ParameterError, match="missing"):
        resolve({"mode": MODE}, {})


def test_references_are_replaced_wherever_they_stand() -> None:
    source: JsonValue = {"a": {"$lte": {"$param": "tries"}}, "b": [{"$param": "level"}, "x"]}
    assert substitute(source, {"tries": 4, "level": "low"}) == {"a": {"$lte": 4}, "b": ["low", "x"]}


def test_an_unknown_reference_is_refused() -> None:
    with pytest.raises(ParameterError, match="nope"):
        substitute({"a": {"$param": "nope"}}, {})


def test_values_become_environment_variables() -> None:
    assert environment({"tries": 4, "flag": True, "mode": "0640"}) == {
        "PARAM_TRIES": "4",
        "PARAM_FLAG": "true",
        "PARAM_MODE": "0640",
    }

"""Parameters of runbooks and resources: values judged against their schema, and put in place as data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.runbook import Parameter

REFERENCE: Final = "$param"
"""``{$param: name}`` in a pattern or a ``with`` table stands for the runbook's parameter of that name."""


class ParameterError(ValueError):
    """A parameter is unknown, missing or has a value that its schema refuses."""


def problem_with(schema: Parameter, value: object) -> str:
    """Return why the value does not fit the schema, or an empty string."""
    expected = {"string": str, "integer": int, "boolean": bool}[schema.type]
    if not isinstance(value, expected) or (schema.type == "integer" and isinstance(value, bool)):
        return f"is no {schema.type}"
    if isinstance(value, int) and not isinstance(value, bool):
        if schema.min is not None and value < schema.min:
            return f"got {value}, need {schema.min} or more"
        if schema.max is not None and value > schema.max:
            return f"got {value}, need {schema.max} or less"
    if isinstance(value, str):
        if "\0" in value:
            return "holds a NUL character"
        if schema.choices is not None and value not in schema.choices:
            return f"got {value!r}, need one of {', '.join(schema.choices)}"
        if schema.pattern is not None and not re.fullmatch(schema.pattern, value):
            return f"got {value!r}, need a match of {schema.pattern}"
    return ""


def resolve(schemas: Mapping[str, Parameter], given: Mapping[str, object]) -> dict[str, JsonValue]:
    """Return a value for every parameter: the given one, else the default.

    Raises:
        ParameterError: A given name is unknown, a value does not fit, or one without default is missing.

    """
    for name in given:
        if name not in schemas:
            message = f"unknown parameter {name}; known: {', '.join(sorted(schemas)) or 'none'}"
            raise ParameterError(message)
    values: dict[str, JsonValue] = {}
    for name, schema in schemas.items():
        value = given.get(name, schema.default)
        if value is None:
            message = f"parameter {name} is missing and has no default"
            raise ParameterError(message)
        problem = problem_with(schema, value)
        if problem:
            message = f"parameter {name} {problem}"
            raise ParameterError(message)
        values[name] = value  # type: ignore[assignment]  # problem_with has just narrowed it
    return values


def substitute(value: JsonValue, parameters: Mapping[str, JsonValue]) -> JsonValue:
    """Return ``value`` with every ``{$param: name}`` replaced.

    Raises:
        ParameterError: A name is unknown.

    """
    if isinstance(value, Mapping):
        if set(value) == {REFERENCE}:
            name = value[REFERENCE]
            if not isinstance(name, str) or name not in parameters:
                message = f"{REFERENCE} names an unknown parameter: {name}"
                raise ParameterError(message)
            return parameters[name]
        return {key: substitute(item, parameters) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [substitute(item, parameters) for item in value]
    return value


def environment(parameters: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return the parameters as the ``PARAM_NAME`` variables that a script sees."""
    return {f"PARAM_{name.upper()}": _as_text(value) for name, value in parameters.items()}


def _as_text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

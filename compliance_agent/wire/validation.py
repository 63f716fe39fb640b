"""Errors of the typed models, said for people: where, what stands there, what is needed instead."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from compliance_agent.domain.json_value import Kind, kind_of
from compliance_agent.domain.pattern_nodes import show
from compliance_agent.domain.suggestion import did_you_mean
from compliance_agent.wire.located import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import ValidationError

    from compliance_agent.errors import InputProblem
    from compliance_agent.wire.located import Located, Path

__all__ = ["RefusedError", "did_you_mean", "kind_of_or_none", "names_a_secret", "problems_of"]

DETAILS_MAX: Final = 1_000
"""Most mistakes reported of one value; nobody reads more, and a hostile document could hold any number."""

_SECRET: Final = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|token|secret|credentials?|(?:private|api|ssh)_?key)$"
)
_CONFIDENTIAL: Final = re.compile(r"password|passwd|passphrase|token|secret|credential|key|identity|url")


class RefusedError(ValueError):
    """Raised by our own validators: what is wrong, and how to mend it."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep both."""
        super().__init__(message)
        self.message = message
        self.hint = hint


def names_a_secret(key: str) -> bool:
    """Tell whether a key asks for a secret's value (``password``), not for a file that holds it."""
    return _SECRET.search(key.lower().replace("-", "_")) is not None


def problems_of(
    error: ValidationError, document: Located, prefix: Path = (), *, model: type[BaseModel] | None = None
) -> list[InputProblem]:
    """Return what pydantic found as problems with their places, in the document's order.

    Args:
        error: As raised by ``model_validate``.
        document: What was validated, or what holds it.
        prefix: Where in ``document`` the validated value stands.
        model: The model that was validated; with it an unknown key gets a did-you-mean hint.

    """
    value = _value_at(document.value, prefix)
    branches: dict[Path, list[Mapping[str, Any]]] = {}
    for detail in error.errors(include_url=False)[:DETAILS_MAX]:
        path, leftover = _split(value, detail["loc"], detail["type"])
        if leftover or path not in branches:
            branches.setdefault(path, []).append(detail)
        else:
            branches[path].append(detail)
    problems = []
    for path, details in branches.items():
        for message, hint in _say_all(details, path, model):
            problems.append(document.problem((*prefix, *path), message, hint))
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def _value_at(value: Any, path: Path) -> Any:  # noqa: ANN401 - any part of a document
    for step in path:
        value = value[step]
    return value


def _split(value: Any, loc: Sequence[str | int], kind: str) -> tuple[Path, Path]:  # noqa: ANN401 - any document
    """Part pydantic's location into the document's path and the rest (a union's branch, a marker)."""
    path: list[str | int] = []
    for index, step in enumerate(loc):
        rest = tuple(loc[index:])
        if step == "[key]":
            return tuple(path), ()
        known = isinstance(value, Mapping) and step in value
        known = known or (isinstance(value, list | tuple) and isinstance(step, int) and step < len(value))
        if known:
            value = value[step]
        elif not (kind == "missing" and len(rest) == 1):
            return tuple(path), rest
        path.append(step)
    return tuple(path), ()


def _say_all(details: Sequence[Mapping[str, Any]], path: Path, model: type[BaseModel] | None) -> list[tuple[str, str]]:
    """Return message and hint of each error at one path; branches of a union become one."""
    needs = [_WANTED[detail["type"]] for detail in details if detail["type"] in _WANTED]
    said: list[tuple[str, str]] = []
    if needs:
        wanted = " or ".join(dict.fromkeys(needs))
        got = _show(details[0]["input"], path)
        hint = "quote it" if "text" in needs and kind_of_or_none(details[0]["input"]) is Kind.NUMBER else ""
        said.append((f"got {got}, need {wanted}", hint))
    for detail in details:
        if detail["type"] in _WANTED or _is_echo(detail):
            continue
        say = _SAYINGS.get(detail["type"], _say_other)
        if detail["type"] == "extra_forbidden":
            said.append(_say_unknown(path, model))
        else:
            said.append(say(detail, path))
    return list(dict.fromkeys(said))


def kind_of_or_none(value: object) -> Kind | None:
    """Return the kind of a JSON value, or ``None`` for anything else."""
    try:
        return kind_of(value)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return None


def _show(value: object, path: Path) -> str:
    """Return a value for people; never the content of a container or of what may be a secret."""
    kind = kind_of_or_none(value)
    if kind is Kind.OBJECT:
        return "a table"
    if kind is Kind.ARRAY:
        return "a list"
    if any(isinstance(step, str) and _CONFIDENTIAL.search(step) for step in path[-2:]):
        return "a value that is not shown"
    return show(value, limit=60) if kind is not None else "something else"  # type: ignore[arg-type]  # a JSON scalar


def _is_echo(detail: Mapping[str, Any]) -> bool:
    """Tell whether a list is called too short only because its elements were refused."""
    return detail["type"] == "too_short" and bool(len(detail["input"]) >= detail["ctx"]["min_length"])


_WANTED: Final = {
    "string_type": "text",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "bool_type": "true or false",
    "float_type": "a number",
    "decimal_type": "a number",
    "dict_type": "a table of keys and values",
    "model_type": "a table of keys and values",
    "model_attributes_type": "a table of keys and values",
    "mapping_type": "a table of keys and values",
    "tuple_type": "a list",
    "list_type": "a list",
    "none_required": "null",
}


def _say_unknown(path: Path, model: type[BaseModel] | None) -> tuple[str, str]:
    key = str(path[-1])
    if names_a_secret(key):
        return f"{key} holds a secret, and secrets do not stand in this file", f"name a file: {_file_key(key)}"
    fields = _fields_at(model, path[:-1]) if model is not None else ()
    return f"unknown key {shorten(key)}", did_you_mean(shorten(key), fields)


def _file_key(key: str) -> str:
    lowered = key.lower().replace("-", "_")
    return "identity_file" if lowered.endswith("key") else f"{lowered}_file"


def _fields_at(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """Return the keys that the model knows at that path, aliases first."""
    found: Any = model
    for step in path:
        if isinstance(found, type) and issubclass(found, BaseModel) and isinstance(step, str):
            fields = found.model_fields
            field = fields.get(step) or next((one for one in fields.values() if one.alias == step), None)
            found = _model_in(field.annotation) if field is not None else None
    if isinstance(found, type) and issubclass(found, BaseModel):
        return tuple(field.alias or name for name, field in found.model_fields.items())
    return ()


def _model_in(annotation: Any) -> Any:  # noqa: ANN401 - a type expression
    """Return the model that a type such as ``tuple[Step, ...]`` or ``Step | None`` holds, if any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def _say_missing(_detail: Mapping[str, Any], path: Path) -> tuple[str, str]:
    return f"the key {path[-1]} is missing" if path else "something is missing", "add it"


def _say_bound(words: str, name: str) -> Callable[[Mapping[str, Any], Path], tuple[str, str]]:
    def say(detail: Mapping[str, Any], path: Path) -> tuple[str, str]:
        return f"got {_show(detail['input'], path)}, need {words.format(detail['ctx'][name])}", ""

    return say


def _say_choice(detail: Mapping[str, Any], path: Path) -> tuple[str, str]:
    choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
    got = detail["input"]
    need = f"need {choices[0]}" if len(choices) == 1 else f"need one of {', '.join(choices)}"
    near = difflib.get_close_matches(got, choices, n=1) if isinstance(got, str) else []
    return f"got {_show(got, path)}, {need}", f"did you mean {near[0]}?" if near else ""


def _say_pattern(detail: Mapping[str, Any], path: Path) -> tuple[str, str]:
    return f"got {_show(detail['input'], path)}, need text that matches {detail['ctx']['pattern']}", ""


def _say_empty(detail: Mapping[str, Any], _path: Path) -> tuple[str, str]:
    least = detail["ctx"]["min_length"]
    if least == 1:
        return "is empty", "write at least one " + ("entry" if detail["type"] == "too_short" else "character")
    return f"needs {least} or more", ""


def _say_own(detail: Mapping[str, Any], _path: Path) -> tuple[str, str]:
    refused = detail["ctx"]["error"]
    return str(refused), getattr(refused, "hint", "")


def _say_other(detail: Mapping[str, Any], path: Path) -> tuple[str, str]:
    return f"got {_show(detail['input'], path)}, which does not fit here", ""


_SAYINGS: Final[Mapping[str, Callable[[Mapping[str, Any], Path], tuple[str, str]]]] = {
    "missing": _say_missing,
    "greater_than_equal": _say_bound("{} or more", "ge"),
    "less_than_equal": _say_bound("{} or less", "le"),
    "greater_than": _say_bound("more than {}", "gt"),
    "less_than": _say_bound("less than {}", "lt"),
    "string_too_long": _say_bound("at most {} characters", "max_length"),
    "too_long": _say_bound("at most {} entries", "max_length"),
    "string_too_short": _say_empty,
    "too_short": _say_empty,
    "literal_error": _say_choice,
    "enum": _say_choice,
    "string_pattern_mismatch": _say_pattern,
    "value_error": _say_own,
}

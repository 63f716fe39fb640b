"""Facts: ``name=value`` lines of a detect step, typed by the step's schema.

Shell cannot build JSON safely, so steps print plain lines and the appliance types them. A line
that is no fact, a name that the schema does not know, a value that its type refuses, a fact that
is missing or stands twice: each makes the check an ``error``, never a ``pass``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.runbook import FactSchema

_INTEGER: Final = re.compile(r"^-?[0-9]{1,18}$")
_LINE: Final = re.compile(r"^([a-z][a-z0-9_]{0,63})=(.*)$", re.DOTALL)


class FactError(ValueError):
    """The step's output is not what its schema promises."""


def parse_facts(output: str, schema: Mapping[str, FactSchema]) -> dict[str, JsonValue]:
    """Return the typed facts.

    Args:
        output: Standard output of a step that succeeded.
        schema: Fact name to type.

    Raises:
        FactError: See the module's text; the message names the line or the fact.

    """
    lists: dict[str, list[JsonValue]] = {name: [] for name, fact in schema.items() if fact.type == "list"}
    facts: dict[str, JsonValue] = {}
    for line in output.split("\n"):
        if not line:
            continue
        found = _LINE.match(line)
        if found is None:
            message = f"printed a line that is no fact: {line[:80]!r}"
            raise FactError(message)
        name, text = found.groups()
        fact = schema.get(name)
        if fact is None:
            message = f"reported the unknown fact {name}"
            raise FactError(message)
        if fact.type == "list":
            lists[name].append(text)
        elif name in facts:
            message = f"reported the fact {name} twice"
            raise FactError(message)
        else:
            facts[name] = _typed(name, text, fact)
    facts.update(lists)
    for name, fact in schema.items():
        if name not in facts and not fact.optional:
            message = f"did not report the fact {name}"
            raise FactError(message)
    return {name: facts[name] for name in schema if name in facts}


def _typed(name: str, text: str, fact: FactSchema) -> JsonValue:
    if fact.type == "string":
        return text
    if fact.type == "integer" and _INTEGER.match(text):
        return int(text)
    if fact.type == "boolean" and text in {"true", "false"}:
        return text == "true"
    message = f"reported {name}={text[:80]!r}, which is no {fact.type}"
    raise FactError(message)

"""Tables beside the runbooks, in ``data/``: the Security Rule's citations, and the names that references may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compliance_agent.adapters.input_files import read_input
from compliance_agent.adapters.runbook_files import builtin_runbooks_path
from compliance_agent.wire.yaml_document import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Citation:
    """One standard or implementation specification of 45 CFR 164.308 to 164.312.

    Attributes:
        name: Its heading.
        kind: ``standard`` or ``specification``.
        rating: ``R`` (required) or ``A`` (addressable, 164.306(d)).

    """

    name: str
    kind: str
    rating: str


def hipaa_citations() -> Mapping[str, Citation]:
    """Return the Security Rule's citations, in its order.

    Raises:
        InputError: The table is missing or damaged.

    """
    return {str(citation): Citation(**entry) for citation, entry in _table("hipaa.yaml")["citations"].items()}


def known_references() -> Mapping[str, frozenset[str]]:
    """Return the names that references may use, by source.

    Raises:
        InputError: The table is missing or damaged.

    """
    return {str(source): frozenset(names) for source, names in _table("references.yaml").items()}


def _table(name: str) -> Any:  # noqa: ANN401 -- a table of our own, whose shape the tests keep
    file = builtin_runbooks_path() / "data" / name
    return read_yaml(read_input(file), source=str(file)).value

"""What the oracle tests share: how many pairs, of which seed, and how a difference is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

Json: TypeAlias = Any

PAIRS_FULL: Final = 20_000
"""Pairs of a full run (``ORACLE_PAIRS``); thresholds are meant for so many and shrink with fewer."""

PAIRS: Final = int(os.environ.get("ORACLE_PAIRS", "2000"))
"""Pairs of this run: half without operators, half with."""

SEED: Final = os.environ.get("ORACLE_SEED", "110")
"""Names the pairs; the same seed gives the same ones."""

_SHOWN_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """One pair and what each judge says.

    Attributes:
        number: Of the pair within its seed.
        pattern: JSON text.
        incident: JSON text.
        verdicts: By judge: ``ours``, ``plain``, ``postgres``; a judge that cannot say is left out.

    """

    number: int
    pattern: str
    incident: str
    verdicts: dict[str, bool]

    def __str__(self) -> str:
        """Show all that is needed to look into it."""
        said = ", ".join(f"{judge}: {verdict}" for judge, verdict in self.verdicts.items())
        return f"seed {SEED}, pair {self.number}: {said}\n  pattern:  {self.pattern}\n  incident: {self.incident}"


def differences(judged: Sequence[Judged]) -> str:
    """Return the pairs whose judges disagree, shortest first, as text; empty when there are none."""
    found = [one for one in judged if len(set(one.verdicts.values())) > 1]
    if not found:
        return ""
    found.sort(key=lambda one: len(one.pattern) + len(one.incident))
    shown = "\n".join(str(one) for one in found[:_SHOWN_MAX])
    return f"{len(found)} of {len(judged)} pairs differ:\n{shown}"


def ask_containment(oracle: psycopg.Connection, patterns: list[str], incidents: list[str]) -> list[bool]:
    """Return what ``incident @> pattern`` is for each pair of texts."""
    query = "SELECT i::jsonb @> p::jsonb FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS t(p, i, n) ORDER BY n"
    return [verdict for (verdict,) in oracle.execute(query, [patterns, incidents])]


def ask_patterns(oracle: psycopg.Connection, patterns: list[str], incidents: list[str]) -> list[bool]:
    """Return what the SQL form of the language says of each pair of texts."""
    query = (
        "SELECT pg_temp.holds(p::jsonb, i::jsonb)"
        " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS t(p, i, n) ORDER BY n"
    )
    return [verdict for (verdict,) in oracle.execute(query, [patterns, incidents])]

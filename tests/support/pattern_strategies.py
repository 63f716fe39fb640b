"""Random incidents and patterns, biased to near-misses: almost the same value, almost the same place.

Every function takes the chance it uses as a ``random.Random`` and is otherwise pure, so a seed names
its result; ``seeded`` makes one. For hypothesis, which then shrinks what fails, ``incidents()``,
``patterns()`` and ``pairs()`` run the same functions on hypothesis's own choices.

    rng = seeded(7)
    incident = random_incident(rng)                  # a JSON object, shaped like ours
    plain = random_containment(rng, incident)        # no operators; keys as in the document
    pattern = as_pattern(plain)                      # the same as a pattern: $key becomes $$key
    pattern = random_pattern(rng, incident)          # operators included
    pattern, incident = random_pair(rng, "$cidr")    # with this operator for sure

About half of what comes out matches. All patterns are well formed, but a few can never match: the
product refuses to load those, and ``compile_pattern(..., contradictory_too=True)`` takes them.
"""

from __future__ import annotations

import random
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from tests.support.pattern_arguments import OPERATORS, argument_for, confusable_values, suited_value
from tests.support.pattern_values import (
    MISSING,
    is_array,
    mutated,
    random_key,
    random_scalar,
    random_value,
    thinned,
    with_a_relative,
)

Json: TypeAlias = Any
Pattern: TypeAlias = dict[str, Json]
Incident: TypeAlias = dict[str, Json]
Pair: TypeAlias = tuple[Pattern, Incident]

COMBINERS: Final = ("$and", "$or", "$not")

OPERATOR_NAMES: Final = (*OPERATORS, *COMBINERS)
"""Every operator of the language, in a fixed order."""

_HEAD: Final[dict[str, tuple[Json, ...]]] = {
    "schema": (1,),
    "site_id": ("clinic-1", "clinic-2"),
    "target_id": ("srv-1", "srv-2", "SRV-1"),
    "hostname": ("srv-1.example", "SRV-1.EXAMPLE", "srv-1.example."),
    "platform": ("linux", "windows", "nixos"),
    "distro": ("debian-12", "debian-13", None),
    "check_id": ("LIN-SSH-001", "LIN-SSH-002", "WIN-BL-001"),
    "incident_type": ("ssh_config", "firewall", "bitlocker", "patching"),
    "severity": ("low", "medium", "high"),
    "status": ("fail",),
    "detected_at": ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
}


def seeded(seed: int | str) -> random.Random:
    """Return a source of chance that gives the same for the same seed, on every machine."""
    return random.Random(seed)  # noqa: S311 - tests want repeatable chance, not secrets


def random_incident(rng: random.Random) -> Incident:
    """Return an incident: some of our own fields, facts, and now and then anything else."""
    incident: Incident = {name: rng.choice(choices) for name, choices in _HEAD.items() if rng.random() < 0.4}
    incident["facts"] = {random_key(rng): random_value(rng, 2) for _ in range(rng.randrange(4))}
    for _ in range(rng.randrange(3)):
        incident[random_key(rng)] = random_value(rng, 3)
    return incident


def random_containment(rng: random.Random, incident: Incident) -> Json:
    """Return a non-empty object for ``incident @> it``: a part of the incident, half the time with one change.

    Keys are the document's own; ``as_pattern`` makes a pattern of it.
    """
    part = thinned(rng, incident)
    if not part:
        key = rng.choice(list(incident))
        part = {key: thinned(rng, incident[key])}
    if rng.random() < 0.5:
        if rng.random() < 0.5:
            return with_a_relative(rng, part)
        key = rng.choice(list(part))
        part[key] = mutated(rng, part[key])
    if rng.random() < 0.1:
        part[random_key(rng)] = random_scalar(rng)
    return part


def as_pattern(plain: Json) -> Json:
    """Return plain JSON as a pattern without operators: a key that starts with ``$`` gets one more."""
    if isinstance(plain, dict):
        return {_escaped(key): as_pattern(item) for key, item in plain.items()}
    return [as_pattern(item) for item in plain] if is_array(plain) else plain


def random_clause(rng: random.Random, name: str, value: Json, depth: int = 2) -> Pattern:
    """Return ``{name: argument}`` for an operator, chosen with ``value`` (or ``MISSING``) in mind.

    A pattern inside ``$and``, ``$or`` and ``$not`` is nested at most ``depth`` deep.
    """
    if name in OPERATORS:
        return {name: argument_for(rng, name, value)}
    if name == "$not":
        return {name: _random_part(rng, value, depth - 1)}
    return {name: [_random_part(rng, value, depth - 1) for _ in range(rng.choice((1, 2, 2, 3)))]}


def random_pattern(rng: random.Random, incident: Incident, operator: str = "") -> Pattern:
    """Return a pattern for near-misses with this incident.

    Args:
        rng: The chance to use.
        incident: What the pattern nearly or really matches.
        operator: One that must occur; any when empty (and sometimes none at all).

    """
    if not operator and rng.random() < 0.2:
        plain = as_pattern(random_containment(rng, incident))
        if isinstance(plain, dict):  # a part can also be wrapped in an array, which is no pattern
            pattern: Pattern = plain
            return pattern
    name = operator or rng.choice(OPERATOR_NAMES)
    if name in COMBINERS and rng.random() < 0.3:
        return random_clause(rng, name, incident)
    pattern = _at_some_place(rng, incident, name)
    if rng.random() < 0.3:
        more = as_pattern(thinned(rng, incident))
        pattern = {**more, **pattern}
    if rng.random() < 0.15:
        other = random_pattern(rng, incident)
        pattern = rng.choice(({"$and": [other, pattern]}, {"$or": [pattern, other]}, {"$not": pattern}))
    return pattern


def random_pair(rng: random.Random, operator: str = "") -> Pair:
    """Return a pattern and an incident; with ``operator`` in the pattern, and mostly a value it is made for."""
    incident = random_incident(rng)
    chance = rng.random()
    if operator not in OPERATORS or chance < 0.2:
        return random_pattern(rng, incident, operator), incident
    place = incident if rng.random() < 0.5 else incident["facts"]
    if chance < 0.6:
        place[_PLANTED] = suited_value(rng, operator)
        return random_pattern(rng, incident, operator), incident
    place[_PLANTED], other = confusable_values(rng, operator)
    pattern = {_PLANTED: random_clause(rng, operator, other)}
    return pattern if place is incident else {"facts": pattern}, incident


def incidents() -> st.SearchStrategy[Incident]:
    """Return a hypothesis strategy of incidents."""
    return st.randoms(use_true_random=False).map(random_incident)


def patterns() -> st.SearchStrategy[Pattern]:
    """Return a hypothesis strategy of patterns."""
    return pairs().map(lambda pair: pair[0])


def pairs(operator: str = "") -> st.SearchStrategy[Pair]:
    """Return a hypothesis strategy of a pattern and an incident."""
    return st.randoms(use_true_random=False).map(lambda rng: random_pair(rng, operator))


_PLANTED: Final = "planted"


def _escaped(key: str) -> str:
    return f"${key}" if key.startswith("$") else key


def _random_part(rng: random.Random, value: Json, depth: int) -> Json:
    """Return a pattern for the same value, inside ``$and``, ``$or`` or ``$not``."""
    chance = rng.random()
    if value is not MISSING and chance < 0.3:
        return as_pattern(thinned(rng, value) if rng.random() < 0.5 else mutated(rng, value))
    if isinstance(value, dict) and value and chance < 0.6:
        return _at_some_place(rng, value, rng.choice(OPERATORS))
    return random_clause(rng, rng.choice(OPERATOR_NAMES if depth > 0 else OPERATORS), value, depth)


def _at_some_place(rng: random.Random, document: Incident, name: str) -> Pattern:
    """Return an operator at a place of the document, or at one that is not there."""
    if rng.random() < 0.08:
        return {_escaped(rng.choice((random_key(rng), "absent"))): random_clause(rng, name, MISSING)}
    key = _PLANTED if _PLANTED in document and rng.random() < 0.9 else rng.choice(list(document) or ["absent"])
    if key == "facts" or (isinstance(document.get(key), dict) and document[key] and rng.random() < 0.6):
        inner = document[key]
        return {_escaped(key): _at_some_place(rng, inner, name)}
    return {_escaped(key): _judging(rng, document.get(key, MISSING), name)}


def _judging(rng: random.Random, value: Json, name: str) -> Pattern | list[Json]:
    """Return operators for the value itself, or for an element of the array that it is."""
    if is_array(value) and value and name != "$contains" and rng.random() < 0.4:
        return [random_clause(rng, name, rng.choice(value))]
    clause = random_clause(rng, name, value)
    if rng.random() < 0.15:
        other = rng.choice([operator for operator in OPERATORS if operator != name])
        clause |= random_clause(rng, other, value)
    return clause

"""Random arguments for each operator that tests one value: for a given value, matching about half the time.

See ``tests/support/pattern_strategies.py``, which is what tests import.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.support.pattern_values import (
    ADDRESS_FAMILIES,
    FAMILIES,
    MISSING,
    fresh,
    is_array,
    is_number,
    mutated,
    random_number,
    random_scalar,
    random_text,
    random_value,
    relatives,
    respelled,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

Json: TypeAlias = Any

_OF_TEXTS: Final = frozenset({"$ieq", "$prefix", "$suffix", "$wildcard", "$regex"})

NETWORKS: Final = (
    *("192.0.2.0/24", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.7/32", "192.0.2.7", "192.0.2.0/29", "255.255.255.255/32"),
    *("2001:db8::/32", "::/0", "::1/128", "fe80::/10", "::ffff:0:0/96", "::1", "2001:db8::/127", "::/1"),
)


def argument_for(rng: random.Random, name: str, value: Json) -> Json:
    """Return an argument of operator ``name`` that a pattern may hold, chosen with ``value`` (or MISSING) in mind."""
    return _BUILDERS[name](rng, value)


def suited_value(rng: random.Random, name: str) -> Json:
    """Return a value of a kind that operator ``name`` can hold for."""
    if name == "$cidr":
        return _address(rng)
    if name in {"$gt", "$gte", "$lt", "$lte"}:
        return random_number(rng) if rng.random() < 0.6 else random_text(rng)
    if name in _OF_TEXTS:
        return random_text(rng)
    if name == "$contains" and rng.random() < 0.5:
        return [random_value(rng, 1) for _ in range(rng.randrange(1, 4))]
    return random_text(rng) if name == "$contains" else random_value(rng, 2)


def confusable_values(rng: random.Random, name: str) -> tuple[Json, Json]:
    """Return two values of which one is easily taken for the other, both of some use to operator ``name``."""
    families: Sequence[tuple[Json, ...]] = ADDRESS_FAMILIES if name == "$cidr" else FAMILIES
    if name in _OF_TEXTS:
        families = [family for family in FAMILIES if all(isinstance(value, str) for value in family)]
    family = rng.choice(families)
    return fresh(rng.choice(family)), fresh(rng.choice(family))


def _near(rng: random.Random, value: Json) -> Json:
    if value is MISSING:
        return rng.choice((None, random_scalar(rng)))
    chance = rng.random()
    if chance < 0.5:
        return respelled(rng, value)
    return mutated(rng, value) if chance < 0.85 else random_value(rng, 1)


def _near_text(rng: random.Random, value: Json) -> str:
    """Return a text of at least one character: the value, a relative of it, or another."""
    near = value if isinstance(value, str) and rng.random() < 0.6 else mutated(rng, value)
    return near if isinstance(near, str) and near else random_text(rng) or "x"


def _several(rng: random.Random, value: Json) -> Json:
    choices = [random_scalar(rng) for _ in range(rng.randrange(4))]
    if rng.random() < 0.7 or not choices:
        choices.insert(rng.randrange(len(choices) + 1), _near(rng, value))
    return choices


def _in_other_case(rng: random.Random, value: Json) -> str:
    text = _near_text(rng, value)
    return rng.choice((text, text.upper(), text.lower(), text.swapcase(), text.casefold()))


def _bound(rng: random.Random, value: Json) -> Json:
    near = rng.choice((respelled, respelled, mutated))(rng, value) if value is not MISSING else None
    if is_number(value) and rng.random() < 0.3:
        near = rng.choice([one for one in relatives(value) if is_number(one)] or [near])
    if isinstance(near, str) or is_number(near):
        return near
    return random_text(rng) if isinstance(value, str) and rng.random() < 0.8 else random_number(rng)


def _slice(rng: random.Random, text: str) -> str:
    start = rng.randrange(len(text))
    return text[start : rng.randrange(start, len(text)) + 1]


def _beginning(rng: random.Random, value: Json) -> str:
    text = _near_text(rng, value)
    return text[: rng.randrange(len(text)) + 1]


def _ending(rng: random.Random, value: Json) -> str:
    text = _near_text(rng, value)
    return text[rng.randrange(len(text)) :]


def _part(rng: random.Random, value: Json) -> Json:
    if is_array(value) and value:
        element = rng.choice(value)
        if isinstance(element, str) and element and rng.random() < 0.3:
            return _slice(rng, element)
        return _near(rng, element) or 0
    if rng.random() < 0.1:
        return random_value(rng, 1) or 0
    return _slice(rng, _near_text(rng, value))


def _wildcard(rng: random.Random, value: Json) -> str:
    parts = []
    for character in _near_text(rng, value):
        chance = rng.random()
        if chance < 0.2:
            parts.append(rng.choice(("*", "*", "?", "**", "*?", "")))
        elif character in "*?\\" or chance < 0.25:
            parts.append("\\" + character)
        else:
            parts.append(character)
    return "".join(parts) or "*"


def _regex(rng: random.Random, value: Json) -> str:
    """Return an expression that PostgreSQL reads as RE2 does, mostly; and sometimes one that only RE2 reads so."""
    if rng.random() < 0.15:
        return rng.choice(RE2_ONLY)
    text = _near_text(rng, value)
    line = rng.choice(text.split("\n"))
    if rng.random() < 0.15:  # one line of a text is not all of it, and a dot is not a line's end
        return rng.choice((f"^{re.escape(line)}$", re.escape(text).replace("\\\n", ".")))
    parts = []
    for character in rng.choice((text, line, _slice(rng, text))):
        chance = rng.random()
        if chance < 0.15:
            parts.append(
                rng.choice((".", ".*", r"\d", r"\w", "[a-z]", "[A-Z0-9]", ".+", "x?", "(a|b)", "[ab]", "(?:x|)"))
            )
        else:
            parts.append(re.escape(character).replace("\\\n", "\n").replace("\\\t", "\t").replace("\\\r", "\r"))
            parts.append(rng.choice(("", "", "", "", "", "+", "?", "*", "{1,2}", "{2}")))
    head, tail = rng.choice((("", ""), ("^", ""), ("", "$"), ("^", "$"), ("^(?:", ")$"), ("(", ")|z")))
    return head + ("".join(parts) or ".") + tail


RE2_ONLY: Final = (
    *(r"(?i)abc", r"(?i)straße", r"\s", r"[^a]", r"\Aabc\z", r"(?s)line.line", r"(?m)^line$", r"\p{Lu}", r"\bsshd\b"),
    *(r"\.service$", r"(?i)^c:\\windows", r"\x{1F600}", r"[[:upper:]]", r"(?U)a+", r"\Q(a)\E", r"\D", r"\W"),
)
"""Expressions of RE2 that PostgreSQL reads differently or not at all."""


def _networks(rng: random.Random, value: Json) -> Json:
    networks = [_network(rng, value) for _ in range(rng.choice((1, 1, 2, 3)))]
    return networks if len(networks) > 1 or rng.random() < 0.3 else networks[0]


def _address(rng: random.Random) -> Json:
    """Return an address in one of its notations, or something that nearly is one."""
    if rng.random() < 0.5:
        text = ".".join(str(rng.choice((0, 1, 10, 192, 255, rng.randrange(256)))) for _ in range(4))
    else:
        groups = [rng.choice((0, 0, 0, 1, 0xDB8, 0xFE80, 0xFFFF, rng.randrange(1 << 16))) for _ in range(8)]
        full = ":".join(f"{group:x}" for group in groups)
        text = rng.choice(
            (full, full.upper(), ipaddress.ip_address(full).compressed, ipaddress.ip_address(full).exploded)
        )
    return mutated(rng, text) if rng.random() < 0.25 else text


def _network(rng: random.Random, value: Json) -> str:
    try:
        address = ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        return rng.choice(NETWORKS)
    if rng.random() < 0.3 or getattr(address, "scope_id", None):
        return rng.choice(NETWORKS)
    bits = address.max_prefixlen
    length = rng.choice((0, 1, 8, bits // 2, bits - 8, bits - 1, bits, rng.randrange(bits + 1)))
    neighbour = int(address) ^ (1 << rng.randrange(bits)) if rng.random() < 0.4 else int(address)
    network = ipaddress.ip_network((type(address)(neighbour), length), strict=False)
    return rng.choice((str(network), network.exploded))


_BUILDERS: Final[Mapping[str, Callable[[random.Random, Json], Json]]] = {
    "$eq": _near,
    "$ne": _near,
    "$in": _several,
    "$nin": _several,
    "$ieq": _in_other_case,
    "$gt": _bound,
    "$gte": _bound,
    "$lt": _bound,
    "$lte": _bound,
    "$exists": lambda rng, _value: rng.random() < 0.5,
    "$prefix": _beginning,
    "$suffix": _ending,
    "$contains": _part,
    "$wildcard": _wildcard,
    "$regex": _regex,
    "$cidr": _networks,
}

OPERATORS: Final = tuple(_BUILDERS)
"""The operators that test one value."""

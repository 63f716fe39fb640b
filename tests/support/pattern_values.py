"""Random JSON values with many near relatives: equal in another notation, or different by a hair.

See ``tests/support/pattern_strategies.py``, which is what tests import.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from unicodedata import normalize

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

Json: TypeAlias = Any
Place: TypeAlias = tuple[str | int, ...]


class Missing(Enum):
    """Stands for a field that is not there."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

KEYS: Final = (
    *("a", "b", "c", "name", "score", "ports", "A", "a.b", "a.b.c", "", "0", "1", " ", "$ref", "$", "$$x", "$eq"),
    *("caf\u00e9", "cafe\u0301", "\U0001f600", "k\nk", 'q"q', "b\\b", "null", "true"),
)
"""Keys of documents: plain ones, near relatives of those, and ones that look like something else."""

FAMILIES: Final[tuple[tuple[Json, ...], ...]] = (
    # texts that an ear or an eye takes for one another
    ("caf\u00e9", "cafe\u0301", "CAF\u00c9", "cafe"),
    ("sshd", "SSHD", "Sshd", "ssh", "sshd ", " sshd", "sshd.service"),
    ("stra\u00dfe", "STRASSE", "strasse", "stra\u1e9ee"),
    ("k", "K", "\u212a"),
    ("i", "I", "\u0130", "\u0131", "i\u0307"),
    ("\u03c3", "\u03c2", "\u03a3"),
    ("fi", "\ufb01", "FI"),
    ("abc", "abc\n", "abc\r\n", "x\nabc", "abc\nx", "ABC", "ab", "abcd", "a b c"),
    # their order by code point is not that by UTF-16 unit
    ("\U0001f600", "\uffff", "\ue000"),
    ("a\U0001f600", "a\uffff", "a"),
    # what means something to LIKE, to a wildcard or to a regular expression
    ("a_b", "a%b", "a*b", "a?b", "axb", "a.b", "a\\b", "a\\*b", "a+b", "ab", "a\nb"),
    ("100%", "100", "^a$", "(a)", "[a]", "a|b", "$"),
    (r"C:\Windows\System32", r"c:\windows\system32", "C:/Windows/System32", r"C:\\Windows"),
    ("/etc/ssh/sshd_config", "/etc/ssh", "/etc//ssh/sshd_config", "etc/ssh/sshd_config"),
    # one look, several kinds
    (1, True, "1", "1.0", Decimal("1.0000000000000000000000001"), (1,), 2),
    (0, False, None, "0", "", (), {}, Decimal("1e-400"), "-0", (0,)),
    (None, "null", (), (None,), {}),
    (True, "true", 1, (True,), "True"),
    (False, "false", 0, ""),
    # numbers that a binary float takes for one another
    (2**53, 2**53 + 1, 2**53 - 1, -(2**53) - 1, str(2**53)),
    (2**64, 2**64 + 1, 2**64 - 1, 2**63),
    (Decimal("0.1"), Decimal("0.10000000000000000001"), "0.1", Decimal("0.09999999999999999999")),
    (Decimal("0.3"), Decimal("0.30000000000000000001"), Decimal("0.30000000000000004")),
    (Decimal("0." + "3" * 60), Decimal("0." + "3" * 59 + "4"), Decimal("0." + "3" * 59)),
    (int("9" * 40), int("9" * 39 + "8"), 10**40),
    (Decimal("1e400"), Decimal("1.0000000000000000000000001e400"), Decimal("2e400"), Decimal("-1e400")),
    (22, 23, 443, 65_535, Decimal("22.5"), -22, "22"),
)
"""Values of which one is easily taken for another. None equals another of its family."""

_TEXTS: Final = tuple(value for family in FAMILIES for value in family if isinstance(value, str))
_NUMBERS: Final = tuple(
    value for family in FAMILIES for value in family if isinstance(value, int | Decimal) and not isinstance(value, bool)
)

ADDRESS_FAMILIES: Final = (
    ("10.1.2.3", "::ffff:10.1.2.3", "::10.1.2.3", "10.1.2.3 ", " 10.1.2.3", "10.1.2.3\n", "10.1.2.3/32", "10.1.2.3/8"),
    (
        "10.1.2.3",
        "010.1.2.3",
        "10.1.2.03",
        "10.1.2",
        "10.1.2.3.4",
        "10.1.2.256",
        "167838211",
        "0xa.1.2.3",
        "10.1.2.\u0663",
    ),
    ("10.255.255.255", "11.0.0.0", "9.255.255.255", "10.0.0.0", "192.0.2.255", "192.0.3.0", "192.0.1.255"),
    ("0.0.0.0", "::", "255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "*", "::/0"),  # noqa: S104
    ("2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0001", "2001:db9::1", "2001:db7:ffff::1", "[2001:db8::1]"),
    (
        "2001:db8::1",
        "2001:db8::1%eth0",
        "2001:db8::1%",
        "2001:db8::1::",
        "2001:db8::g",
        "2001:db8::12345",
        "2001:db8:1",
    ),
    ("fe80::1", "fe80::1%eth0", "fe80::1%12", "fe80::1%eth0%1", "febf::1", "fec0::1", "fe80::1/64", "FE80::1 "),
    ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:1.2.3.4", "1::1.2.3"),
    ("::1", "127.0.0.1", "::127.0.0.1", "localhost", "0:0:0:0:0:0:0:1", "::01", "::1.", ":1", "1::"),
)
"""Addresses, and texts that nearly are."""

_ADDRESSES: Final = tuple(text for family in ADDRESS_FAMILIES for text in family)


def is_array(value: Json) -> bool:
    """Tell whether the value is a JSON array."""
    return isinstance(value, list | tuple)


def is_number(value: Json) -> bool:
    """Tell whether the value is a JSON number."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def fresh(value: Json) -> Json:
    """Return a copy whose arrays are lists, as readers make them."""
    if is_array(value):
        return [fresh(item) for item in value]
    return {key: fresh(item) for key, item in value.items()} if isinstance(value, dict) else value


def random_key(rng: random.Random) -> str:
    """Return a key of a document."""
    return rng.choice(KEYS)


def random_text(rng: random.Random) -> str:
    """Return a text."""
    return rng.choice(_TEXTS) if rng.random() < 0.85 else rng.choice(_ADDRESSES)


def random_number(rng: random.Random) -> int | Decimal:
    """Return a number."""
    return rng.choice(_NUMBERS)


def random_scalar(rng: random.Random) -> Json:
    """Return text or number mostly, else ``true``, ``false`` or ``null``."""
    chance = rng.random()
    if chance < 0.45:
        return random_text(rng)
    return random_number(rng) if chance < 0.8 else rng.choice((None, True, False))


def random_value(rng: random.Random, depth: int) -> Json:
    """Return any value, nested at most ``depth`` deep."""
    chance = rng.random()
    if depth <= 0 or chance < 0.5:
        return random_scalar(rng)
    size = rng.choice((0, 1, 1, 2, 2, 3))
    if chance < 0.75:
        return [random_value(rng, depth - 1) for _ in range(size)]
    return {random_key(rng): random_value(rng, depth - 1) for _ in range(size)}


def respelled(rng: random.Random, value: Json) -> Json:
    """Return an equal value: numbers in another notation (``1``, ``1.0``, ``1e0``, ``-0``), keys in another order."""
    if is_number(value):
        return _respelled_number(rng, value)
    if is_array(value):
        return [respelled(rng, item) for item in value]
    if isinstance(value, dict):
        items = [(key, respelled(rng, item)) for key, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    return value


def _respelled_number(rng: random.Random, value: int | Decimal) -> int | Decimal:
    exact = Decimal(value)
    if rng.random() < 0.5 or abs(exact.adjusted()) > 100:
        return value
    if exact == 0:
        return rng.choice((0, Decimal("-0"), Decimal("0.0"), Decimal("-0.0"), Decimal("0e5"), Decimal("0e-7")))
    sign, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)
    zeros = rng.choice((1, 2, 17))
    longer = Decimal((sign, (*digits, *(0 for _ in range(zeros))), exponent - zeros))  # 1.0, 10e-1
    with localcontext(prec=200):
        return rng.choice((longer, exact, exact.normalize()))  # 100 becomes 1E+2


def relatives(value: Json) -> list[Json]:
    """Return what is easily taken for this scalar."""
    if isinstance(value, dict) or is_array(value):
        return []
    found = []
    for family in FAMILIES:
        others = [one for one in family if not (one == value and isinstance(one, bool) is isinstance(value, bool))]
        if len(others) < len(family):
            found += others
    return found


def mutated(rng: random.Random, value: Json) -> Json:
    """Return a near relative that is usually different: one change somewhere inside."""
    if rng.random() < 0.4 and (near := relatives(value)):
        return fresh(rng.choice(near))
    if rng.random() < 0.15:
        return [value] if not is_array(value) or not value else rng.choice(value)
    if isinstance(value, str):
        return _mutated_text(rng, value)
    if is_number(value):
        return _mutated_number(rng, value)
    if is_array(value) and value:
        return _mutated_array(rng, list(value))
    if isinstance(value, dict) and value:
        return _mutated_object(rng, value)
    return fresh(rng.choice(rng.choice(FAMILIES)))


def _mutated_text(rng: random.Random, text: str) -> Json:
    at = rng.randrange(len(text) + 1)
    changes = (
        text.swapcase(),
        text.upper(),
        text[:at] + text[at + 1 :],
        text[:at] + rng.choice("aZ \n\u0301%_*\U0001f600") + text[at:],
        text[:at] + rng.choice("aZ\uffff\U0001f600") + text[at + 1 :],
        normalize(rng.choice(("NFC", "NFD", "NFKC")), text),
        text + rng.choice(" \n"),
        random_text(rng),
    )
    return rng.choice(changes)


def _mutated_number(rng: random.Random, number: int | Decimal) -> Json:
    exact = Decimal(number)
    with localcontext(prec=500):  # one more in the last place, exactly, however many places
        step = Decimal((0, (1,), min(0, int(exact.as_tuple().exponent)) - rng.choice((0, 1, 20, 20))))
        near = exact + step if abs(exact.adjusted()) < 100 else -exact
    text = str(number)
    return rng.choice((near, near, -exact if exact else 1, text, random_number(rng), number == 1))


def _mutated_array(rng: random.Random, array: list[Json]) -> Json:
    at = rng.randrange(len(array))
    change = rng.randrange(5)
    if change == 0:
        return [*array[:at], *array[at + 1 :]]
    if change == 1:
        return [*array, random_scalar(rng)]
    if change == 2:
        return {str(place): item for place, item in enumerate(array)}
    return [*array[:at], mutated(rng, array[at]), *array[at + 1 :]]


def _mutated_object(rng: random.Random, document: dict[str, Json]) -> Json:
    key = rng.choice(list(document))
    rest = {name: item for name, item in document.items() if name != key}
    change = rng.randrange(6)
    if change == 0:
        return {
            **rest,
            rng.choice((key.swapcase(), normalize("NFD", key), f"{key} ", random_key(rng), f"{key}.a")): document[key],
        }
    if change == 1:
        return {**document, random_key(rng): random_scalar(rng)}
    if change == 2 and isinstance(document[key], dict) and document[key]:
        inner = rng.choice(list(document[key]))
        return {**rest, f"{key}.{inner}": document[key][inner]}
    return {**rest, key: mutated(rng, document[key])}


def with_a_relative(rng: random.Random, value: Json) -> Json:
    """Return the value with one scalar inside, if there is such a one, replaced by what is easily taken for it."""
    places = list(_replaceable(value, ()))
    if not places:
        return _mutated_object(rng, value) if isinstance(value, dict) and value else mutated(rng, value)
    place = rng.choice(places)
    return _replaced(value, place, lambda old: fresh(rng.choice(relatives(old))))


def _replaceable(value: Json, place: Place) -> Iterator[Place]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _replaceable(item, (*place, key))
    elif is_array(value):
        for at, item in enumerate(value):
            yield from _replaceable(item, (*place, at))
    elif relatives(value):
        yield place


def _replaced(value: Json, place: Place, change: Callable[[Json], Json]) -> Json:
    if not place:
        return change(value)
    copy: Json = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = _replaced(value[place[0]], place[1:], change)
    return copy


def thinned(rng: random.Random, value: Json) -> Json:
    """Return something that the value contains: fewer keys, elements in any order and number, numbers respelled."""
    if isinstance(value, dict):
        return {key: thinned(rng, item) for key, item in value.items() if rng.random() < 0.7}
    if is_array(value):
        size = rng.choice((0, 1, len(value), len(value) + 1)) if value else 0
        return [thinned(rng, rng.choice(value)) for _ in range(size)]
    return respelled(rng, value)

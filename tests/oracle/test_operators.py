"""Patterns with operators mean what the same question means in SQL, and what the plain reference says."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import given

from compliance_agent.domain import pattern as product
from compliance_agent.wire.json_document import read_json, write_json
from tests.oracle.comparing import PAIRS, PAIRS_FULL, SEED, Judged, ask_patterns, differences
from tests.support import plain_patterns
from tests.support.pattern_strategies import OPERATOR_NAMES, pairs, random_pair, seeded

if TYPE_CHECKING:
    from tests.oracle.comparing import Json

COUNT = PAIRS // 2
EACH_MIN = 500 * PAIRS // PAIRS_FULL
MATCHING_MIN = 0.3
OF_EITHER_VERDICT_MIN = 0.05

# Inside an expression: groups that are not (?:), letters after a backslash but d and w, [^ and [[.
# PostgreSQL reads those differently, or not at all.
_NOT_PORTABLE = re.compile(r"\(\?[^:]|\\[^dw\W]|\[\^|\[\[")


@pytest.fixture(scope="session")
def judged() -> list[Judged]:
    """Every operator in turn; each pair as texts, judged by the product and by the plain reference."""
    rng = seeded(f"operators {SEED}")
    result = []
    for number in range(COUNT):
        pair = random_pair(rng, OPERATOR_NAMES[number % len(OPERATOR_NAMES)])
        texts = [write_json(part) for part in pair]
        pattern, incident = (read_json(text, source=f"pair {number}") for text in texts)
        assert isinstance(incident, dict)
        ours = _product(pattern).matches(incident)
        verdicts = {"ours": ours, "plain": plain_patterns.matches(pattern, incident)}
        result.append(Judged(number, texts[0], texts[1], verdicts))
    return result


def test_the_product_says_what_the_plain_reference_says(judged) -> None:
    told = differences(judged)
    assert not told, told


def test_the_product_says_what_postgresql_says(oracle: psycopg.Connection, judged) -> None:
    asked = [one for one in judged if _can_be_asked(one)]
    verdicts = ask_patterns(oracle, [one.pattern for one in asked], [one.incident for one in asked])
    compared = [
        Judged(one.number, one.pattern, one.incident, {**one.verdicts, "postgres": verdict})
        for one, verdict in zip(asked, verdicts, strict=True)
    ]
    told = differences(compared)
    assert not told, told
    counts = Counter(name for one in asked for name in _operators(one))
    assert {name: counts[name] for name in OPERATOR_NAMES if counts[name] < EACH_MIN // 5} == {}


@given(pairs())
def test_any_pair_is_judged_as_the_plain_reference_judges_it(pair) -> None:
    """The same once more under hypothesis, which shrinks what differs."""
    pattern, incident = pair
    assert _product(pattern).matches(incident) is plain_patterns.matches(pattern, incident)


# An address, a network, what we say, and what inet <<= cidr says (None: inet refuses the text).
ADDRESSES_ON_PURPOSE = [
    ("fe80::1%eth0", "fe80::/10", True, None),
    ("fe80::1%12", "fe80::/10", True, None),
    ("1::1.2.3", "1::/16", False, True),
    ("192.0.2.07", "192.0.2.0/24", False, True),
    ("192.0.2.7/24", "192.0.2.0/24", False, True),
    ("192.0.2.7/32", "192.0.2.0/24", False, True),
]


@pytest.mark.parametrize(("address", "network", "ours", "inet"), ADDRESSES_ON_PURPOSE)
def test_cidr_differs_from_inet_on_purpose_only_here(oracle: psycopg.Connection, address, network, ours, inet) -> None:
    assert product.compile_pattern({"a": {"$cidr": network}}).matches({"a": address}) is ours
    try:
        (answer,) = oracle.execute("SELECT %s::inet <<= %s::cidr", [address, network]).fetchone() or (None,)
    except psycopg.errors.InvalidTextRepresentation:
        answer = None
    assert answer is inet


# A text, whether $cidr takes it for a network, and whether PostgreSQL's cidr does.
NETWORKS_OF_BOTH = [
    ("192.0.2.0/24", True, True),
    ("192.0.2.7", True, True),
    ("0.0.0.0/0", True, True),
    ("2001:db8::/32", True, True),
    ("::ffff:192.0.2.0/120", True, True),
    ("10.0.0.0/255.255.255.0", False, False),
    ("10.0.0.0/0.0.0.255", False, False),
    ("10.0.0.0/33", False, False),
    ("10.0.0.1/8", False, False),
    ("2001:db8::/129", False, False),
    ("2001:db8::/032", False, False),
    ("fe80::%eth0/64", False, False),
    ("fe80::%eth0", False, False),
    ("10.0.0.0/", False, False),
    ("", False, False),
]
NETWORKS_ON_PURPOSE = [
    ("10/8", False, True),
    ("192.168", False, True),
    ("010.0.0.0/8", False, True),
    ("10.0.0.0/08", False, True),
    ("1::1.2.0/112", False, True),
]


@pytest.mark.parametrize(("network", "ours", "cidr"), NETWORKS_OF_BOTH + NETWORKS_ON_PURPOSE)
def test_networks_differ_from_cidr_on_purpose_only_in_short_forms(
    oracle: psycopg.Connection, network, ours, cidr
) -> None:
    try:
        product.compile_pattern({"a": {"$cidr": network}})
        taken = True
    except product.PatternError:
        taken = False
    try:
        oracle.execute("SELECT %s::cidr", [network])
        known = True
    except psycopg.errors.InvalidTextRepresentation:
        known = False
    assert (taken, known) == (ours, cidr)


def test_every_operator_is_asked_often_and_answered_both_ways(judged) -> None:
    asked = Counter(name for one in judged for name in _operators(one))
    held = Counter(name for one in judged if one.verdicts["ours"] for name in _operators(one))
    assert {name: asked[name] for name in OPERATOR_NAMES if asked[name] < EACH_MIN} == {}
    share = {name: held[name] / asked[name] for name in OPERATOR_NAMES}
    assert {name: s for name, s in share.items() if not OF_EITHER_VERDICT_MIN < s < 1 - OF_EITHER_VERDICT_MIN} == {}


def test_no_pattern_that_matches_is_refused_as_contradictory(judged) -> None:
    refused = [one for one in judged if _is_refused(one)]
    wrongly = [str(one) for one in refused if one.verdicts["plain"]]
    assert not wrongly, "\n".join(wrongly)
    assert len(refused) < len(judged) // 4


def test_a_third_of_the_pairs_match(judged) -> None:
    assert sum(one.verdicts["ours"] for one in judged) >= MATCHING_MIN * len(judged)


def test_every_operator_of_the_product_is_generated() -> None:
    assert set(OPERATOR_NAMES) == product.OPERATOR_NAMES


def _product(pattern: Json) -> product.Pattern:
    """Compile a pattern; one that can never match has a meaning too."""
    return product.compile_pattern(pattern, contradictory_too=True)


def _is_refused(one: Judged) -> bool:
    try:
        product.compile_pattern(read_json(one.pattern, source="pattern"))
    except product.PatternError:
        return True
    return False


def _operators(one: Judged) -> set[str]:
    return plain_patterns.operators_in(read_json(one.pattern, source="pattern"))


def _can_be_asked(one: Judged) -> bool:
    """Tell whether SQL has the same question: case folding of ASCII only, expressions that both read alike."""
    pattern = read_json(one.pattern, source="pattern")
    names = plain_patterns.operators_in(pattern)
    if "$ieq" in names and "\\u" in one.pattern + one.incident:
        return False
    return "$regex" not in names or not any(_NOT_PORTABLE.search(text) for text in _expressions(pattern))


def _expressions(pattern: Json) -> list[str]:
    if isinstance(pattern, dict):
        own = [pattern["$regex"]] if isinstance(pattern.get("$regex"), str) else []
        return own + [text for part in pattern.values() for text in _expressions(part)]
    return [text for part in pattern for text in _expressions(part)] if isinstance(pattern, list) else []

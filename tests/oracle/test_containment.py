"""Patterns without operators mean what PostgreSQL's ``incident @> pattern`` means, on texts that both read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.wire.json_document import read_json
from tests.oracle.comparing import PAIRS, SEED, Judged, ask_containment, differences
from tests.support import plain_patterns
from tests.support.json_texts import written
from tests.support.pattern_strategies import as_pattern, random_containment, random_incident, seeded

if TYPE_CHECKING:
    import psycopg

COUNT = PAIRS - PAIRS // 2
MATCHING_MIN = 0.3


@pytest.fixture(scope="session")
def judged() -> list[Judged]:
    """Near-misses of containment as texts in any notation, keys that stand twice among them."""
    rng = seeded(f"containment {SEED}")
    result = []
    for number in range(COUNT):
        incident = random_incident(rng)
        texts = [written(rng, random_containment(rng, incident)), written(rng, incident)]
        plain, read = (read_json(text, source=f"pair {number}") for text in texts)
        assert isinstance(read, dict)
        pattern = as_pattern(plain)
        verdicts = {
            "ours": compile_pattern(pattern).matches(read),
            "plain": plain_patterns.matches(pattern, read),
        }
        result.append(Judged(number, texts[0], texts[1], verdicts))
    return result


def test_the_product_says_what_postgresql_says(oracle: psycopg.Connection, judged) -> None:
    verdicts = ask_containment(oracle, [one.pattern for one in judged], [one.incident for one in judged])
    compared = [
        Judged(one.number, one.pattern, one.incident, {**one.verdicts, "postgres": verdict})
        for one, verdict in zip(judged, verdicts, strict=True)
    ]
    told = differences(compared)
    assert not told, told


def test_a_third_of_the_pairs_match_and_a_third_do_not(judged) -> None:
    matching = sum(one.verdicts["ours"] for one in judged)
    assert MATCHING_MIN * len(judged) <= matching <= (1 - MATCHING_MIN) * len(judged)

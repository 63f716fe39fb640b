"""The index answers as the reference nodes do: same patterns, same order, whatever the patterns and documents."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.pattern_index import build, leaves, parts, texts
from compliance_agent.domain.pattern_index.index import PatternIndex
from compliance_agent.domain.rule import Action, Rule, RuleSource
from compliance_agent.domain.rule_set import RuleSet
from tests.support.pattern_strategies import (
    OPERATOR_NAMES,
    incidents,
    patterns,
    random_incident,
    random_pair,
    random_pattern,
    seeded,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from compliance_agent.domain.pattern import Pattern

ACTION = Action("alert", "NAME")


def compiled(source: Mapping[str, Any]) -> Pattern:
    return compile_pattern(source, contradictory_too=True)


def patterns_near(rng: random.Random, documents: Sequence[dict[str, Any]], count: int) -> list[Pattern]:
    return [compiled(random_pattern(rng, rng.choice(documents))) for _ in range(count)]


def assert_same(sources: Sequence[Pattern], documents: Sequence[Mapping[str, Any]]) -> int:
    index = PatternIndex((pattern, number) for number, pattern in enumerate(sources))
    hits = 0
    for document in documents:
        expected = [number for number, pattern in enumerate(sources) if pattern.matches(document)]
        answer = index.matching(document)
        assert answer == expected, (document, [sources[number].source for number in set(answer) ^ set(expected)])
        hits += len(expected)
    return hits


@pytest.mark.parametrize("seed", range(12))
def test_an_index_over_many_random_patterns_answers_like_the_reference(seed) -> None:
    rng = seeded(f"index {seed}")
    documents = [random_incident(rng) for _ in range(40)]
    assert assert_same(patterns_near(rng, documents, rng.choice([30, 150, 400])), documents) > 0


@pytest.mark.parametrize("name", OPERATOR_NAMES)
def test_an_index_over_many_patterns_with_one_operator_answers_like_the_reference(name) -> None:
    rng = seeded(f"index {name}")
    pairs = [random_pair(rng, name) for _ in range(150)]
    assert assert_same([compiled(pattern) for pattern, _ in pairs], [document for _, document in pairs]) > 0


@given(st.lists(patterns(), min_size=1, max_size=12), st.lists(incidents(), min_size=1, max_size=4))
def test_an_index_over_a_few_patterns_answers_like_the_reference(sources, documents) -> None:
    assert_same([compiled(source) for source in sources], documents)


VALUES = [None, True, False, 0, 1, 2, "0", "1", "a", "ab", "abc", "b", "", [], {}, [1], [True], ["a"], {"x": 1}]
"""Few values, so that patterns and documents meet often, and those that Python takes for equal."""


def small_clause(rng: random.Random) -> Any:
    numbers = [0, 1, 2, 3, 4]
    made = {
        "$eq": lambda: rng.choice(VALUES),
        "$ne": lambda: rng.choice(VALUES),
        "$in": lambda: rng.sample(VALUES, rng.randint(1, 4)),
        "$nin": lambda: rng.sample(VALUES, rng.randint(1, 3)),
        "$gt": lambda: rng.choice([*numbers, "a", "b"]),
        "$gte": lambda: rng.choice([*numbers, "ab", "b"]),
        "$lt": lambda: rng.choice([*numbers, "ab", "b"]),
        "$lte": lambda: rng.choice([*numbers, "a", "b"]),
        "$exists": lambda: rng.random() < 0.5,
        "$prefix": lambda: rng.choice(["a", "ab", "abc", "b", "1"]),
        "$suffix": lambda: rng.choice(["a", "b", "c", "bc", "1"]),
        "$contains": lambda: rng.choice(["a", "b", "bc", "c", "ab", "0", 1, True, None]),
        "$regex": lambda: rng.choice(["a", "^a", "b$", "^ab?c?$", "[0-9]"]),
        "$wildcard": lambda: rng.choice(["a*", "*b", "?", "a?c", "*"]),
        "$ieq": lambda: rng.choice(["A", "aB", "b"]),
    }
    if rng.random() < 0.45:
        return rng.choice(VALUES)
    return {name: made[name]() for name in rng.sample(sorted(made), rng.choice([1, 1, 1, 2]))}


def small_pattern(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    chance = rng.random()
    if chance < 0.1:
        return {"$or": [small_pattern(rng, depth + 1) for _ in range(rng.randint(1, 3))]}
    if chance < 0.15:
        return {"$not": small_pattern(rng, depth + 1)}
    fields = rng.sample("pqrs", rng.randint(1, 3))
    return {
        field: small_pattern(rng, depth + 1) if depth < 2 and rng.random() < 0.2 else small_clause(rng)
        for field in fields
    }


def small_document(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    fields = rng.sample("pqrs", rng.randint(0, 4))
    return {
        field: small_document(rng, depth + 1) if depth < 2 and rng.random() < 0.25 else rng.choice(VALUES)
        for field in fields
    }


@pytest.mark.parametrize("seed", range(20))
def test_values_that_python_takes_for_equal_are_told_apart(seed) -> None:
    rng = seeded(seed)
    sources = [compiled(small_pattern(rng)) for _ in range(rng.choice([3, 20, 200, 600]))]
    assert_same(sources, [small_document(rng) for _ in range(120)])


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (leaves, "SLOTS_PER_ROW_MAX", 0),
        (leaves, "FEW_NAMES", 0),
        (texts, "FEW_TEXTS", 0),
        (texts, "AUTOMATON_TEXT_MAX", 1),
        (texts, "OCCURRENCES_MAX", 1),
        (texts, "SET_SIZE_MAX", 1),
        (parts, "SHAPES_MAX", 0),
        (parts, "PART_SHAPES_MAX", 0),
        (parts, "PARTS_MAX", 0),
        (build, "DEPTH_MAX", 1),
        (build, "DULL_KEYS", 1_000),
        (build, "COPIES_MAX", 1),
    ],
)
def test_every_way_of_indexing_answers_like_the_reference(monkeypatch, module, name, value) -> None:
    monkeypatch.setattr(module, name, value)
    if name == "PART_SHAPES_MAX":
        monkeypatch.setattr(parts, "SHAPES_MAX", 0)
    rng = seeded(7)
    for _ in range(4):
        assert_same([compiled(small_pattern(rng)) for _ in range(250)], [small_document(rng) for _ in range(100)])
    documents = [random_incident(rng) for _ in range(30)]
    assert_same(patterns_near(rng, documents, 200), documents)


class ChangingRules(RuleBasedStateMachine):
    """Rules come, go, change and are switched off between matches; the index keeps up with the reference."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Rule] = {}
        self.set = RuleSet([])
        self.older: list[tuple[RuleSet, dict[str, Rule]]] = []
        self.documents: list[dict[str, Any]] = [{}]

    @rule(
        target=ids,
        rule_id=st.sampled_from([f"R-{number}" for number in range(40)]),
        seed=st.integers(0, 500),
        priority=st.integers(0, 3),
        source=st.sampled_from(list(RuleSource)),
        enabled=st.booleans(),
    )
    def add_or_replace(self, rule_id, seed, priority, source, enabled):
        pattern = compiled(small_pattern(seeded(seed)))
        self.change(Rule(rule_id, pattern, ACTION, priority=priority, source=source, enabled=enabled))
        return rule_id

    @rule(rule_id=ids)
    def take_out(self, rule_id) -> None:
        self.keep()
        self.set = self.set.without(rule_id)
        self.held.pop(rule_id, None)

    @rule(rule_id=ids)
    def take_out_and_put_back_the_same(self, rule_id) -> None:
        held = self.held.get(rule_id)
        if held is not None:
            self.take_out(rule_id)
            self.change(held)

    @rule(rule_id=ids)
    def switch(self, rule_id) -> None:
        held = self.held.get(rule_id)
        if held is not None:
            self.change(dataclasses.replace(held, enabled=not held.enabled))

    @rule(seed=st.integers(0, 10_000))
    def see_another_document(self, seed) -> None:
        self.documents = [*self.documents[-3:], small_document(seeded(seed))]

    def change(self, changed: Rule) -> None:
        self.keep()
        self.set = self.set.with_rule(changed)
        self.held[changed.rule_id] = changed

    def keep(self) -> None:
        self.older = [*self.older[-2:], (self.set, dict(self.held))]

    @invariant()
    def every_set_answers_for_its_own_rules(self) -> None:
        for held, rules in [*self.older, (self.set, self.held)]:
            ordered = sorted(rules.values(), key=lambda one: one.precedence)
            assert [one.rule_id for one in held.rules] == [one.rule_id for one in ordered]
            for document in self.documents:
                expected = [one.rule_id for one in ordered if one.enabled and one.pattern.matches(document)]
                assert [one.rule_id for one in held.matching(document)] == expected
                assert [one.rule_id for one in held.matching_one_by_one(document)] == expected
                first = held.first(document)
                assert (first.rule_id if first else None) == next(iter(expected), None)


TestChangingRules = ChangingRules.TestCase
TestChangingRules.settings = settings(stateful_step_count=40, deadline=None)

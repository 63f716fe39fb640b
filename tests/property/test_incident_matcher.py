"""Matching from bytes answers as reading everything and asking every pattern does, and refuses the same."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.pattern_index import parts
from compliance_agent.domain.pattern_index import reading as incident_reading
from compliance_agent.domain.rule import Action, Rule
from compliance_agent.domain.rule_set import RuleSet
from compliance_agent.errors import InputError
from compliance_agent.wire import json_document
from compliance_agent.wire.incident_matcher import IncidentMatcher
from compliance_agent.wire.json_document import read_json, write_json
from tests.support.pattern_strategies import random_incident, random_pattern, seeded

if TYPE_CHECKING:
    from collections.abc import Sequence

ACTION = Action("alert", "NAME")


def rule_set(*sources: dict[str, Any]) -> RuleSet:
    return RuleSet(
        Rule(f"R-{number}", compile_pattern(source, contradictory_too=True), ACTION)
        for number, source in enumerate(sources)
    )


def ids(rules: Sequence[Rule]) -> list[str]:
    return [rule.rule_id for rule in rules]


def answer(rules: RuleSet, data: bytes) -> list[str] | str:
    try:
        return ids(IncidentMatcher(rules, source="incident").matching(data))
    except InputError as error:
        return str(error)


def answer_the_long_way(rules: RuleSet, data: bytes) -> list[str] | str:
    try:
        document = read_json(data, source="incident")
        assert isinstance(document, dict)
        return ids(rules.matching_one_by_one(document))
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("seed", range(12))
def test_random_incidents_match_as_when_they_are_read_whole(seed) -> None:
    rng = seeded(f"bytes {seed}")
    incidents = [random_incident(rng) for _ in range(40)]
    sources = [random_pattern(rng, rng.choice(incidents)) for _ in range(rng.choice([1, 4, 60]))]
    rules = rule_set(*sources)
    matcher = IncidentMatcher(rules, source="x")
    for incident in incidents:
        data = write_json(incident).encode()
        assert ids(matcher.matching(data)) == answer_the_long_way(rules, data)
        raw = json.dumps(json.loads(data, parse_float=str), ensure_ascii=False).encode()
        assert ids(matcher.matching(raw)) == answer_the_long_way(rules, raw)


def test_a_set_of_several_indexes_matches_as_when_incidents_are_read_whole() -> None:
    rng = seeded("several indexes")
    incidents = [random_incident(rng) for _ in range(60)]
    rules = RuleSet([])
    for number in range(40):
        source = random_pattern(rng, rng.choice(incidents))
        rules = rules.with_rule(Rule(f"R-{number}", compile_pattern(source, contradictory_too=True), ACTION))
    for incident in incidents:
        data = write_json(incident).encode()
        assert answer(rules, data) == answer_the_long_way(rules, data)


@pytest.mark.parametrize("fields_max", [0, 1, 1_000])
def test_how_many_fields_are_picked_out_changes_no_answer(monkeypatch, fields_max) -> None:
    monkeypatch.setattr(incident_reading, "FIELDS_MAX", fields_max)
    rng = seeded("fields")
    incidents = [random_incident(rng) for _ in range(50)]
    sources = [random_pattern(rng, rng.choice(incidents)) for _ in range(40)]
    rules = rule_set(*sources)
    for incident in incidents:
        data = write_json(incident).encode()
        assert answer(rules, data) == answer_the_long_way(rules, data)


LATE = {"platform": "linux", "facts": {"number": {"$gt": 4}}}
"""Looks into ``facts`` only for Linux: elsewhere that object is never read."""


@pytest.mark.parametrize(
    "data",
    [
        b'{"platform": "linux", "facts": {"number": 5}}',
        b'{"platform": "linux", "facts": {"number": 4}}',
        b'{"platform": "linux", "facts": {"number": 5, "number": 4}}',
        b'{"platform": "linux", "facts": {"number": 1}, "facts": {"number": 5}}',
        b'{"platform": "windows", "platform": "linux", "facts": {"number": 5}}',
        b'{"platform": "linux", "facts": null}',
        b'{"platform": "linux", "facts": [5]}',
        b'{"platform": "linux", "facts": 5}',
        b'{"platform": "linux", "facts": {"number": [5]}}',
        b'{"platform": ["linux"], "facts": {"number": 5}}',
        b'{"platform": "linux", "facts": {"number": 18446744073709551616}}',
        b'{"platform": "linux", "facts": {"number": 1e400}}',
        b'{"platform": "linux", "facts": {"number": 1e16384}}',
        b'{"platform": "linux", "facts": {"number": -1e-16384}}',
        b'{"platform": "linux", "facts": {"number": ' + b"9" * 4000 + b"}}",
        b'{"platform": "linux", "facts": {"number": ' + b"9" * 4001 + b"}}",
        b'{"platform": "linux", "facts": {"number": 4.' + b"0" * 1500 + b"1}}",
        b'{"platform": "linux", "facts": {"number": 5, "\\u0000": 1}}',
        b'{"platform": "linu\\u0078", "facts": {"number": 5}}',
        b'{"platform": "linux", "\\ud800": 1, "facts": {"number": 5}}',
        b'{"platform": "linux", "facts": {"number": NaN}}',
        b'{"platform": "linux", "facts": {"number": 5}',
        b'{"platform": "linux", "facts": {"number": 05}}',
        b'{"platform": "li\xff", "facts": {"number": 5}}',
        b'\xef\xbb\xbf{"platform": "linux", "facts": {"number": 5}}',
        b"",
        b" ",
        b'{"platform": "linux", "facts": {"number": 5}} {}',
    ],
)
def test_unusual_incidents_are_answered_or_refused_as_when_they_are_read_whole(data) -> None:
    for rules in (rule_set(LATE), rule_set(LATE, {"facts": {"$not": {"number": 1}}})):
        assert answer(rules, data) == answer_the_long_way(rules, data)


BARE = ({"facts": {"opened": {"$exists": True}}}, {"facts": {"opened": {"$exists": False}}})
"""Of ``opened`` is only asked whether it is there."""


@pytest.mark.parametrize("more", [(), ({"facts": {"opened": {"at": 5}}},), ({"facts": {"opened": None}},)])
@pytest.mark.parametrize("shapes_max", [64, 0])
@pytest.mark.parametrize(
    "data",
    [
        b'{"facts": {"opened": null}}',
        b'{"facts": {"opened": 0}}',
        b'{"facts": {"opened": {"at": 5}}}',
        b'{"facts": {"opened": 1, "opened": null}}',
        b'{"facts": {"\\u006fpened": 1}}',
        b'{"facts": {}}',
        b'{"facts": null}',
        b"{}",
    ],
)
def test_a_field_that_must_only_be_there_may_hold_anything(monkeypatch, more, shapes_max, data) -> None:
    monkeypatch.setattr(parts, "SHAPES_MAX", shapes_max)
    monkeypatch.setattr(parts, "PART_SHAPES_MAX", shapes_max)
    rules = rule_set(*BARE, *more)
    assert answer(rules, data) == answer_the_long_way(rules, data)


@pytest.mark.parametrize("data", [b"[]", b"5", b"null", b'"text"'])
def test_an_incident_that_is_no_object_is_refused_with_its_source(data) -> None:
    with pytest.raises(InputError, match="incident:1:1: a line must hold a JSON object"):
        IncidentMatcher(rule_set(LATE), source="incident").matching(data)


def test_nesting_is_judged_where_rules_look_inside() -> None:
    deep = b'{"facts": {"list": ' + b"[" * 300 + b"]" * 300 + b"}}"
    with pytest.raises(InputError, match="nested deeper than 200"):
        IncidentMatcher(rule_set({"facts": {"list": [[]]}}), source="incident").matching(deep)


def test_what_no_rule_looks_at_is_not_read() -> None:
    beyond = b'{"platform": "linux", "other": 1e99999, "facts": {"number": 5}}'
    assert answer(rule_set(LATE), beyond) == ["R-0"]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(VALUES, st.booleans())
def test_the_fast_reader_and_the_careful_one_read_the_same(value, ascii_only) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_document, "is_usual", lambda *_args, **_named: False)
        careful = reading(data)
    assert repr(reading(data)) == repr(careful)


@given(
    VALUES, st.integers(0, 10_000), st.sampled_from([b"", b"0", b".", b"e9", b'"', b"\\", b"}", b"-", b"\x00", b"\xff"])
)
def test_the_fast_reader_refuses_what_the_careful_one_refuses(value, place, inserted) -> None:
    data = json.dumps(value).encode()
    at = place % (len(data) + 1)
    broken = data[:at] + inserted + data[at + (not inserted) :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_document, "is_usual", lambda *_args, **_named: False)
        careful = reading(broken)
    assert repr(reading(broken)) == repr(careful)


def reading(data: bytes) -> Any:
    try:
        return read_json(data, source="x")
    except InputError as error:
        return str(error)


BOUNDS = [
    "0",
    "0.1",
    "0.5",
    "1",
    "2",
    "0.30000000000000004",
    "9007199254740993",
    "1e-7",
    "-0.25",
    "1e300",
    "1e5000",
    "-1" + "0" * 400,
]
NEAR_BOUNDS = [
    "0.1000000000000000000001",
    "0.09999999999999999999999",
    "0.5",
    "0.50",
    "5e-1",
    "0.3",
    "0.30000000000000004",
    "0.3000000000000000444089209850062616169452667236328125",
    "9007199254740992",
    "9007199254740992.0",
    "9007199254740993.0",
    "9007199254740993.5",
    "-0.0",
    "0.0",
    "0",
    "1e-400",
    "-1e-400",
    "1e400",
    "1E-7",
    "0.0000001",
    "true",
    "null",
    '"0.5"',
    "[0.5]",
    '{"a": 0.5}',
]


@pytest.mark.parametrize("value", NEAR_BOUNDS)
@pytest.mark.parametrize("names", [("$gte", "$lt"), ("$gt", "$lte")])
def test_a_number_next_to_a_bound_falls_on_its_exact_side(value, names) -> None:
    low, high = names
    sources = [f'{{"facts": {{"n": {{"{low}": {bound}}}}}}}' for bound in BOUNDS]
    sources += [f'{{"facts": {{"n": {{"{high}": {bound}}}}}}}' for bound in BOUNDS]
    rules = rule_set(*(json.loads(source, parse_float=Decimal) for source in sources))
    data = f'{{"facts": {{"n": {value}}}, "other": 0.5}}'.encode()
    assert answer(rules, data) == answer_the_long_way(rules, data)


@given(
    st.lists(st.tuples(st.decimals(0, 1, places=3), st.decimals(0, 1, places=3)), min_size=1, max_size=60),
    st.lists(st.decimals(0, 1, places=3), min_size=1, max_size=20),
)
def test_numbers_in_many_ranges_are_answered_as_when_they_are_read_whole(ranges, values) -> None:
    rules = rule_set(
        *({"facts": {"n": {"$gte": min(pair), "$lt": max(pair)}}} for pair in ranges if len(set(pair)) > 1)
    )
    for value in values:
        data = f'{{"facts": {{"n": {value}}}}}'.encode()
        assert answer(rules, data) == answer_the_long_way(rules, data)


@pytest.mark.parametrize("inside", ["{}", "null", "5", "[]", '{"deeper": {}}', '{"deeper": null}', None])
@pytest.mark.parametrize("wanted", [True, False])
def test_an_object_that_is_not_there_has_no_fields_and_lacks_none(inside, wanted) -> None:
    rules = rule_set(
        {"facts": {"one": {"$exists": wanted}}},
        {"facts": {"deeper": {"one": {"$exists": wanted}}}},
        {"facts": {"deeper": {"one": {"$ne": 3}}}},
    )
    data = b"{}" if inside is None else f'{{"facts": {inside}}}'.encode()
    assert answer(rules, data) == answer_the_long_way(rules, data)

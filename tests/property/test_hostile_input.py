"""Hostile documents, patterns and rules: an answer or a clear refusal, never a crash, never a blow-up.

The sizes below finish at once when the work grows with the size, and not before the suite's time-out
when it grows with its square.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from compliance_agent.cli.main import run
from compliance_agent.domain.json_value import canonical, equal
from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.pattern_nodes import PAIRS_FEW, show
from compliance_agent.domain.rule import RuleSource
from compliance_agent.errors import InputError
from compliance_agent.wire.json_document import read_json
from compliance_agent.wire.located import Located
from compliance_agent.wire.numbers import DIGITS_MAX, EXPONENT_MAX
from compliance_agent.wire.rule_document import read_offline_rules, read_rules

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.domain.json_value import JsonValue

MANY: Final = 100_000
LONG: Final = "a" * 10_000_000
HASH_PRIME: Final = sys.hash_info.modulus
"""All multiples of it have the same hash as Python integers."""


def judged(pattern: JsonValue, document: dict[str, Any]) -> bool:
    """Return the verdict, after the explanation agreed with it."""
    compiled = compile_pattern(pattern)
    verdict = compiled.matches(document)
    clauses = compiled.explain(document)
    assert all(clause.holds for clause in clauses) is verdict
    assert all(len(clause.actual) <= 80 for clause in clauses)
    return verdict


def refusal(text: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_json(text, source="f")
    (problem,) = caught.value.problems
    assert problem.line >= 1
    assert problem.column >= 1
    assert len(problem.message) < 200
    return problem.message


# --- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 10_000 + "]" * 10_000, "nested deeper"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "nested deeper"),
        ("[" * 10_000_000, "nested deeper"),
        ("[[]" * 201 + '"' + "\\" * 10_000_000, "nested deeper"),
        ("NaN", "NaN"),
        ('{"a": [Infinity]}', "Infinity"),
        ("-Infinity", "Infinity"),
        ("1e16384", "exponent"),
        ("1e-16384", "exponent"),
        ("1e" + "9" * 10_000_000, "exponent"),
        ("9" * 5_000, "digits"),
        ("-" + "9" * 10_000_000, "digits"),
        ("0." + "9" * 10_000_000, "digits"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ('"' + "\\u00e9" * 1_000_000 + '\\uDBFF"', "surrogate"),
        ('"\\u0000"', "NUL"),
        ('"a\0b"', "not JSON"),
        ('"' + LONG, "not JSON"),
        (LONG, "not JSON"),
        (b"\xff\xfe{\x00}\x00", "UTF-8"),
        (b'"\xed\xa0\x80"', "UTF-8"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_what_cannot_be_held_exactly_is_refused_at_its_place(text: str | bytes, why: str) -> None:
    assert why in refusal(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18446744073709551616", 2**64),
        ("-18446744073709551617", -(2**64) - 1),
        ("1e400", Decimal("1e400")),
        (f"1e{EXPONENT_MAX}", Decimal(f"1e{EXPONENT_MAX}")),
        ("1e" + "0" * 10_000_000 + "2", Decimal(100)),
        ("1e-" + "0" * 10_000 + "2", Decimal("0.01")),
        ("9" * DIGITS_MAX, int("9" * DIGITS_MAX)),
        (f'"{LONG}"', LONG),
        ('"\\ud83d\\ude00"', "😀"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)
def test_what_can_be_held_exactly_is_read_exactly(text: str, value: object) -> None:
    found = read_json(text, source="f")
    assert found == value
    assert not isinstance(found, float)


def test_a_hundred_thousand_keys_and_elements_are_read() -> None:
    text = json.dumps({f"k{number}": [number] for number in range(MANY)})
    found = read_json(text, source="f")
    assert isinstance(found, dict)
    assert len(found) == MANY


# --- matching ---------------------------------------------------------------------------------------

ODD: Final[list[Any]] = [
    2**64,
    Decimal("1e400"),
    int("9" * DIGITS_MAX),
    Decimal(f"1E+{EXPONENT_MAX}"),
    Decimal(f"-1E-{EXPONENT_MAX}"),
    Decimal("9" * DIGITS_MAX + "." + "9" * EXPONENT_MAX),
    LONG,
    "\ud800",
    "a\0b",
    list(range(MANY)),
    {str(number): number for number in range(MANY)},
    [[[]] * 1_000] * 10,
]
ARGUMENTS: Final[list[JsonValue]] = [
    {"$eq": 2**64},
    {"$eq": Decimal("1e400")},
    {"$eq": {}},
    {"$ne": "a"},
    {"$in": [2**64, "a", [1], None]},
    {"$nin": [Decimal(f"1E+{EXPONENT_MAX}"), {"a": 1}]},
    {"$ieq": "ß"},
    *({name: argument} for name in ("$gt", "$gte", "$lt", "$lte") for argument in (0, Decimal("1e400"), "a")),
    {"$exists": True},
    {"$prefix": "a"},
    {"$suffix": "b"},
    {"$contains": "b"},
    {"$contains": 2**64},
    {"$wildcard": "*a" * 400 + "*b"},
    {"$regex": "^(a+)+$"},
    {"$regex": "(a|aa)*(a|aa)*b"},
    {"$cidr": "10.0.0.0/8"},
    {"$not": {"$gt": 1}},
    {"$or": [{"$lt": 0}, {"x": 1}]},
    [1, "a"],
    {"a": {"b": 1}},
]


@pytest.mark.parametrize("value", ODD, ids=lambda value: show(value, 12))
@pytest.mark.parametrize("argument", ARGUMENTS, ids=lambda value: show(value, 30))
def test_every_operator_answers_on_an_odd_value(argument: JsonValue, value: Any) -> None:
    judged({"a": argument}, {"a": value})


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [{"a": value}]
    return value


@pytest.mark.parametrize("argument", ARGUMENTS, ids=lambda value: show(value, 30))
def test_a_value_nested_ten_thousand_deep_is_answered(argument: JsonValue) -> None:
    judged({"a": argument}, {"a": deep(10_000)})


@pytest.mark.parametrize("operator", ["$eq", "$ne", "$contains"])
def test_an_argument_nested_ten_thousand_deep_is_refused(operator: str) -> None:
    with pytest.raises(PatternError, match="nested deeper"):
        compile_pattern({"a": {operator: deep(10_000)}})


@pytest.mark.parametrize(
    "pattern",
    [
        {"a": Decimal("NaN")},
        {"a": {"$gt": Decimal("NaN")}},
        {"a": {"$in": [Decimal("Infinity")]}},
        {"a": float("inf")},
        {"a": {"$regex": "\ud800"}},
        {"a": {"$wildcard": "\ud800*"}},
        {"a": {"$regex": "x{1000}{1000}"}},
        {"a": {"$regex": "((a{0,100}){0,100}){0,100}"}},
        {"a": {"$regex": r"\pL{1000}"}},
        {"a": {"$regex": "(" * 1000}},
        {"a": {"$regex": "a" * 1001}},
        {LONG: 1},
        {"a": {f"${LONG}": 1}},
        {"a": {"$in": list(range(MANY))}},
        {str(number): number for number in range(MANY)},
        {"a": list(range(MANY))},
    ],
    ids=lambda value: show(value, 30),
)
def test_a_hostile_pattern_is_refused(pattern: Any) -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("last", ["b", "a"])
def test_an_expression_that_explodes_elsewhere_answers(last: str) -> None:
    assert judged({"a": {"$regex": "^(a+)+$"}}, {"a": LONG + last}) is (last == "a")


@pytest.mark.parametrize(
    ("wanted", "held"),
    [
        (list(range(MANY - 9_000, MANY)), list(range(MANY))),
        ([str(number) for number in range(9_000)], [str(number) for number in range(MANY)]),
        ([{"b": number} for number in range(3_000)], [{"b": number, "c": 1} for number in range(MANY)]),
        ([{"$in": list(range(-9_999, 1))}], list(range(MANY))),
        ([{"$cidr": [f"10.{i >> 8}.{i & 255}.0/24" for i in range(10_000)]}], ["192.0.2.1"] * 9_000 + ["10.0.0.1"]),
        ([HASH_PRIME * number for number in range(9_000)], [HASH_PRIME * number for number in range(MANY)]),
        ([Decimal(number) for number in range(9_000)], list(range(MANY))),
        ([[number] for number in range(20)], [[number] for number in range(MANY)]),
    ],
    ids=["numbers", "text", "objects", "in", "cidr", "same hashes", "decimals", "arrays"],
)
def test_long_arrays_on_both_sides_are_compared(wanted: list[Any], held: list[Any]) -> None:
    assert judged({"a": wanted}, {"a": held})
    assert not judged({"a": [*wanted[:-1], "not there"]}, {"a": held})


def test_a_value_is_looked_up_among_ten_thousand() -> None:
    pattern: JsonValue = {"a": [{"$in": [[number, {"b": number}] for number in range(10_000)]}]}
    assert judged(pattern, {"a": [[-1, {"b": 1}]] * 10_000 + [[Decimal("7.0"), {"b": 7}]]})
    assert not judged(pattern, {"a": [[-1, {"b": 1}]] * 10_000})


def test_thousands_of_clauses_over_a_huge_value_are_explained() -> None:
    clauses = compile_pattern({"a": {"$and": [{"$ne": number} for number in range(3_000)]}}).explain({"a": LONG})
    assert len(clauses) == 3_000


LONG_LIST: Final = list(range(300_000))
ALTERNATIVES: Final = [{"$in": [[number]]} for number in range(3_000)]


@pytest.mark.parametrize(
    "clauses",
    [
        {"$eq": LONG_LIST},
        {"$ne": LONG_LIST},
        {"$in": [LONG_LIST]},
        {"$in": [LONG]},
        {"$ieq": LONG},
        {"$prefix": LONG},
        {"$gt": LONG},
    ],
    ids=lambda clauses: show(clauses, 20),
)
def test_a_huge_argument_is_not_read_again_for_each_of_thousands_of_alternatives(clauses: dict[str, Any]) -> None:
    try:
        compile_pattern({"a": {**clauses, "$or": ALTERNATIVES}})
    except PatternError as error:
        assert "can never hold" in error.message  # noqa: PT017 - either is right


def test_a_million_values_are_proven_to_exclude_each_other() -> None:
    rows: JsonValue = [[row * 100 + column for column in range(100)] for row in range(10_000)]
    with pytest.raises(PatternError, match="can never hold together"):
        compile_pattern({"$and": [{"a": {"$in": rows}}, {"a": {"$nin": rows}}]})


def test_who_is_to_blame_is_not_asked_for_ever() -> None:
    halves: list[JsonValue] = [{"$nin": list(range(start, start + 5_000))} for start in (0, 5_000)]
    others: list[JsonValue] = [{"$ne": -number} for number in range(1, 4_000)]
    with pytest.raises(PatternError, match="can never hold together with the clauses before it") as caught:
        compile_pattern({"a": {"$and": [halves[0], *others, halves[1], {"$in": list(range(10_000))}]}})
    assert caught.value.path == "a.$and[4001].$in"


# --- the fast ways are the plain ones ---------------------------------------------------------------

numbers: st.SearchStrategy[Any] = st.integers(-3, 3) | st.sampled_from(
    [Decimal(text) for text in ("1.0", "-0", "1E+2", "0.10", "1e-3")]
)
texts = st.sampled_from(["", "1", "a", "1e2", "number", "composed", '"', ",", '1,"a"', "[1,]", "\\"])
scalars = st.none() | st.booleans() | numbers | texts | st.just(100)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)


@given(values, values)
@example(1, True)
@example(10**400, Decimal("1E+400"))
@example(10**5_000, Decimal("1E+5000"))
@example(Decimal("0.001"), Decimal("1e-3"))
@example(["number"], 1)
@example([], {})
@example([None], [])
@example({"a": 1, "b": 2}, {"b": Decimal("2.0"), "a": 1})
def test_two_values_have_one_key_exactly_when_they_are_equal(left, right) -> None:
    assert (canonical(left) == canonical(right)) is equal(left, right)
    if equal(left, right):
        assert hash(canonical(left)) == hash(canonical(right))


@given(st.integers() | st.decimals(allow_nan=False, allow_infinity=False), st.integers(-30, 30))
def test_a_number_has_one_key_however_it_is_written(number, shift) -> None:
    written = Decimal(number).as_tuple()
    longer = Decimal((written.sign, (*written.digits, *([0] * abs(shift))), int(written.exponent) - abs(shift)))
    assert canonical(number) == canonical(longer)


@given(st.lists(values, min_size=1, max_size=6), st.lists(values, max_size=8))
@example([{"a": 1, "b": True}], [{"a": Decimal("1.0"), "b": 1}])
def test_a_long_array_is_judged_as_a_short_one(wanted, held) -> None:
    """Padding with what matches nothing takes the way of long arrays, and must not change the verdict."""
    pattern = compile_pattern({"a": wanted})
    padding = ["padding"] * (PAIRS_FEW + 1)
    assert pattern.matches({"a": held + padding}) is pattern.matches({"a": held})


# --- rules and the command line -----------------------------------------------------------------------


def rules_text(more: str = "", pattern: str = '{"a": 1}', rule_id: str = "r") -> str:
    return f'{{"rules": [{{"rule_id": "{rule_id}", "incident_pattern": {pattern}, "action": "alert:x"{more}}}]}}'


HOSTILE_RULES: Final = {
    "huge priority": rules_text(f', "priority": 1e{EXPONENT_MAX}'),
    "long priority": rules_text(', "priority": ' + "9" * DIGITS_MAX),
    "many keys": rules_text("".join(f', "k{number}": 1' for number in range(MANY))),
    "long key": rules_text(f', "{LONG}": 1'),
    "long id": rules_text(rule_id=LONG),
    "many clauses": rules_text(pattern=json.dumps({str(number): number for number in range(MANY)})),
    "deep": rules_text(pattern='{"a":' * 190 + "1" + "}" * 190),
    "many conditions": json.dumps(
        {"rules": [{"id": "r", "actions": ["a:b"], "conditions": [{"field": "a", "operator": "?", "value": 1}] * MANY}]}
    ),
    "long way": json.dumps(
        {"rules": [{"id": "r", "actions": ["a:b"], "conditions": [{"field": "a." * MANY, "operator": "exists"}]}]}
    ),
}


@pytest.mark.parametrize("name", HOSTILE_RULES)
def test_a_hostile_rule_is_set_aside_with_a_reason_that_can_be_read(name: str) -> None:
    rules, (quarantined,) = read_rules(
        Located(read_json(HOSTILE_RULES[name], source="f"), "f"), source=RuleSource.SYNCED
    )
    assert rules == []
    assert quarantined.reason
    assert len(quarantined.reason) < 20_000


@pytest.mark.parametrize("name", ["huge priority", "many clauses", "deep", "many conditions", "long way"])
def test_a_hostile_offline_rule_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        read_offline_rules(Located(read_json(HOSTILE_RULES[name], source="f"), "f"))


@pytest.fixture
def match(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Run ``match`` over a rules text and an incidents text."""

    def run_match(rules: str, incidents: str) -> tuple[int, str, str]:
        (tmp_path / "rules.json").write_text(rules, encoding="utf-8", errors="surrogatepass")
        (tmp_path / "incidents.ndjson").write_text(incidents, encoding="utf-8", errors="surrogatepass")
        paths = ["--rules", str(tmp_path / "rules.json"), "--incidents", str(tmp_path / "incidents.ndjson")]
        code = run(["match", *paths, "-o", "ndjson"])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run_match


@pytest.mark.parametrize(
    "incident",
    ['{"a":' * 10_000 + "1" + "}" * 10_000, '{"a": NaN}', '{"a": 1e16384}', '{"a": "\\ud800"}', '{"a": "\ud800"}'],
    ids=["deep", "NaN", "exponent", "escaped half", "half"],
)
def test_match_refuses_a_hostile_incident_by_its_line(match, incident: str) -> None:
    code, out, err = match(rules_text(), f'{{"a": 1}}\n{incident}\n')
    assert code == 1
    assert out.splitlines() in ([], ['{"incident":0,"rules":["r"]}'])
    assert "incidents.ndjson:2" in err
    assert "Traceback" not in err


def test_match_answers_on_huge_incidents(match) -> None:
    incidents = [
        {"a": LONG},
        {"a": list(range(MANY))},
        {f"k{number}": number for number in range(MANY)},
        {"a": 2**64},
    ]
    pattern = {"$or": [{"a": {"$regex": "^(a+)+$"}}, {"a": [MANY - 1, {"$gt": MANY - 2}]}, {"a": 2**64}]}
    code, out, err = match(
        rules_text(pattern=json.dumps(pattern)), "".join(json.dumps(one) + "\n" for one in incidents)
    )
    assert (code, err) == (0, "")
    assert [json.loads(line)["rules"] for line in out.splitlines()] == [["r"], ["r"], [], ["r"]]


@pytest.mark.parametrize("name", ["huge priority", "deep", "many conditions"])
def test_match_refuses_hostile_rules(match, name: str) -> None:
    code, out, err = match(HOSTILE_RULES[name], '{"a": 1}\n')
    assert (code, out) == (1, "")
    assert "rules[0]" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "incident", [{"incident_type": LONG}, {"incident_type": list(range(MANY))}, {"facts": deep(40)}]
)
def test_explain_answers_on_a_huge_incident(tmp_path, capsys, incident: Any) -> None:
    path = tmp_path / "incident.json"
    path.write_text(json.dumps(incident), encoding="utf-8")
    code = run(["explain", str(path), "--local", "-o", "json"])
    assert code == 0
    assert json.loads(capsys.readouterr().out)["winner"] is None


@given(st.text() | st.recursive(scalars, lambda inner: st.lists(inner, max_size=3)).map(str))
def test_any_text_as_an_expression_compiles_or_is_refused(text: str) -> None:
    for name in ("$regex", "$wildcard", "$cidr", "$ieq"):
        try:
            compiled = compile_pattern({"a": {name: text}})
        except PatternError:
            continue
        assert compiled.matches({"a": text}) in {True, False}

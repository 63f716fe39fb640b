"""Containment as a table, by class of case: what it says holds for us and for a live server.

PostgreSQL has one exception: an array *at the top* contains a scalar that is one of its elements.
Patterns and incidents of ours are objects at the top, always, so it can never apply here; inside an
object PostgreSQL does not know it either.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.wire.json_document import read_json
from tests.oracle.comparing import ask_containment
from tests.support.pattern_strategies import as_pattern

if TYPE_CHECKING:
    import psycopg

# Document, pattern: contained.
CONTAINED = [
    # objects: some of the keys, all of them, none
    ('{"disk": "sda", "size": 9}', '{"disk": "sda"}'),
    ('{"disk": "sda", "size": 9}', '{"size": 9, "disk": "sda"}'),
    ('{"disk": "sda", "size": 9}', "{}"),
    ("{}", "{}"),
    ('{"disk": null, "size": 9}', '{"disk": null}'),
    ('{"": 0}', '{"": 0}'),
    # a key that stands twice: the last counts, in either
    ('{"disk": "sda", "disk": "sdb"}', '{"disk": "sdb"}'),
    ('{"disk": "sdb"}', '{"disk": "sda", "disk": "sdb"}'),
    # objects in objects
    ('{"disk": {"name": "sda", "smart": {"ok": true}}}', '{"disk": {"smart": {"ok": true}}}'),
    ('{"disk": {"name": "sda"}}', '{"disk": {}}'),
    ('{"disk": {}}', '{"disk": {}}'),
    # arrays: any order, any number, parts, nothing
    ('["sda", "sdb", "sdc"]', '["sdc", "sda"]'),
    ('["sda", "sdb"]', '["sda", "sda", "sdb", "sda"]'),
    ('["sda", "sda"]', '["sda"]'),
    ('["sda"]', "[]"),
    ("[]", "[]"),
    ("[1, 2, null, true]", "[null, true]"),
    ("[false]", "[false, false]"),
    # arrays in objects
    ('{"disks": ["sda", "sdb"], "count": 2}', '{"disks": ["sdb"]}'),
    ('{"disks": ["sda"]}', '{"disks": []}'),
    ('{"disks": [], "count": 0}', '{"disks": [], "count": 0}'),
    # arrays in arrays: each inner one in some inner one
    ("[[1, 2], [3]]", "[[2]]"),
    ("[[1, 2], [3]]", "[[3], [1]]"),
    ("[[1, 2], [3]]", "[[], [1], [2]]"),
    ("[[[1]], 2]", "[[[1]]]"),
    ("[[[1]], 2]", "[[[]], 2]"),
    ("[[]]", "[[]]"),
    # objects in arrays: all conditions of one in one
    ('[{"disk": "sda", "ok": true}, {"disk": "sdb"}]', '[{"ok": true}]'),
    ('[{"disk": "sda", "ok": true}, {"disk": "sdb"}]', '[{"disk": "sdb"}, {"disk": "sda"}]'),
    ('[{"disk": "sda"}, 1]', "[{}, 1]"),
    ('{"a": [{"b": [{"c": [1, 2]}, 3]}]}', '{"a": [{"b": [{"c": [2]}]}]}'),
    # a scalar contains itself
    ("7", "7"),
    ('"sda"', '"sda"'),
    ("null", "null"),
    ("true", "true"),
    # numbers: the value, not the notation
    ("1", "1.0"),
    ("[10]", "[1e1]"),
    ('{"n": 0.10}', '{"n": 1E-1}'),
    ("0", "-0"),
    ("-0.0", "0e7"),
    ("18446744073709551617", "18446744073709551617.000"),
    ("1e400", "10e399"),
    # texts: the characters, not how they are written
    ('"\\u0041"', '"A"'),
    ('"\\ud83d\\ude00"', '"\U0001f600"'),
]
NOT_CONTAINED = [
    ('{"disk": "sda"}', '{"disk": "sdb"}'),
    ('{"disk": "sda"}', '{"name": "sda"}'),
    ('{"disk": "sda"}', '{"disk": null}'),
    ('{"disk": "sda"}', '{"name": null}'),
    ("{}", '{"name": null}'),
    ('{"disk": null}', '{"disk": {}}'),
    ('{"disk": "sda"}', '{"disk": "sda", "size": 9}'),
    ('{"disk": "sda", "disk": "sdb"}', '{"disk": "sda"}'),
    ('{"disk": {"name": "sda"}}', '{"disk": "sda"}'),
    ('{"disk": {"name": "sda"}}', '{"name": "sda"}'),
    ('{"disk": {"name": "sda"}}', '{"disk": {"name": {}}}'),
    ('{"disk.name": "sda"}', '{"disk": {"name": "sda"}}'),
    ('{"disk": {"name": "sda"}}', '{"disk.name": "sda"}'),
    ('["sda", "sdb"]', '["sda", "sdc"]'),
    ("[]", "[null]"),
    ("[[]]", "[[null]]"),
    ("[]", "[[]]"),
    ("[1]", '["1"]'),
    ("[1]", "[true]"),
    ("[0]", "[false]"),
    ('{"disks": ["sda", "sdb"]}', '{"disks": ["sdb", "sdc"]}'),
    ('{"disks": ["sda"]}', '{"disks": "sda"}'),
    ('{"disks": "sda"}', '{"disks": ["sda"]}'),
    ('{"disks": ["sd"]}', '{"disks": ["s"]}'),
    ('{"disks": []}', '{"disks": {}}'),
    ("[1, 2]", "[[1]]"),
    ("[[1, 2]]", "[1]"),
    ("[[1], [2]]", "[[1, 2]]"),
    ("[[[1]]]", "[[1]]"),
    ('[{"disk": "sda"}, {"ok": true}]', '[{"disk": "sda", "ok": true}]'),
    ('["disk"]', '{"disk": "sda"}'),
    ('{"disk": 1}', '["disk"]'),
    ("{}", "[]"),
    ("[]", "{}"),
    ("7", "8"),
    ("7", '"7"'),
    ("7", "[7]"),
    ("null", "[]"),
    ("9007199254740993", "9007199254740992"),
    ("0.1", "0.1000000000000000000000000000000000000001"),
    ("1e400", "1e401"),
    ("1e-400", "0"),
    ('"sda"', '"SDA"'),
    ('"sda"', '"sda "'),
    ('"\u00e9"', '"e\u0301"'),
    ('{"\u00e9": 1}', '{"e\u0301": 1}'),
    ('{"Disk": 1}', '{"disk": 1}'),
]
# At the top PostgreSQL says yes; inside an object, the only place where our patterns have it, no.
CONTAINED_AT_THE_TOP_ONLY = [
    ('["sda", "sdb"]', '"sda"'),
    ("[1, 2]", "2.0"),
    ("[null]", "null"),
    ("[true, false]", "false"),
]
TABLE = (
    [(*pair, True, True) for pair in CONTAINED]
    + [(*pair, False, False) for pair in NOT_CONTAINED]
    + [(*pair, False, True) for pair in CONTAINED_AT_THE_TOP_ONLY]
)


def _inside(text: str) -> str:
    return f'{{"field": {text}}}'


@pytest.mark.parametrize(("document", "pattern", "inside", "_at_the_top"), TABLE)
def test_inside_a_field_we_say_what_the_table_says(document, pattern, inside, _at_the_top) -> None:
    compiled = compile_pattern(as_pattern(read_json(_inside(pattern), source="pattern")))
    read = read_json(_inside(document), source="document")
    assert isinstance(read, dict)
    assert compiled.matches(read) is inside


@pytest.mark.parametrize(("document", "pattern", "_inside", "at_the_top"), TABLE)
def test_at_the_top_we_say_what_the_table_says_of_objects_and_refuse_the_rest(
    document, pattern, _inside, at_the_top
) -> None:
    read = read_json(document, source="document")
    plain = read_json(pattern, source="pattern")
    if not isinstance(plain, dict) or not plain:
        with pytest.raises(PatternError):
            compile_pattern(plain)
    elif isinstance(read, dict):
        assert compile_pattern(as_pattern(plain)).matches(read) is at_the_top


def test_a_server_says_what_the_table_says(oracle: psycopg.Connection) -> None:
    documents = [row[0] for row in TABLE]
    patterns = [row[1] for row in TABLE]
    at_the_top = ask_containment(oracle, patterns, documents)
    inside = ask_containment(oracle, [_inside(text) for text in patterns], [_inside(text) for text in documents])
    said = [(*row[:2], *verdicts) for row, verdicts in zip(TABLE, zip(inside, at_the_top, strict=True), strict=True)]
    assert said == TABLE


def test_no_case_stands_twice() -> None:
    assert len({(document, pattern) for document, pattern, _, _ in TABLE}) == len(TABLE)
    assert all(json.loads(text) is not ... for row in TABLE for text in row[:2])

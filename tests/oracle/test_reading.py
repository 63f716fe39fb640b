"""What the reader takes for JSON is what PostgreSQL takes for ``jsonb``, and both read the same value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.errors import InputError
from compliance_agent.wire.json_document import read_json, write_json
from tests.oracle.comparing import PAIRS, SEED
from tests.support.json_texts import damaged, written
from tests.support.pattern_strategies import random_incident, seeded
from tests.support.pattern_values import random_value

if TYPE_CHECKING:
    import random

    import psycopg

BOTH_READ = [
    *(b"{}", b"[]", b'""', b"0", b"-0", b"null", b" \t\r\n1\n", b'{"a":1,"a":2}', b'{"":{"":[]}}', b"1e5", b"1E+05"),
    *(b"0.10", b"-0.0e-0", b'"\\ud83d\\ude00"', b'"\\u00e9\xc3\xa9"', b'"\\/\\b\\f\\n\\r\\t\\"\\\\"', b'"\x7f"'),
    *(b"9" * 4_000, b"1e16383", b"1e-16383", b"1.5e-16382", b"0." + b"5" * 16_383, b"[" * 200 + b"]" * 200),
    *(b"1e0000000000000000005", b"18446744073709551616", b'"\xef\xbb\xbf"', b'"\xf4\x8f\xbf\xbf"', b'"\xef\xbf\xbf"'),
]
BOTH_REFUSE = [
    *(
        b"",
        b" ",
        b"{",
        b"[1,]",
        b'{"a":1,}',
        b"{a:1}",
        b"{'a':1}",
        b"{1:1}",
        b'{"a"}',
        b"1 2",
        b"[1 2]",
        b"nul",
        b"True",
    ),
    *(
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"-",
        b"1e",
        b"0x10",
        b"1_000",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"//x\n1",
        b"\x0b1",
    ),
    *(
        b'"\\u0000"',
        b'{"\\u0000":1}',
        b'"\x00"',
        b"\x00",
        b'"\n"',
        b'"\x1f"',
        b'"\\x41"',
        b'"\\u12"',
        b'"\\u00g0"',
        b'"\\',
    ),
    *(
        b'"\\ud800"',
        b'"\\udc00"',
        b'"\\udc00\\ud800"',
        b'"\\ud800\\ud800"',
        b'"\\ud800x"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
    ),
    *(
        b'"\xc0\x80"',
        b'"\xf4\x90\x80\x80"',
        b'"\xe2\x82"',
        b'"open',
        b"\xa01",
        b"\xc2\xa01",
        b'"\\U0041"',
        b"]",
        b'"a""b"',
    ),
    *(b"1e-16384", b"0.1e-16383", b"12.34e-16382", b"0.0e-16383", b"1e131072", b"0." + b"5" * 16_384),
    *(b"[" * 50_000 + b"]" * 50_000, b"1e99999999999999999999", b"1e-99999999999999999999"),
]
# Ours are the narrower bounds, so that a document costs bounded time; and files may begin with a byte order mark.
ONLY_POSTGRESQL_READS = [b"9" * 4_001, b"1e16384", b"0e16384", b"[" * 201 + b"]" * 201, b"0." + b"5" * 16_384 + b"e9"]
ONLY_WE_READ = [b"\xef\xbb\xbf{}"]


@pytest.mark.parametrize("document", BOTH_READ, ids=lambda document: document[:20])
def test_both_read_it_as_the_same_value(oracle: psycopg.Connection, document) -> None:
    assert _refusals(oracle, [document]) == [None]
    value = read_json(document, source="document")
    assert _same_values(oracle, [document], [write_json(value)]) == [True]


@pytest.mark.parametrize("document", BOTH_REFUSE, ids=lambda document: document[:20])
def test_both_refuse_it(oracle: psycopg.Connection, document) -> None:
    assert _refusals(oracle, [document]) != [None]
    with pytest.raises(InputError):
        read_json(document, source="document")


@pytest.mark.parametrize("document", ONLY_POSTGRESQL_READS, ids=lambda document: document[:20])
def test_only_postgresql_reads_what_is_over_our_bounds(oracle: psycopg.Connection, document) -> None:
    assert _refusals(oracle, [document]) == [None]
    assert _ours(document)[1].startswith(("a number", "nested deeper"))


@pytest.mark.parametrize("document", ONLY_WE_READ, ids=lambda document: document[:20])
def test_only_we_read_a_byte_order_mark(oracle: psycopg.Connection, document) -> None:
    assert _refusals(oracle, [document]) != [None]
    assert read_json(document, source="document") == {}


def test_damaged_documents_are_read_or_refused_alike(oracle: psycopg.Connection) -> None:
    """Half of them are damaged as texts, half as bytes."""
    rng = seeded(f"reading {SEED}")
    documents = [_damaged(rng) for _ in range(PAIRS)]
    ours = [_ours(document) for document in documents]
    refusals = _refusals(oracle, documents)
    differing = [
        (document, problem, refusal)
        for document, (_, problem), refusal in zip(documents, ours, refusals, strict=True)
        if bool(problem) != bool(refusal) and not _on_purpose(document, problem)
    ]
    assert not differing, f"seed {SEED}: {len(differing)} documents (document, ours, postgres): {differing[:10]}"
    read = [at for at, (value, problem) in enumerate(ours) if not problem and not refusals[at]]
    assert len(documents) // 10 < len(read) < len(documents) * 9 // 10
    same = _same_values(oracle, [documents[at] for at in read], [ours[at][0] for at in read])
    unequal = [documents[at] for at, equal in zip(read, same, strict=True) if not equal]
    assert not unequal, f"seed {SEED}: {len(unequal)} documents are read differently: {unequal[:10]}"


def _damaged(rng: random.Random) -> bytes:
    value = random_incident(rng) if rng.random() < 0.3 else random_value(rng, 2)
    text = written(rng, value)
    if rng.random() < 0.5:
        return damaged(rng, text).encode()
    data = bytearray(text.encode())
    for _ in range(rng.choice((0, 1, 1, 2))):
        data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), *b'"\\,{}0'))
    return bytes(data)


def _on_purpose(document: bytes, problem: str) -> bool:
    return document.startswith(b"\xef\xbb\xbf") or problem.startswith(("a number", "nested deeper"))


def _ours(document: bytes) -> tuple[str, str]:
    """Return the value, written anew, and why it is refused; one of them is empty."""
    try:
        return write_json(read_json(document, source="document")), ""
    except InputError as error:
        return "", error.problems[0].message


def _refusals(oracle: psycopg.Connection, documents: list[bytes]) -> list[str | None]:
    query = "SELECT pg_temp.refusal(d) FROM unnest(%s::bytea[]) WITH ORDINALITY AS t(d, n) ORDER BY n"
    return [code for (code,) in oracle.execute(query, [documents])]


def _same_values(oracle: psycopg.Connection, documents: list[bytes], rewritten: list[str]) -> list[bool]:
    query = (
        "SELECT convert_from(d, 'UTF8')::jsonb = r::jsonb"
        " FROM unnest(%s::bytea[], %s::text[]) WITH ORDINALITY AS t(d, r, n) ORDER BY n"
    )
    return [same for (same,) in oracle.execute(query, [documents, rewritten])]

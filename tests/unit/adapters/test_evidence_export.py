"""Exports: both verifiers agree on whole ones, and each finds every change of every byte."""

from __future__ import annotations

import ast
import contextlib
import csv
import importlib.util
import io
import json
import os
import re
import stat
import subprocess
import sys
import tokenize
import zipfile
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jsonschema import Draft7Validator

from compliance_agent.adapters.evidence_check import MemorySource, verify_export, verify_source
from compliance_agent.adapters.evidence_export import ExportError, verifier_path, write_export
from compliance_agent.adapters.store import SqliteStore
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.testing import NOON
from compliance_agent.wire.evidence.dsse import public_key_pem, sign
from compliance_agent.wire.evidence.entry import PAYLOAD_TYPE
from tests.support.evidence import VERSION, Chain, a_heal, a_key, a_recorder, a_scan, an_action, kinds

SCHEMA = Path(__file__).parents[2] / "golden" / "oscal" / "assessment-results-1.2.3.schema.json"
DAY = timedelta(days=1)


def load_verifier():
    spec = importlib.util.spec_from_file_location("evidence_verify", verifier_path())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INDEPENDENT = load_verifier()


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "state.sqlite", recorder=a_recorder()) as store:
        yield store


def fill(store, *drafts) -> None:
    store.attach(Attachments(evidence=drafts))


def export(store, path, **changes):
    return write_export(store.evidence, path, a_key(), now=NOON + 3 * DAY, agent_version=VERSION, **changes)


def files_in(path) -> dict[str, bytes]:
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}


KEYS = (a_key().public_key,)


def ours(files, head=None, keys=KEYS):
    return verify_source(MemorySource(files), keys, head)


def theirs(files, head=None, keys=KEYS):
    opened = {name: partial(io.BytesIO, data) for name, data in files.items()}
    ring = INDEPENDENT.ring(*map(Ed25519PublicKey.from_public_bytes, keys))
    return list(INDEPENDENT.verify(opened, ring, head.document() if head else None))


@pytest.fixture
def exported(store, tmp_path):
    fill(store, a_scan(), a_heal(), an_action(NOON + timedelta(hours=1)))
    export(store, tmp_path / "out")
    return files_in(tmp_path / "out")


@pytest.fixture
def head(store, exported) -> Any:
    return store.evidence.status().head


def test_a_whole_export_verifies_by_both(exported, head) -> None:
    assert (ours(exported, head).findings, ours(exported, head).notes) == ([], [])
    assert theirs(exported, head) == []


def test_an_export_holds_what_it_says(exported) -> None:
    assert sorted(exported) == [
        "README.txt",
        "assessment-results.json",
        "chain/000001.ndjson",
        "evidence.csv",
        "head.json",
        "manifest.dsse.json",
        "public-key.pem",
        "report.html",
        "verify.py",
    ]


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "name", ["chain/000001.ndjson", "manifest.dsse.json", "head.json", "public-key.pem", "README.txt", "evidence.csv"]
)
def test_every_single_byte_that_is_changed_is_found_by_both(exported, head, name) -> None:
    data = exported[name]
    for place in range(len(data)):
        changed = {**exported, name: data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]}
        assert ours(changed, head).findings, f"{name}, byte {place}, ours"
        assert theirs(changed, head), f"{name}, byte {place}, theirs"


@pytest.mark.parametrize("name", ["report.html", "verify.py", "assessment-results.json"])
def test_every_single_byte_of_a_report_is_covered_by_its_hash(exported, head, name) -> None:
    # The rest of the export is the same each time; only the hash of this file can tell. So a sample is enough.
    data = exported[name]
    for place in range(0, len(data), 97):
        changed = {**exported, name: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]}
        assert kinds(ours(changed, head)) == {"file_altered"}
        assert theirs(changed, head) == [f"file_altered: {name}"]


@pytest.mark.parametrize("name", ["report.html", "chain/000001.ndjson", "manifest.dsse.json"])
def test_a_missing_file_is_found(exported, head, name) -> None:
    left = {key: data for key, data in exported.items() if key != name}
    assert ours(left, head).findings
    assert theirs(left, head)


def test_a_file_that_was_put_in_is_found(exported, head) -> None:
    more = {**exported, "chain/000000.ndjson": b""}
    assert kinds(ours(more, head)) == {"file_altered"}
    assert theirs(more, head) == ["file_altered: chain/000000.ndjson"]


def tampered(exported, change):
    """Change the chain's lines."""
    lines = exported["chain/000001.ndjson"].splitlines(keepends=True)
    return {**exported, "chain/000001.ndjson": b"".join(change(lines))}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda lines: lines[:2] + lines[3:], "missing"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "out_of_order"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "out_of_order"),
        (lambda lines: lines[:-1], "tail_missing"),
        (lambda _lines: [], "foreign_chain"),
    ],
)
def test_what_was_done_to_the_chain_is_named_by_both(exported, head, change, kind) -> None:
    changed = tampered(exported, change)
    assert kind in kinds(ours(changed, head))
    named = "tail_missing" if kind == "foreign_chain" else kind
    assert any(finding.startswith(named) for finding in theirs(changed, head))


def test_the_exports_own_manifest_is_a_witness_against_a_cut_tail(exported) -> None:
    cut = tampered(exported, lambda lines: lines[:-1])
    assert "manifest" in kinds(ours(cut))
    assert "file_altered: head" in theirs(cut)


def test_a_whole_export_of_another_appliance_is_found_by_who_has_the_key(exported) -> None:
    other = (a_key(9).public_key,)
    assert "foreign_key" in kinds(ours(exported, keys=other))
    assert theirs(exported, keys=other)


def test_an_entry_that_was_spliced_in_from_another_appliance_is_found(exported, head, tmp_path) -> None:
    with SqliteStore(tmp_path / "other.sqlite", recorder=a_recorder(a_key(9))) as other:
        fill(other, a_scan(), a_heal(), an_action())
        (foreign,) = other.evidence.rows(first_seq=3, last_seq=3)
    spliced = tampered(exported, lambda lines: [*lines[:2], foreign.line + b"\n", *lines[3:]])
    assert "foreign_key" in kinds(ours(spliced, head))
    assert any(finding.startswith("altered: where entry 3 belongs") for finding in theirs(spliced, head))


def test_a_rotation_is_followed_by_both(tmp_path) -> None:
    from compliance_agent.domain.evidence.drafts import EvidenceDraft, EvidenceKind

    with SqliteStore(tmp_path / "state.sqlite", recorder=a_recorder(a_key(), a_key(2))) as store:
        fill(store, a_scan())
        draft = EvidenceDraft(EvidenceKind.KEY_ROTATED, NOON, "clinic", {"reason": "yearly"})
        store.rotate_key(a_key(2), draft)
        fill(store, an_action())
        write_export(store.evidence, tmp_path / "out", a_key(2), now=NOON, agent_version=VERSION)
        head = store.evidence.status().head
    files = files_in(tmp_path / "out")
    assert ours(files, head).findings == []
    assert theirs(files, head) == []
    unsigned = (a_key(2).public_key,)  # who knows only the newest key cannot vouch for the first entries
    assert ours(files, head, unsigned).findings
    assert theirs(files, head, unsigned)


def test_a_zip_holds_the_same_and_is_for_its_owner_alone(store, exported, head, tmp_path) -> None:
    export(store, tmp_path / "out.zip")
    assert stat.S_IMODE((tmp_path / "out.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == exported
    assert verify_export(tmp_path / "out.zip", [a_key().public_key], head).findings == []


def test_the_verifier_of_the_export_runs_by_itself(store, exported, tmp_path) -> None:
    def run(*arguments):
        line = [sys.executable, "-I", "-W", "error", str(tmp_path / "out" / "verify.py"), *arguments]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)

    folder = str(tmp_path / "out")
    key = f"{folder}/public-key.pem"
    whole = run(folder, key, f"{folder}/head.json")
    assert (whole.returncode, whole.stdout, whole.stderr) == (0, "whole\n", "")
    (tmp_path / "out" / "report.html").write_text("all is well", encoding="utf-8")
    broken = run(folder, key)
    assert (broken.returncode, broken.stdout) == (2, "file_altered: report.html\ntampered with\n")
    unasked = run(folder)
    assert (unasked.returncode, "Usage:" in unasked.stderr) == (1, True)


def test_the_verifier_says_what_it_cannot_know_without_a_head(exported, tmp_path) -> None:
    line = [sys.executable, "-I", str(verifier_path()), str(tmp_path / "out"), str(tmp_path / "out" / "public-key.pem")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "without HEAD.json nobody can tell" in done.stdout) == (0, True)


def code_lines(source: str) -> int:
    """Count the lines that are neither blank, nor comment, nor part of a docstring."""
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    counted: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in nothing:
            counted.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None:
            counted.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(counted)


def test_the_verifier_is_short_enough_to_be_read() -> None:
    source = verifier_path().read_text(encoding="utf-8")
    assert code_lines(source) <= 100
    assert max(map(len, source.splitlines())) <= 120


def test_the_verifier_needs_the_same_memory_for_an_export_of_any_size(tmp_path) -> None:
    import tracemalloc

    def peak(entries: int) -> int:
        chain = Chain().add(*(an_action() for _ in range(entries)))
        data = b"".join(line + b"\n" for line in chain.lines)
        files = {"chain/000001.ndjson": partial(io.BytesIO, data)}
        ring = INDEPENDENT.ring(*map(Ed25519PublicKey.from_public_bytes, KEYS))
        tracemalloc.start()
        found = list(INDEPENDENT.verify(files, ring, chain.head.document()))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [one.partition(":")[0] for one in found] == ["manifest"]  # nothing but that there is none here
        return highest

    peak(1)  # what is imported and cached once
    few, many = peak(20), peak(1_000)  # 20 KB and 1 MB
    assert many - few < 200_000


def test_the_verifier_imports_nothing_of_the_agent() -> None:
    source = verifier_path().read_text(encoding="utf-8")
    imported = set(re.findall(r"^(?:from|import) ([a-z0-9_]+)", source, re.MULTILINE))
    assert imported - sys.stdlib_module_names == {"cryptography"}


def test_an_export_never_replaces_anything(store, exported, tmp_path) -> None:
    with pytest.raises(ExportError, match="exists already"):
        export(store, tmp_path / "out")
    assert files_in(tmp_path / "out") == exported


def test_an_export_that_fails_leaves_nothing(store, tmp_path, monkeypatch) -> None:
    def fails(_given: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("compliance_agent.adapters.evidence_export.write_page", fails)
    fill(store, a_scan())
    for name in ("out", "out.zip"):
        with pytest.raises(ExportError, match="No space left"):
            export(store, tmp_path / name)
    assert {one.name for one in tmp_path.iterdir() if "out" in one.name} == set()


def test_without_evidence_there_is_no_export(store, tmp_path) -> None:
    with pytest.raises(ExportError, match="no evidence yet"):
        export(store, tmp_path / "out")


@pytest.mark.parametrize("name", ["missing", "state.sqlite"])
def test_what_is_no_export_is_refused(store, tmp_path, name) -> None:
    with pytest.raises(ExportError, match="cannot be read"):
        verify_export(tmp_path / name, [], None)


# hostile containers -------------------------------------------------------------------------------


def run_theirs(path) -> tuple[int, str]:
    key = path.parent / "key.pem"
    key.write_bytes(public_key_pem(a_key().public_key))
    line = [sys.executable, "-I", str(verifier_path()), str(path), str(key)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def refused_by_both(path) -> bool:
    with pytest.raises(ExportError):
        verify_export(path, KEYS, None)
    code, error = run_theirs(path)
    assert error.startswith("cannot be read"), error
    return code == 1


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_holds_a_name_twice_is_refused_by_both(exported, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "out2.zip", "w") as archive:
        archive.writestr("report.html", "what some programs show")
        for one, data in exported.items():
            archive.writestr(one, data)
    assert refused_by_both(tmp_path / "out2.zip")


def test_a_zip_that_was_packed_again_with_its_folders_is_whole(exported, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "again.zip", "w") as archive:
        archive.writestr("chain/", b"")
        for one, data in exported.items():
            archive.writestr(one, data)
    assert verify_export(tmp_path / "again.zip", KEYS, None).findings == []
    assert run_theirs(tmp_path / "again.zip")[0] == 0


@pytest.mark.parametrize("make", ["link", "pipe", "link_to_folder"])
def test_what_is_no_plain_file_is_refused_by_both(exported, tmp_path, make) -> None:
    out = tmp_path / "out"
    if make == "link":
        (out / "report.html").rename(tmp_path / "elsewhere.html")
        (out / "report.html").symlink_to(tmp_path / "elsewhere.html")
    elif make == "link_to_folder":
        (out / "more").symlink_to(tmp_path)
    else:
        os.mkfifo(out / "more")
    assert refused_by_both(out)


def test_a_broken_zip_is_refused_with_a_sentence_wherever_it_is_broken(store, exported, tmp_path) -> None:
    export(store, tmp_path / "out.zip")
    data, broken = (tmp_path / "out.zip").read_bytes(), tmp_path / "broken.zip"
    for place in range(0, len(data), 251):
        broken.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        with contextlib.suppress(ExportError):  # any other exception is a defect
            verify_export(broken, KEYS, None)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(exported, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for one, data in exported.items():
            archive.writestr(one, data)
        archive.writestr("chain/000002.ndjson", bytes(1 << 24))
    with pytest.raises(ExportError, match="line of more than"):
        verify_export(tmp_path / "bomb.zip", KEYS, None)


HOSTILE = [
    b"[" * 5_000 + b"]" * 5_000,
    b"null",
    b'{"schema":"evidence/v1"}',
    b'{"body":[],"chain":[],"kind":"key_rotated","previous":1,"schema":"evidence/v1","seq":"1"}',
    b'{"body":{"key":"x"},"chain":"x","kind":"chain_started","previous":"","schema":"evidence/v1","seq":1}',
    b'{"body":{"new_key":{"public_key":"00"}},"chain":"x","kind":"key_replaced","previous":"","schema":"evidence/v1","seq":1}',
]


@pytest.mark.parametrize("payload", HOSTILE)
@pytest.mark.parametrize("place", [0, 2])
def test_a_hostile_entry_is_named_and_breaks_neither_verifier(exported, head, payload, place) -> None:
    line = sign(payload, PAYLOAD_TYPE, a_key(9)) + b"\n"
    changed = tampered(exported, lambda lines: [*lines[:place], line, *lines[place:]])
    assert kinds(ours(changed, head))
    assert any(finding.startswith("altered") for finding in theirs(changed, head))


def test_a_key_that_was_rotated_away_and_comes_back_is_named_by_the_independent_verifier_too() -> None:
    chain = Chain().rotate(a_key(2)).add(an_action())
    chain.rotate(a_key(), lost=True).add(an_action())
    files = {"chain/000001.ndjson": b"".join(line + b"\n" for line in chain.lines)}
    found = theirs(files, chain.head, (a_key().public_key, a_key(2).public_key))
    assert [one for one in found if one.startswith("unvouched_key: entry 4")]


@pytest.mark.parametrize(("link_fits", "named"), [(True, []), (False, ["missing"])])
def test_a_pruned_start_is_judged_by_the_independent_verifier_too(link_fits, named) -> None:
    from compliance_agent.domain.evidence.drafts import EvidenceDraft, EvidenceKind

    chain = Chain().add(an_action(), an_action())
    last = chain.sealed[1 if link_fits else 0].sha256
    body: dict[str, Any] = {"segments": [1], "first_seq": 1, "last_seq": 2, "last_sha256": last}
    chain.add(EvidenceDraft(EvidenceKind.SEGMENTS_PRUNED, NOON, "clinic", body))
    files = {"chain/000002.ndjson": b"".join(line + b"\n" for line in chain.lines[2:])}
    assert [one.partition(":")[0] for one in theirs(files, chain.head)] == [*named, "manifest"]


# reports ------------------------------------------------------------------------------------------


def oscal_validator() -> Draft7Validator:
    """NIST's schema, with the two character classes of ECMA-262 that Python's ``re`` lacks spelled in its words."""
    text = SCHEMA.read_text(encoding="utf-8")
    text = text.replace(r"(\\p{L}|_)(\\p{L}|\\p{N}|[.\\-_])*", r"([^\\W\\d]|_)([\\w.\\-])*")
    assert r"\\p{" not in text
    return Draft7Validator(json.loads(text))


def test_the_oscal_report_validates_against_nists_schema(exported) -> None:
    errors = [error.message for error in oscal_validator().iter_errors(json.loads(exported["assessment-results.json"]))]
    assert errors == []


def test_that_schema_does_refuse_what_is_wrong(exported) -> None:
    document = json.loads(exported["assessment-results.json"])
    document["assessment-results"]["uuid"] = "x"
    document["assessment-results"]["results"][0]["more"] = 1
    assert len(list(oscal_validator().iter_errors(document))) == 2


def test_the_csv_is_no_formula_and_has_a_row_for_each_check_incident_and_action(store, tmp_path) -> None:
    fill(store, a_scan(), a_heal(), an_action(reason="=HYPERLINK(1)"))
    export(store, tmp_path / "out")
    text = (tmp_path / "out" / "evidence.csv").read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["kind"] for row in rows] == ["chain_started", "scan", "incident", "action"]
    assert rows[1]["verdict"] == "pass"
    assert (rows[2]["outcome"], rows[2]["gate"]) == ("remediated", "allow")
    assert (rows[3]["actor"], rows[3]["reason"]) == ("kim", "'=HYPERLINK(1)")


def page_of(store, tmp_path, *drafts) -> str:
    fill(store, *drafts)
    export(store, tmp_path / "out")
    return str((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))


def test_the_page_tells_the_holes_before_anything_else(store, tmp_path) -> None:
    page = page_of(
        store,
        tmp_path,
        a_scan(NOON, Verdict.NOT_ASSESSED),
        a_heal(NOON + timedelta(minutes=1), OutcomeKind.SUPPRESSED),
        an_action(),
        a_scan(NOON + 3 * DAY, Verdict.FAIL, "laptop"),
        a_scan(NOON + 3 * DAY, Verdict.FAIL),
    )
    holes, citations = page.index("What this evidence does not show"), page.index("By HIPAA citation")
    assert holes < citations
    before = page[:citations]
    for hole in ("Failing at the end", "Days not observed", "2026-01-16", "Waivers in force", "164.312(a)(2)(iii)"):
        assert hole in before


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(store, tmp_path) -> None:
    page = page_of(store, tmp_path, a_scan())
    assert re.findall(r"<script|<link|<img|<iframe|\bsrc=|@import|url\(|https?:|\son\w+=", page) == []
    assert '<html lang="en">' in page


def test_nothing_that_a_machine_said_becomes_markup(store, tmp_path) -> None:
    page = page_of(store, tmp_path, an_action(reason="<script>alert(1)</script> & <b>"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;" in page
    assert "<script" not in page


def test_a_report_can_be_about_some_days_only_and_the_chain_is_whole_all_the_same(store, tmp_path) -> None:
    fill(store, a_scan(NOON), a_heal(NOON), a_scan(NOON + DAY), a_scan(NOON + 2 * DAY))
    export(store, tmp_path / "out", since=NOON + DAY, until=NOON + 2 * DAY)
    files = files_in(tmp_path / "out")
    assert len(files["chain/000001.ndjson"].splitlines()) == 5
    document = json.loads(files["assessment-results.json"])["assessment-results"]["results"][0]
    assert (document["start"][:10], document["end"][:10]) == ("2026-01-16", "2026-01-17")
    assert "remediated" not in files["report.html"].decode().partition("What was mended")[2].partition("<h2>")[
        0
    ].replace("<i>remediated</i>", "")

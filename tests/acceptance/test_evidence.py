"""Evidence from the command line: made by a real turn over real shells, exported, verified, keys changed."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from compliance_agent.domain.gate import HoldKind
from tests.support.cli import cli, command

REPOSITORY = Path(__file__).parents[2]

RUNBOOK = """\
schema: runbook/v1
id: TEST-FILE-001
version: 1
title: The file says good
check_type: test_file
severity: low
platforms: [linux]
controls: {{hipaa: ["164.312(a)(1)"], nist_800_53: [AC-3]}}
facts: {{text: {{type: string}}}}
detect:
  privilege: user
  steps: [{{script: 'ca_fact text "$(cat {file})"'}}]
pass_when: {{text: good}}
fail_reason: the file does not say good
remediate:
  privilege: user
  steps: [{{script: 'cp {file} {file}.old; printf good >{file}; echo "patient: Jane Doe, password=hunter2x, port=22"'}}]
rollback:
  privilege: user
  steps: [{{script: 'cp {file}.old {file}'}}]
"""
RULES = "rules: [{rule_id: T-1, incident_pattern: {check_id: TEST-FILE-001}, action: 'run_runbook:TEST-FILE-001'}]\n"


class Clinic:
    """One local machine with one check."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "file"
        self.state = folder / "state"
        self.settings = folder / "settings.yaml"
        self.file.write_text("bad", encoding="utf-8")
        (folder / "runbooks").mkdir()
        (folder / "runbooks" / "TEST-FILE-001.yaml").write_text(RUNBOOK.format(file=self.file), encoding="utf-8")
        (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
        self.settings.write_text(
            f"site_id: clinic\nstate_dir: {self.state}\nrules: {{paths: [rules.yaml]}}\n"
            "runbooks: {paths: [runbooks]}\n"
            "targets: [{id: desk, transport: local, checks: {include: [TEST-FILE-001]}}]\n",
            encoding="utf-8",
        )

    def __call__(self, *arguments: str):
        return cli(*arguments, "-c", str(self.settings))

    def evidence(self, *arguments: str):
        return cli("evidence", *arguments, "-c", str(self.settings))

    def kinds(self) -> list[str]:
        done = self.evidence("list", "-o", "ndjson")
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["kind"] for line in done.stdout.splitlines()]

    def export(self, name: str = "out") -> Path:
        done = self.evidence("export", str(self.folder / name))
        assert done.returncode == 0, done.stderr
        return self.folder / name


@pytest.fixture
def clinic(tmp_path) -> Clinic:
    return Clinic(tmp_path)


@pytest.fixture
def healed(clinic: Clinic) -> Clinic:
    done = clinic("apply", "--yes")
    assert done.returncode == 0, done.stderr
    return clinic


def test_a_heal_leaves_a_chain_that_tells_who_what_and_why(healed):
    assert healed.kinds() == ["chain_started", "scan", "incident"]
    entry = json.loads(healed.evidence("show", "3").stdout)
    body = entry["body"]
    assert (body["before"]["facts"], body["after"][0]["facts"]) == ({"text": "bad"}, {"text": "good"})
    assert body["outcome"]["kind"] == "remediated"
    assert (body["check"]["hipaa"], body["check"]["nist_800_53"]) == (["164.312(a)(1)"], ["AC-3"])
    assert body["gate"]["answer"] == "allow"
    assert [part["part"] for part in body["gate"]["parts"]] == [kind.value for kind in HoldKind]
    assert {part["answer"] for part in body["gate"]["parts"]} == {"allow"}
    assert (body["rule"]["rule_id"], len(body["rule"]["digest"])) == ("T-1", 64)
    assert len(body["attempt"]["runbook_digest"]) == 64
    (step,) = body["attempt"]["steps"]
    assert step["exit_code"] == 0
    assert step["output"].strip() == "patient: [removed], password=[removed], port=22"


def test_the_key_is_private_and_made_by_the_first_command_that_writes(clinic):
    assert clinic("plan").returncode == 2
    assert clinic("run", "--dry-run", "--once").returncode == 2
    assert not clinic.state.exists() or list(clinic.state.iterdir()) == []
    clinic("apply", "--yes")
    assert stat.S_IMODE((clinic.state / "evidence.key").stat().st_mode) == 0o600


def test_commands_that_only_read_evidence_make_nothing(clinic):
    for words in (
        ["list"],
        ["head"],
        ["show", "1"],
        ["export", str(clinic.folder / "out")],
        ["rotate-key", "--reason", "x"],
    ):
        done = clinic.evidence(*words)
        assert done.returncode == (0 if words == ["list"] else 1), done.stdout
    assert not clinic.state.exists()


def test_an_export_verifies_here_and_by_itself_and_anywhere(healed, tmp_path):
    out = healed.export()
    head = healed.evidence("head")
    (tmp_path / "head.json").write_text(head.stdout, encoding="utf-8")
    arguments = ["--key", str(out / "public-key.pem"), "--head", str(tmp_path / "head.json"), str(out)]
    verified = cli("evidence", "verify", *arguments)
    assert (verified.returncode, "✓ Whole: 4 entries" in verified.stdout) == (0, True), verified.stdout
    import subprocess

    line = [command()[0], "-I", *(str(one) for one in (out / "verify.py", out, arguments[1], arguments[3]))]
    alone = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert (alone.returncode, alone.stdout) == (0, "whole\n")


def test_an_export_says_who_took_evidence_out(healed):
    healed.export()
    assert healed.kinds()[-1] == "action"
    entry = json.loads(healed.evidence("show", "4").stdout)
    assert (entry["actor"]["kind"], entry["body"]["action"]) == ("person", "exported")


def test_a_zip_does_the_same(healed):
    out = healed.export("out.zip")
    document = json.loads(cli("evidence", "verify", str(out), "-o", "json").stdout)
    assert (document["whole"], document["entries"], document["exit_code"]) == (True, 4, 0)
    assert len(document["notes"]) == 2


def test_what_was_tampered_with_ends_with_2_and_is_named(healed):
    out = healed.export()
    chain = out / "chain" / "000001.ndjson"
    chain.write_bytes(chain.read_bytes().replace(b'"sig":"', b'"sig":"A', 1))
    done = cli("evidence", "verify", str(out))
    assert done.returncode == 2
    assert "✗ altered" in done.stdout


def test_a_head_as_number_and_hash_finds_a_cut_tail(healed):
    head = json.loads(healed.evidence("head").stdout)
    out = healed.export()
    later = f"{head['seq'] + 5}:{head['sha256']}"
    assert cli("evidence", "verify", str(out), "--head", f"{head['seq']}:{head['sha256']}").returncode == 0
    cut = cli("evidence", "verify", str(out), "--head", later)
    assert (cut.returncode, "tail is missing" in cut.stdout) == (2, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["verify", "nowhere"], 64),
        (["verify", "SETTINGS"], 1),
        (["verify", "STATE", "--head", "nonsense"], 64),
        (["verify", "STATE", "--head", "3:abc"], 64),
        (["verify", "STATE", "--key", "SETTINGS"], 64),
        (["show", "0"], 64),
    ],
)
def test_wrong_usage_and_what_cannot_be_read_have_their_codes(healed, words, code):
    places = {"SETTINGS": str(healed.settings), "STATE": str(healed.state)}
    assert cli("evidence", *(places.get(word, word) for word in words)).returncode == code


def test_an_entry_that_is_not_there_is_1(healed):
    done = healed.evidence("show", "99")
    assert (done.returncode, "no entry 99" in done.stderr) == (1, True)


def test_the_signed_bytes_are_shown_as_they_are_exported(healed):
    line = healed.evidence("show", "2", "--line").stdout
    assert line in (healed.export() / "chain" / "000001.ndjson").read_text(encoding="utf-8")


def test_an_undo_is_an_entry_with_the_persons_name(healed):
    attempt = json.loads(healed.evidence("show", "3").stdout)["body"]["attempt"]["attempt_id"]
    done = healed("undo", attempt, "--reason", "it was wanted", "--yes")
    assert done.returncode == 0, done.stderr
    entry = json.loads(healed.evidence("show", "4").stdout)
    assert (entry["actor"]["kind"], bool(entry["actor"]["name"])) == ("person", True)
    assert (entry["body"]["action"], entry["body"]["reason"]) == ("undone", "it was wanted")
    assert entry["body"]["details"]["after"][0]["verdict"] == "fail"


def test_a_rotated_key_signs_on_and_the_first_key_verifies_all(healed):
    first = healed.export("first") / "public-key.pem"
    done = healed.evidence("rotate-key", "--reason", "yearly")
    assert done.returncode == 0, done.stderr
    assert not (healed.state / "evidence.key.next").exists()
    out = healed.export("second")
    done = cli("evidence", "verify", str(out), "--key", str(first), "-o", "json")
    assert (done.returncode, len(json.loads(done.stdout)["keys"])) == (0, 2)


def test_a_lost_key_stops_healing_until_a_person_replaces_it_and_every_verifier_says_so(healed):
    (healed.state / "evidence.key").unlink()
    healed.file.write_text("bad", encoding="utf-8")
    refused = healed("apply", "--yes")
    assert (refused.returncode, "evidence key" in refused.stderr) == (1, True)
    assert healed.file.read_text(encoding="utf-8") == "bad"
    assert not (healed.state / "evidence.key").exists()
    done = healed.evidence("replace-key", "--reason", "the disk of the old appliance broke")
    assert done.returncode == 0, done.stderr
    done = healed.evidence("export", str(healed.folder / "out"))
    verified = cli("evidence", "verify", str(healed.folder / "out"))
    assert (verified.returncode, "unvouched_key" in verified.stdout) == (2, True)


def test_a_key_that_is_there_is_not_given_up_as_lost(healed):
    before = (healed.state / "evidence.key").read_bytes()
    done = healed.evidence("replace-key", "--reason", "a mistake")
    assert (done.returncode, "rotate-key" in done.stderr) == (1, True)
    assert (healed.state / "evidence.key").read_bytes() == before
    assert healed.kinds() == ["chain_started", "scan", "incident"]
    assert not (healed.state / "evidence.key.next").exists()


def test_an_export_that_is_refused_is_not_told_as_one(healed):
    (healed.folder / "out").mkdir()
    done = healed.evidence("export", str(healed.folder / "out"))
    assert (done.returncode, "exists already" in done.stderr) == (1, True)
    assert healed.kinds() == ["chain_started", "scan", "incident"]


def test_a_key_that_systemd_hands_over_is_taken_and_none_is_made(clinic, tmp_path):
    from compliance_agent.adapters.evidence_key import CREDENTIAL, new_key, write_key

    folder = tmp_path / "credentials"
    folder.mkdir()
    key = new_key()
    write_key(folder / CREDENTIAL, key)
    done = cli("apply", "--yes", "-c", str(clinic.settings), CREDENTIALS_DIRECTORY=str(folder))
    assert done.returncode == 0, done.stderr
    assert not (clinic.state / "evidence.key").exists()
    listed = json.loads(clinic.evidence("list", "-o", "json").stdout)
    assert listed["key_id"] == key.key_id


def test_people_see_a_table_and_where_the_chain_ends(healed):
    shown = healed.evidence("list").stdout
    assert "incident" in shown
    assert json.loads(healed.evidence("head").stdout)["sha256"] in shown


def test_a_page_of_a_real_turn_tells_the_citation(healed):
    page = (healed.export() / "report.html").read_text(encoding="utf-8")
    assert "45 CFR 164.312(a)(1)" in page
    assert "hunter2x" not in page


def test_a_state_file_that_was_restored_leaves_no_silent_hole(clinic):
    assert clinic("run", "--once").returncode == 0
    before = clinic.kinds()
    snapshot = clinic.state / "state.sqlite.snapshot"
    snapshot.unlink()
    clinic("run", "--once")  # takes one at its start
    assert snapshot.exists()
    (clinic.state / "state.sqlite").write_bytes(b"not a database any more" * 400)
    assert clinic("apply", "--yes").returncode == 0
    assert clinic.kinds()[: len(before)] == before
    assert "state_restored" in clinic.kinds()
    document = json.loads(cli("evidence", "verify", str(clinic.export()), "-o", "json").stdout)
    assert document["whole"]
    assert any("replaced by its snapshot" in note for note in document["notes"])


def test_doctor_says_whether_evidence_can_be_signed(healed):
    assert "evidence: 3 entries" in healed("doctor").stdout
    (healed.state / "evidence.key").chmod(0o644)
    done = healed("doctor")
    assert (done.returncode, "may be read by others" in done.stdout) == (1, True)


def test_the_page_of_the_format_names_every_kind_and_every_action():
    from compliance_agent.domain.evidence.drafts import ActionKind, EvidenceKind

    page = (REPOSITORY / "docs" / "reference" / "evidence.md").read_text(encoding="utf-8")
    table = page.partition("## Kinds")[2].partition("\n`key` and")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE) == [kind.value for kind in EvidenceKind]
    named = page.partition("`action` is one of")[2].partition("always with a named person")[0]
    assert re.findall(r"`([a-z_]+)`", named) == [kind.value for kind in ActionKind]

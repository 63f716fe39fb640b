"""The earlier control plane's numbers, replayed: the same counts, placeholders quarantined, promotions judged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest

from central_command.cli.main import run
from central_command.flywheel.promotion import PromotionPolicy
from central_command.flywheel.stages import STAGES
from central_command.store import counts
from central_command.store.database import Database
from central_command.store.fold import DURABLE_AFTER, fold
from central_command.store.ids import new_id
from central_command.store.imports import import_lines
from central_command.store.promoter import Promoter
from scripts import notes_data
from tests.support.central import NOW, add_runbook, add_site, empty_database

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from central_command.flywheel.stages import Step


def _import(conninfo: str, lines: Iterator[bytes]) -> Counter[str]:
    with Database(conninfo) as database:
        return import_lines(database, lines, actor="test", now=NOW, new_id=new_id)


@pytest.fixture(scope="module")
def replayed(database: str) -> Iterator[str]:
    """The notes' data, loaded through the migrations and folded; the flywheel has moved nothing yet."""
    with psycopg.connect(database, autocommit=True) as owner:
        add_site(owner, notes_data.SITE, notes_data.APPLIANCE)
        for runbook_id in (*notes_data.RUNBOOKS, *(f"NOTES-CHECK-{number:02}" for number in range(56))):
            add_runbook(owner, runbook_id)
        told = _import(database, notes_data.lines())
        assert told == {
            "rules": 9,
            "rules quarantined": 11,
            "patterns": 36,
            "patterns refused": 20,
            "reports": 13_135,
        }
        owner.execute("ANALYZE")  # as autovacuum does; 13,135 reports at once are planned badly without
        owner.execute("SET ROLE central_fleet")
        fold(owner, now=NOW + DURABLE_AFTER)
        fold(owner, now=NOW + DURABLE_AFTER)
        yield database
        owner.execute("RESET ROLE")
        empty_database(owner)


@pytest.fixture
def reader(replayed: str) -> Iterator[psycopg.Connection]:
    """A transaction that leaves nothing behind."""
    with psycopg.connect(replayed) as connection:
        connection.execute("SET ROLE central_fleet")
        yield connection
        connection.rollback()


def test_it_counts_what_the_notes_count(reader) -> None:
    numbers = reader.execute(
        "SELECT count(*), count(*) FILTER (WHERE level = 'L1'), count(*) FILTER (WHERE success)"
        " FROM execution_telemetry"
    ).fetchone()
    assert numbers == (13_135, 12_221, 8_745)
    stages = reader.execute("SELECT imported_stage, count(*) FROM patterns GROUP BY 1 ORDER BY 1").fetchall()
    assert stages == [("pending", 10), ("promoted", 46)]
    assert reader.execute("SELECT count(*) FROM l1_rules").fetchone() == (20,)


def test_the_five_rules_have_the_matches_and_rates_of_the_notes(reader) -> None:
    shown = {line.rule_id: (line.matches, f"{line.rate:.0%}") for line in counts.top(reader)}
    assert shown == {
        "RB-AUTO-FIREWALL": (166, "100%"),
        "RB-AUTO-SSH_CONF": (20, "100%"),
        "RB-AUTO-AUDIT_PO": (24, "67%"),
        "RB-AUTO-BACKUP_S": (260, "56%"),
        "RB-AUTO-BITLOCKE": (3_057, "30%"),
    }
    assert counts.differences(reader) == []


def test_exactly_the_eleven_placeholders_are_quarantined_and_the_nine_are_served(reader) -> None:
    quarantined = reader.execute(
        "SELECT rule_id FROM l1_rules WHERE quarantine_reason LIKE '%is a placeholder%' ORDER BY 1"
    ).fetchall()
    served = reader.execute("SELECT rule_id FROM rules_at_site WHERE stage = 'enabled' ORDER BY 1").fetchall()
    assert [row[0] for row in quarantined] == sorted(notes_data.PLACEHOLDERS)
    assert [row[0] for row in served] == sorted(notes_data.SOUND)


def test_it_says_which_of_the_46_it_would_not_have_promoted_and_why(replayed, capsys) -> None:
    assert run(["--database", replayed, "flywheel", "status", "--imported", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stages"] == {"pattern observed": 26, "pattern refused": 20}
    for line in found["lines"]:
        said = "; ".join(line["waits_for"])
        if line["stage"] == "refused":
            assert "is a placeholder, not a runbook" in said
        else:
            assert "it may last in fewer than 80% of its runs" in said
            assert "it ran on 1 of 10 appliances" in said


def test_the_explanation_of_one_of_them_has_its_numbers(replayed, capsys) -> None:
    pattern = list(notes_data.patterns())[25]
    assert run(["--database", replayed, "flywheel", "explain", pattern["pattern_id"], "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["pattern"]
    assert (found["runs"], found["successes"], found["appliances"], found["targets"]) == (43, 40, 1, 4)
    assert (found["imported_stage"], found["stage"], found["scope"]) == ("promoted", "observed", "none")
    assert found["runs_effective"] < 4  # runs of one appliance are alike
    assert found["evidence"] < 20


def test_the_flywheel_takes_out_what_the_notes_left_at_30_percent(replayed) -> None:
    with psycopg.connect(replayed, autocommit=True) as connection:
        connection.execute("SET ROLE central_fleet")
        with connection.transaction(force_rollback=True):
            connection.execute(
                "INSERT INTO telemetry_delta (site_id, appliance_id, execution_ids)"
                " SELECT site_id, appliance_id, array_agg(execution_id) FROM execution_telemetry"
                " WHERE rule_id IS NOT NULL GROUP BY 1, 2"
            )
            promoter = Promoter(PromotionPolicy(), STAGES, new_id)
            moved: dict[str, Step] = {}
            fold(connection, now=NOW, then=lambda folded: moved.update(promoter.apply(connection, folded, now=NOW)))
    assert "RB-AUTO-BITLOCKE" in moved
    assert moved["RB-AUTO-BITLOCKE"].stage.value == "demoted"
    assert "RB-AUTO-FIREWALL" not in moved


def test_an_import_that_is_run_again_adds_nothing(replayed, reader) -> None:
    before = counts.top(reader)
    told = _import(replayed, notes_data.lines())
    assert told == {"rules that were here": 20, "patterns that were here": 56, "reports that were here": 13_135}
    assert counts.top(reader) == before

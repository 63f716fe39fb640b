"""The benchmark of Central Command compares what it says."""

from __future__ import annotations

from benchmarks.central import Line, Results, markdown
from benchmarks.central_load import PLAIN, batches_of
from central_command.store.telemetry import INGEST


def test_without_counters_is_the_same_statement_but_for_the_row_for_the_fold() -> None:
    counted = INGEST.as_string(None)
    assert "telemetry_delta" in counted
    assert "telemetry_delta" not in PLAIN
    assert "ON CONFLICT DO NOTHING" in PLAIN
    assert counted.count("%s") == PLAIN.count("%s") + 2
    start = counted.index(", appended")
    assert PLAIN[:start] == counted[:start]


def test_no_report_is_in_two_batches_of_all_writers() -> None:
    ids = [one for seed in (1, 2) for batch in batches_of(seed, 30, 7) for one in batch[0]]
    assert len(ids) == len(set(ids)) == 60


def test_a_missed_promise_is_said_to_be_missed() -> None:
    text = markdown(
        Results({"date": "2026-11-26", "machine": "m"}, [Line("a", 0.95, 0.9), Line("b", 0.8, 0.9), Line("c", 5)])
    )
    assert "| a | at least 0.9 | 0.95 | kept |" in text
    assert "| b | at least 0.9 | 0.8 | MISSED |" in text
    assert "| c |  | 5 |  |" in text

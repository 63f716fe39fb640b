"""What an answer means for each entry, and when the next try is due."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.domain.uplink import (
    HOPELESS,
    RETRIED,
    RETRY_AFTER_MAX_S,
    Answer,
    EntryAnswer,
    EntryFate,
    SendPolicy,
    UplinkState,
    judge,
    wait_s,
    within,
)
from compliance_agent.testing import NOON
from tests.support.state import at

TAKEN, AGAIN = EntryAnswer(EntryFate.TAKEN), EntryAnswer(EntryFate.AGAIN, "later")
POLICY = SendPolicy(retry_base_s=5, retry_max_s=900)


def test_each_entry_gets_what_was_said_of_it() -> None:
    said = {"a": TAKEN, "b": AGAIN, "c": EntryAnswer(EntryFate.HOPELESS, "no such check"), "d": TAKEN}
    judgement = judge(Answer(200, entries=said), ["a", "b", "c"])
    assert dict(judgement.entries) == {key: said[key] for key in "abc"}
    assert not judgement.line_failed


def test_an_entry_of_which_nothing_was_said_is_sent_again() -> None:
    judgement = judge(Answer(200, entries={"a": TAKEN}), ["a", "b"])
    assert judgement.entries["b"].fate is EntryFate.AGAIN
    assert not judgement.line_failed


def test_an_answer_that_says_nothing_of_any_entry_is_no_success() -> None:
    judgement = judge(Answer(200), ["a", "b"])
    assert judgement.line_failed
    assert judgement.entries == {}


def test_an_answer_that_cannot_be_understood_is_no_success() -> None:
    assert judge(Answer(200, "no JSON", {"a": TAKEN}), ["a"]).line_failed


@pytest.mark.parametrize("status", sorted(HOPELESS))
def test_a_batch_that_is_refused_for_what_it_is_is_sent_in_halves(status) -> None:
    judgement = judge(Answer(status, "answered"), ["a", "b"])
    assert judgement.split
    assert judgement.entries == {}
    assert not judgement.line_failed


@pytest.mark.parametrize("status", sorted(HOPELESS))
def test_an_entry_that_is_refused_alone_is_given_up_with_the_reason(status) -> None:
    judgement = judge(Answer(status, f"answered {status}: because"), ["a"])
    assert judgement.entries == {"a": EntryAnswer(EntryFate.HOPELESS, f"answered {status}: because")}
    assert not judgement.line_failed


@pytest.mark.parametrize("status", [*sorted(RETRIED), 500, 502, 503, 504, 599, 301, 302, 401, 403, 404, 410, None, 100])
@pytest.mark.parametrize("ids", [["a"], ["a", "b"]])
def test_what_judges_the_line_or_the_moment_gives_up_nothing(status, ids) -> None:
    judgement = judge(Answer(status), ids)
    assert judgement.line_failed
    assert judgement.entries == {}
    assert not judgement.split
    assert judgement.trouble


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1), wish=st.none() | st.floats(-10, 1e9))
def test_a_wait_is_between_the_wish_and_the_bound(failures, chance, wish) -> None:
    waited = wait_s(failures, policy=POLICY, chance=chance, retry_after_s=wish)
    assert 0 <= waited <= max(POLICY.retry_max_s, RETRY_AFTER_MAX_S)
    assert waited >= min(max(wish or 0, 0), RETRY_AFTER_MAX_S)


def test_the_bound_doubles_up_to_the_most() -> None:
    bounds = [wait_s(failures, policy=POLICY, chance=1.0) for failures in range(1, 12)]
    assert bounds == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]


def test_the_jitter_is_full() -> None:
    assert wait_s(5, policy=POLICY, chance=0.0) == 0
    assert wait_s(5, policy=POLICY, chance=0.5) == 40


def test_failures_add_up_and_a_success_ends_them() -> None:
    state = UplinkState()
    for number in range(3):
        state = state.failed(at(number), "no route", policy=POLICY, chance=1.0)
    assert (state.failures, state.next_try_at, state.trouble) == (3, at(2) + timedelta(seconds=20), "no route")
    assert state.succeeded(at(30)) == UplinkState(tried_at=at(30), succeeded_at=at(30))


def test_a_failure_keeps_the_last_success() -> None:
    state = UplinkState().succeeded(NOON).failed(at(5), "x", policy=POLICY, chance=0)
    assert (state.succeeded_at, state.tried_at) == (NOON, at(5))


@pytest.mark.parametrize(
    ("seconds", "due"),
    [
        pytest.param(-1, False, id="before"),
        pytest.param(0, True, id="at its time"),
        pytest.param(1, True, id="after"),
        pytest.param(-RETRY_AFTER_MAX_S, False, id="the longest wait there is"),
        pytest.param(-RETRY_AFTER_MAX_S - 1, True, id="longer than any wait: the clock was set back"),
    ],
)
def test_a_try_is_due_at_its_time(seconds, due) -> None:
    assert UplinkState(1, next_try_at=NOON).is_due(at(seconds)) is due


def test_without_a_wait_a_try_is_due() -> None:
    assert UplinkState().is_due(NOON)


@given(sizes=st.lists(st.integers(0, 50), max_size=20), bytes_max=st.integers(1, 100))
def test_a_batch_is_the_longest_start_that_fits_and_never_empty(sizes, bytes_max) -> None:
    chosen = within(bytes_max, list(enumerate(sizes)))
    assert chosen == list(range(len(chosen)))
    assert bool(chosen) == bool(sizes)
    if len(chosen) > 1:
        assert sum(sizes[: len(chosen)]) <= bytes_max
    if len(chosen) < len(sizes):
        assert sum(sizes[: len(chosen) + 1]) > bytes_max

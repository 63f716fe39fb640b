"""How strong runs speak for a fix: known values, and the properties that the decisions rest on."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central_command.flywheel.evidence import Tally, design_effect, e_value, intraclass_correlation, wilson_lower

_COUNTS = st.integers(0, 2_000)
_RATES = st.floats(0.05, 0.95)


@pytest.mark.parametrize(
    ("successes", "runs", "z", "bound"),
    [
        # R: prop.test(s, n, correct = FALSE, conf.level = .95)$conf.int[1]
        pytest.param(15, 20, 1.959964, 0.531299, id="15 of 20 at 95 %"),
        pytest.param(98, 100, 1.959964, 0.929983, id="98 of 100 at 95 %"),
        pytest.param(0, 10, 1.959964, 0.0, id="none of 10"),
        pytest.param(10, 10, 1.959964, 0.722467, id="all of 10"),
    ],
)
def test_wilsons_bound_has_its_known_values(successes, runs, z, bound) -> None:
    assert wilson_lower(successes, runs, z) == pytest.approx(bound, abs=2e-5)


def test_twenty_two_flawless_runs_are_the_fewest_whose_bound_reaches_eighty_percent() -> None:
    assert wilson_lower(21, 21) < 0.8 <= wilson_lower(22, 22)


def test_no_run_bounds_nothing() -> None:
    assert wilson_lower(0, 0) == 0.0


@given(_COUNTS, st.integers(1, 2_000))
def test_wilsons_bound_stays_below_the_rate_and_grows_with_each_success(successes, failures) -> None:
    runs = successes + failures
    assert 0 <= wilson_lower(successes, runs) <= successes / runs
    assert wilson_lower(successes + 1, runs + 1) >= wilson_lower(successes, runs)


def test_nothing_seen_is_no_evidence_either_way() -> None:
    assert e_value(0, 0, 0.8) == pytest.approx(1)


@given(_COUNTS, _COUNTS, _RATES)
def test_a_success_adds_evidence_and_a_failure_takes_some(successes, failures, null_rate) -> None:
    now = e_value(successes, failures, null_rate)
    assert e_value(successes + 1, failures, null_rate) >= now
    assert e_value(successes, failures + 1, null_rate) <= now


@given(st.integers(0, 60), st.integers(0, 60), _RATES, st.floats(0, 1))
def test_at_any_true_rate_up_to_the_null_one_more_run_is_expected_to_add_no_evidence(
    successes, failures, null_rate, share
) -> None:
    true_rate = null_rate * share
    now = e_value(successes, failures, null_rate)
    then = true_rate * e_value(successes + 1, failures, null_rate) + (1 - true_rate) * e_value(
        successes, failures + 1, null_rate
    )
    assert then <= now * (1 + 1e-9)


def test_evidence_beyond_what_a_float_holds_is_infinite() -> None:
    assert e_value(10_000, 0, 0.5) == math.inf


@pytest.mark.parametrize(("successes", "failures", "null_rate"), [(-1, 0, 0.8), (0, -1, 0.8), (1, 1, 0), (1, 1, 1)])
def test_numbers_that_cannot_be_are_refused(successes, failures, null_rate) -> None:
    with pytest.raises(ValueError, match="no evidence can be computed"):
        e_value(successes, failures, null_rate)


def test_appliances_that_always_or_never_succeed_are_wholly_alike_inside() -> None:
    assert intraclass_correlation([Tally(10, 0), Tally(0, 10), Tally(10, 0)]) == pytest.approx(1)


def test_appliances_with_the_same_rate_are_not_alike_inside() -> None:
    assert intraclass_correlation([Tally(8, 2)] * 10) == 0


@pytest.mark.parametrize(
    "tallies",
    [
        pytest.param([], id="no appliance"),
        pytest.param([Tally(5, 5)], id="one appliance"),
        pytest.param([Tally(1, 0), Tally(0, 1)], id="one run each"),
        pytest.param([Tally(5, 0), Tally(7, 0)], id="no failure"),
        pytest.param([Tally(0, 5), Tally(0, 7)], id="no success"),
    ],
)
def test_what_cannot_be_estimated_is_not(tallies) -> None:
    assert intraclass_correlation(tallies) is None


@given(st.lists(st.builds(Tally, st.integers(0, 30), st.integers(0, 30)), max_size=20))
def test_an_estimate_is_a_correlation(tallies) -> None:
    estimate = intraclass_correlation(tallies)
    assert estimate is None or 0 <= estimate <= 1


def test_equal_clusters_inflate_by_the_textbooks_formula() -> None:
    assert design_effect([Tally(9, 1)] * 10, 0.3) == pytest.approx(1 + 9 * 0.3)


def test_one_big_cluster_among_small_ones_counts_for_its_runs() -> None:
    small = design_effect([Tally(10, 0)] * 10, 0.3)
    lopsided = design_effect([Tally(91, 0)] + [Tally(1, 0)] * 9, 0.3)
    assert lopsided > 5 * small


def test_independent_runs_are_not_inflated() -> None:
    assert all(design_effect([Tally(n, n)] * 3, 0) == 1 for n in range(5))


def test_more_correlation_never_means_more_evidence() -> None:
    effects = [design_effect([Tally(5, 1), Tally(20, 2)], step / 10) for step in range(11)]
    assert all(one <= other for one, other in pairwise(effects))

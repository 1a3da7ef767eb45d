"""What the view says of a confirmation: values from records, through the real rules."""

from __future__ import annotations

from functools import cache

import pytest
from records_factory import CONFIRM_SEED, TARGET
from report_page import confirmed_view

from search.confirm.state import ConfirmationState
from search.record.confirmation import DOCUMENTED
from search.report.view.confirmation import (
    arm_results,
    claim_of,
    confirmed_seeds,
    energy_pairs,
    over_budget,
    saving_trials,
    verdict_so_far,
    verdicts,
)
from search.report.view.data import StudyView

decided = cache(confirmed_view)


def state_of(view: StudyView) -> ConfirmationState:
    assert view.confirmation is not None
    return view.confirmation


def test_arms_are_the_baselines_first_and_then_the_candidates() -> None:
    arms = arm_results(state_of(decided("SAVES")), TARGET)
    assert [arm.arm for arm in arms] == ["documented", "fitted", "trial 1", "trial 2"]
    assert [arm.is_baseline for arm in arms] == [True, True, False, False]
    assert [len(arm.seeds) for arm in arms] == [5, 5, 5, 3]
    assert arms[3].left.startswith("after 3 seeds trial 1")
    assert confirmed_seeds(state_of(decided("SAVES")), "trial 2") == tuple(
        range(CONFIRM_SEED, CONFIRM_SEED + 3)
    )


def test_pairs_are_of_the_rounds_in_which_both_ran() -> None:
    pairs = energy_pairs(state_of(decided("SAVES")), "trial 2", DOCUMENTED)
    assert [pair.seed for pair in pairs] == [CONFIRM_SEED, CONFIRM_SEED + 1, CONFIRM_SEED + 2]
    assert all(0.35 < pair.ratio < 0.45 for pair in pairs)


@pytest.mark.parametrize(("kind", "stands"), [("SAVES", 1), ("TIE", 1), ("COSTS", 1), ("UNPROVEN", 0)])
def test_what_is_not_proven_does_not_stand(kind: str, stands: int) -> None:
    view = decided(kind)
    assert (claim_of(view.confirmation) is not None) is bool(stands)
    assert [verdict.arm for verdict in verdicts(view.confirmation)] == ["trial 1", "trial 2"]


def test_only_a_trial_whose_verdict_is_saves_is_confirmed() -> None:
    assert saving_trials(decided("SAVES").confirmation) == {1}
    assert saving_trials(decided("TIE").confirmation) == frozenset()
    assert saving_trials(None) == frozenset()


@pytest.mark.parametrize("most", [0, 5, 10])
def test_before_the_first_whole_round_there_is_no_verdict(most: int) -> None:
    assert verdict_so_far(decided("SAVES", most=most).confirmation) is None


def test_joules_that_are_spent_end_it() -> None:
    assert over_budget(state_of(confirmed_view("SAVES", energy_j=900.0)))
    assert not over_budget(state_of(decided("SAVES")))


def test_runs_of_the_confirmation_cost_and_do_not_rank() -> None:
    view = decided("SAVES")
    assert [record.trial for record in view.front] == [1]
    assert (len(view.records), len(view.confirming), len(view.runs)) == (4, 27, 31)
    assert view.cost.runs == 31

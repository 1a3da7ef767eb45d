"""What one run of a confirmed recipe saves: by the means of the confirmation, once its verdict is decided."""

from __future__ import annotations

from dataclasses import asdict
from statistics import geometric_mean

import pytest
from confirmed_study import confirmed_study
from records_factory import BASELINE, make_record, study_config

from search.confirm.settings import ConfirmSettings
from search.report.view.cost import SearchCost
from search.report.view.data import study_view

LUCKY = make_record(1, energy_j=9.0, time_s=4.0)
JOULES = [13.0, 14.0, 15.0, 14.0, 13.5]
BASELINE_J = [60.0 * (1 + 0.01 * (number % 2)) for number in range(5)]
STEADY = [2.27, 2.272, 2.268, 2.271, 2.269]


def cost_of(losses: list[float], joules: list[float] = JOULES) -> SearchCost:
    """Of a study whose verdict is decided after five seeds."""
    n = len(losses)
    records = confirmed_study([BASELINE, LUCKY], {1: losses}, {1: joules[:n]})
    confirm = asdict(ConfirmSettings(candidates=1, seeds=5, max_seeds=5))
    return study_view(records, study_config() | {"confirm": confirm}).cost


def test_it_is_the_difference_of_the_geometric_means_and_not_of_two_lucky_runs() -> None:
    cost = cost_of(STEADY)
    assert cost.saving_confirmed
    assert cost.saved_per_run_j == pytest.approx(geometric_mean(BASELINE_J) - geometric_mean(JOULES))
    assert cost.break_even_runs == pytest.approx(cost.energy_j / cost.saved_per_run_j)


def test_while_the_verdict_is_open_it_is_what_the_best_trial_saved() -> None:
    cost = cost_of(STEADY[:3])
    assert not cost.saving_confirmed
    assert cost.saved_per_run_j == 60.0 - 9.0


@pytest.mark.parametrize(
    ("losses", "joules"),
    [([loss + 0.03 for loss in STEADY], JOULES), (STEADY, [5 * one for one in JOULES])],
    ids=["misses the target", "costs more"],
)
def test_a_recipe_that_misses_or_costs_more_saves_nothing(losses: list[float], joules: list[float]) -> None:
    cost = cost_of(losses, joules)
    assert cost.saving_confirmed
    assert cost.saved_per_run_j is None
    assert cost.break_even_runs is None


def test_fitting_and_confirming_are_in_what_the_search_cost() -> None:
    cost = cost_of(STEADY)
    assert set(cost.by_part_j) == {"baseline", "search", "confirming"}
    assert cost.energy_j == pytest.approx(sum(cost.by_part_j.values()))

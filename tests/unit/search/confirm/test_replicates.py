"""Which recipe leads a search when seeds are lucky, and which runs again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import BASELINE, TARGET, make_record

from search.confirm.fit import FARTHEST, length_for
from search.confirm.from_records import candidates
from search.confirm.replicates import key_of_run, longer, replicate_due, replicated, standings
from search.record.outcome import Outcome, Role
from search.record.record import Record

NAMES = ("energy_to_target_j", "time_to_target_s")
E, T = NAMES


def again(of: Record, trial: int, energy_j: float, **fields: object) -> Record:
    """The recipe of a trial, run with another seed."""
    return replace(make_record(trial, energy_j=energy_j), config=of.config, **fields)  # type: ignore[arg-type]


def missed(of: Record, trial: int, gap: float, steps: int = 2000) -> Record:
    """Its run to `steps` of 2,000 steps, which ended so far above the target."""
    run = make_record(
        trial, energy_j=30.0, outcome=Outcome.OUT_OF_BUDGET, final_loss=TARGET + gap, steps=steps
    )
    return replace(run, config=of.config)


LUCKY, STEADY, THIRD = (
    make_record(trial, energy_j=joules) for trial, joules in ((1, 8.0), (2, 10.0), (3, 20.0))
)


def order(*records: Record) -> list[int]:
    """The recipes by their means, each named by its first trial."""
    return [one.runs[0].trial for one in standings(records, NAMES)]


def test_a_recipe_ranks_by_the_geometric_mean_over_its_runs() -> None:
    assert order(LUCKY, STEADY, THIRD) == [1, 2, 3]
    unlucky = again(LUCKY, 4, 18.0)
    assert order(LUCKY, STEADY, THIRD, unlucky) == [2, 1, 3]
    (_, one, _) = standings([LUCKY, STEADY, THIRD, unlucky], NAMES)
    assert one.means[E] == pytest.approx((8.0 * 18.0) ** 0.5)
    assert one.means[T] == pytest.approx(8.0)


def test_the_dearest_run_that_reached_the_target_stands_for_a_recipe() -> None:
    (one,) = standings([LUCKY, again(LUCKY, 4, 9.0), missed(LUCKY, 5, 0.02)], NAMES)
    assert one.shown.trial == 4
    assert [run.trial for run in one.runs] == [1, 4, 5]


def test_a_run_that_missed_counts_with_what_the_length_takes_that_its_gap_asks_for() -> None:
    short = missed(LUCKY, 4, 0.02)
    steps = length_for(2000, 0.02)
    assert steps is not None
    assert longer(short) == steps
    (one,) = standings([LUCKY, short], NAMES)
    assert one.means[E] == pytest.approx((8.0 * 30.0 * steps / 2000) ** 0.5)


@pytest.mark.parametrize(("gap", "steps", "whole"), [(2.0, 2000, 1.0), (0.02, 500, 4.0)])
def test_a_run_that_missed_by_far_or_ended_early_counts_with_twice_its_whole_schedule(
    gap: float, steps: int, whole: float
) -> None:
    far = missed(LUCKY, 4, gap, steps)
    assert longer(far) is None
    assert pytest.approx(2.0) == 2.718281828459045**FARTHEST
    (one,) = standings([LUCKY, far], NAMES)
    assert one.means[E] == pytest.approx((8.0 * 30.0 * whole * 2.0) ** 0.5)


def test_what_a_seed_does_not_move_is_that_of_one_run() -> None:
    names = (E, "parameters")
    first, second = (
        replace(run, values={E: run.values[E], "parameters": 804_096})
        for run in (LUCKY, again(LUCKY, 4, 9.0))
    )
    (one,) = standings([first, second], names)
    assert one.means["parameters"] == 804_096


def test_a_replicate_without_a_value_of_every_objective_ranks_for_nothing() -> None:
    dearer = replace(again(LUCKY, 4, 9.0), values={E: 9.0})
    (one,) = standings([LUCKY, dearer], NAMES)
    assert one.shown.trial == 1
    assert one.means == pytest.approx({E: (8.0 * 9.0) ** 0.5, T: 8.0})


def test_recipes_that_no_run_of_the_search_reached_the_target_with_stand_nowhere() -> None:
    without_time = replace(THIRD, values={E: 1.0})
    confirming = replace(LUCKY, role=Role.CONFIRM)
    crashed = replace(STEADY, outcome=Outcome.CRASHED)
    cut_off = replace(LUCKY, interrupted=True)
    assert order(BASELINE, without_time, confirming, crashed, cut_off, missed(LUCKY, 4, 0.1)) == []


def test_what_is_confirmed_is_best_on_average() -> None:
    records = [BASELINE, LUCKY, STEADY, THIRD, again(LUCKY, 4, 18.0), again(STEADY, 5, 11.0)]
    assert [one.of_trial for one in candidates(records, NAMES, 2)] == [5, 4]


def due(records: Sequence[Record], leaders: int = 2, replicates: int = 2, share: float = 1.0) -> int | None:
    found = replicate_due(records, NAMES, leaders, replicates, share)
    return None if found is None else found.trial


def test_the_leaders_run_again_one_after_the_other_until_each_has_its_runs() -> None:
    records = [BASELINE, LUCKY, STEADY, THIRD]
    assert due(records) == 1
    records.append(again(LUCKY, 4, 9.0))
    assert due(records) == 2
    records.append(again(STEADY, 5, 10.0))
    assert due(records) is None
    assert due(records, leaders=3) == 3
    assert due(records, replicates=3) == 1


def test_one_that_falls_behind_gives_its_place_to_the_next() -> None:
    records = [BASELINE, LUCKY, STEADY, THIRD, again(LUCKY, 4, 90.0), again(STEADY, 5, 10.0)]
    assert due(records) == 3


def test_a_replicate_that_crashed_was_one_and_one_that_was_cut_off_was_none() -> None:
    crashed = again(LUCKY, 4, 9.0, outcome=Outcome.CRASHED)
    assert due([BASELINE, LUCKY, crashed]) is None
    assert due([BASELINE, LUCKY, replace(crashed, interrupted=True)]) == 1


def test_a_recipe_that_runs_at_this_moment_counts() -> None:
    busy = [key_of_run(LUCKY)]
    assert replicate_due([BASELINE, LUCKY], NAMES, 2, 2, 1.0, busy) is None


def test_replicates_take_no_more_than_their_share_and_none_where_they_are_off() -> None:
    records = [BASELINE, LUCKY, STEADY, again(LUCKY, 4, 9.0)]
    gross = [record.gross_energy_j or 0.0 for record in records]
    share = (gross[3] + gross[2]) / sum(gross[1:])  # with the next one, of trial 2
    assert due(records, share=share + 0.01) == 2
    assert due(records, share=share - 0.01) is None
    assert due([BASELINE, LUCKY, STEADY], share=0.0) is None
    assert due(records, replicates=1) is None
    assert due([BASELINE, missed(LUCKY, 1, 0.1)]) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(1.0, 50.0)), max_size=12))
def test_every_trial_is_a_recipes_first_or_a_replicate(runs: list[tuple[int, float]]) -> None:
    of = [LUCKY, STEADY, THIRD, make_record(9)]
    records = [again(of[recipe], trial, joules) for trial, (recipe, joules) in enumerate(runs, 1)]
    first = [recipe for recipe, _ in runs]
    assert replicated(records) == {
        trial: first.index(recipe) + 1
        for trial, recipe in enumerate(first, 1)
        if first.index(recipe) + 1 != trial
    }
    ranked = standings(records, NAMES)
    assert sum(len(one.runs) for one in ranked) == len(records)
    assert [one.means[E] for one in ranked] == sorted(one.means[E] for one in ranked)
    for one in ranked:
        joules = [run.values[E] for run in one.runs]
        assert min(joules) <= one.means[E] * (1 + 1e-12)
        assert one.means[E] <= max(joules) * (1 + 1e-12)
        assert one.shown.values[E] == max(joules)

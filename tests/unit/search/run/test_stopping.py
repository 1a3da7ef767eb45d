from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.record.limits import Limits, Rival
from search.record.objective import OBJECTIVES, Spent
from search.record.outcome import Outcome
from search.run.stopping import DIVERGED_ABOVE_UNIFORM, Ending, Standing, ending

TARGET = 2.0
VOCABULARY = 65
UNIFORM = math.log(VOCABULARY)
ABOVE = UNIFORM + DIVERGED_ABOVE_UNIFORM + 0.1
BOTH = ("energy_to_target_j", "time_to_target_s")
HALFWAY = Standing(
    spent=Spent(energy_j=100.0, time_s=10.0, tokens=5000, parameters=800, peak_memory_bytes=2**20),
    gross_energy_j=130.0,
    gross_time_s=13.0,
    train_loss=2.4,
)


def verdict(
    standing: Standing,
    limits: Limits | None = None,
    objectives: tuple[str, ...] = BOTH,
    rivals: tuple[tuple[float, ...], ...] = (),
    margin: float = 0.0,
) -> Ending | None:
    numbered = [Rival(trial, values, margin) for trial, values in enumerate(rivals)]
    return ending(standing, TARGET, VOCABULARY, limits or Limits(), objectives, numbered)


def outcome(standing: Standing, **options: Any) -> Outcome | None:
    end = verdict(standing, **options)
    return end.outcome if end else None


def test_a_run_that_is_fine_goes_on() -> None:
    assert verdict(replace(HALFWAY, loss=2.3, previous_loss=2.6)) is None


# ---- reached


@pytest.mark.parametrize("loss", [TARGET, TARGET - 0.5])
def test_a_validation_loss_at_or_below_the_target_is_reached(loss: float) -> None:
    assert outcome(replace(HALFWAY, loss=loss)) is Outcome.REACHED


def test_a_training_loss_below_the_target_is_not() -> None:
    assert outcome(replace(HALFWAY, train_loss=TARGET - 0.5)) is None


def test_reaching_the_target_comes_before_every_other_ending() -> None:
    standing = replace(HALFWAY, loss=TARGET, train_loss=math.nan, previous_loss=ABOVE)
    assert outcome(standing, limits=Limits(1.0, 1.0, 1), rivals=((1.0, 1.0),)) is Outcome.REACHED


# ---- diverged


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_divergence(loss: float) -> None:
    assert outcome(replace(HALFWAY, train_loss=loss)) is Outcome.DIVERGED
    assert outcome(replace(HALFWAY, loss=loss)) is Outcome.DIVERGED


def test_two_evaluations_in_a_row_far_above_guessing_are_divergence() -> None:
    assert outcome(replace(HALFWAY, loss=ABOVE, previous_loss=ABOVE)) is Outcome.DIVERGED


@pytest.mark.parametrize(
    ("before", "last"), [(None, ABOVE), (UNIFORM, ABOVE), (ABOVE, UNIFORM), (ABOVE, None)]
)
def test_a_single_spike_is_not(before: float | None, last: float | None) -> None:
    assert outcome(replace(HALFWAY, loss=last, previous_loss=before)) is None


def test_guessing_evenly_is_not_divergence_however_often() -> None:
    assert outcome(replace(HALFWAY, loss=UNIFORM, previous_loss=UNIFORM)) is None


# ---- out of budget


@pytest.mark.parametrize(
    ("limits", "unit"),
    [(Limits(energy_j=130.0), "130 J"), (Limits(time_s=13.0), "13 s"), (Limits(tokens=5000), "5000 tokens")],
)
def test_a_budget_is_spent_at_its_limit_and_the_reason_names_it(limits: Limits, unit: str) -> None:
    end = verdict(HALFWAY, limits=limits)
    assert end is not None
    assert end.outcome is Outcome.OUT_OF_BUDGET
    assert unit in end.reason


@pytest.mark.parametrize("limits", [Limits(energy_j=130.1), Limits(time_s=13.1), Limits(tokens=5001)])
def test_a_budget_is_not_spent_below_its_limit(limits: Limits) -> None:
    assert outcome(HALFWAY, limits=limits) is None


def test_no_limit_is_never_spent() -> None:
    endless = replace(HALFWAY, gross_energy_j=1e300, gross_time_s=1e300)
    assert outcome(endless, limits=Limits()) is None


def test_an_unknown_energy_is_never_a_spent_budget() -> None:
    assert outcome(replace(HALFWAY, gross_energy_j=None), limits=Limits(energy_j=1e-9)) is None


# ---- dominated


def test_a_run_is_dominated_by_a_rival_that_needed_less_of_everything() -> None:
    assert outcome(HALFWAY, rivals=((99.0, 9.0),)) is Outcome.DOMINATED


def test_a_rival_that_needed_exactly_as_much_dominates_too() -> None:
    assert outcome(HALFWAY, rivals=((100.0, 10.0),)) is Outcome.DOMINATED


@pytest.mark.parametrize("rivals", [((99.0, 10.1),), ((100.1, 9.0),), ((99.0, 10.1), (100.1, 9.0))])
def test_no_rival_dominates_that_needed_more_of_anything(rivals: tuple[tuple[float, float], ...]) -> None:
    assert outcome(HALFWAY, rivals=rivals) is None


def test_without_rivals_nothing_is_dominated() -> None:
    assert outcome(replace(HALFWAY, spent=Spent(1e300, 1e300, 10**18, 10**18, 10**18)), rivals=()) is None


def test_the_reason_names_the_rival_and_sets_what_it_needed_beside_what_this_run_had_spent() -> None:
    end = verdict(HALFWAY, rivals=((101.0, 11.0), (99.0, 9.0)))
    assert end is not None
    assert "spent 100 J, 10.0 s" in end.reason
    assert "had not reached the target; trial 1, measured once, reached it for 99.0 J, 9.00 s" in end.reason
    assert end.rival == Rival(1, (99.0, 9.0))


def test_the_reason_states_the_margin_beyond_a_rival_that_was_measured_once() -> None:
    end = verdict(HALFWAY, rivals=((90.0, 9.0),), margin=0.1)
    assert end is not None
    assert "beyond the margin of 10 %: trial 0, measured once, reached it for 90.0 J" in end.reason


def test_a_confirmed_rival_needs_no_margin_and_the_reason_says_on_how_many_seeds() -> None:
    confirmed = Rival(7, (99.9, 10.0), confirmed_seeds=5)
    end = ending(HALFWAY, TARGET, VOCABULARY, Limits(), BOTH, [confirmed])
    assert end is not None
    assert "trial 7, confirmed on 5 fresh seeds, takes 99.9 J, 10.0 s" in end.reason


@pytest.mark.parametrize(
    ("values", "ends"),
    [((100 / 1.1, 10 / 1.1), True), ((100 / 1.09, 10 / 1.2), False), ((100 / 1.2, 10 / 1.09), False)],
)
def test_the_margin_holds_in_every_objective_that_luck_moves(values: tuple[float, ...], ends: bool) -> None:
    assert (outcome(HALFWAY, rivals=(values,), margin=0.1) is Outcome.DOMINATED) is ends


def test_what_no_seed_changes_has_no_margin() -> None:
    names = ("parameters", "peak_memory_bytes")
    assert outcome(HALFWAY, objectives=names, rivals=((800.0, 2.0**20),), margin=0.5) is Outcome.DOMINATED


@given(
    spent=st.tuples(st.floats(1, 1e6), st.floats(1, 1e6), st.integers(1, 10**9)),
    rival=st.tuples(st.floats(1, 1e6), st.floats(1, 1e6), st.integers(1, 10**9)),
    margin=st.floats(0, 1),
)
def test_a_run_is_never_ended_within_the_margin_and_always_at_the_first_reading_beyond_it(
    spent: tuple[float, float, int], rival: tuple[float, float, int], margin: float
) -> None:
    names = ("energy_to_target_j", "time_to_target_s", "tokens_to_target")
    used = Spent(*spent, parameters=800, peak_memory_bytes=None)
    ended = outcome(replace(HALFWAY, spent=used), objectives=names, rivals=(rival,), margin=margin)
    beyond = all(ours >= theirs * (1 + margin) for ours, theirs in zip(spent, rival, strict=True))
    assert (ended is Outcome.DOMINATED) is beyond


def test_counts_in_a_reason_are_whole_numbers_with_their_names() -> None:
    names = ("tokens_to_target", "parameters", "peak_memory_bytes")
    end = verdict(HALFWAY, objectives=names, rivals=((4999.0, 800.0, 2.0**20),))
    assert end is not None
    assert "spent 5,000 tokens, 800 parameters, 1,048,576 B" in end.reason


amounts = st.integers(0, 6)  # few values, so that ties are common
spents = st.builds(
    Spent,
    energy_j=st.none() | amounts.map(float),
    time_s=st.none() | amounts.map(float),
    tokens=amounts,
    parameters=amounts,
    peak_memory_bytes=st.none() | amounts,
)
objective_lists = st.lists(st.sampled_from(sorted(OBJECTIVES)), min_size=1, max_size=4, unique=True)


@st.composite
def contests(draw: st.DrawFn) -> tuple[Spent, tuple[str, ...], tuple[tuple[float, ...], ...]]:
    objectives = tuple(draw(objective_lists))
    rival = st.tuples(*[amounts.map(float)] * len(objectives))
    return draw(spents), objectives, tuple(draw(st.lists(rival, max_size=4)))


def values(spent: Spent, objectives: tuple[str, ...]) -> list[float | None]:
    return [OBJECTIVES[name].of(spent) for name in objectives]


@given(contests(), *[amounts] * 4)
def test_a_dominated_run_stays_dominated_by_some_rival_however_it_goes_on(
    contest: tuple[Spent, tuple[str, ...], tuple[tuple[float, ...], ...]],
    more_j: int,
    more_s: int,
    more_tokens: int,
    more_bytes: int,
) -> None:
    spent, objectives, rivals = contest
    end = verdict(replace(HALFWAY, spent=spent), objectives=objectives, rivals=rivals)
    if end is None:
        return
    assert end.outcome is Outcome.DOMINATED
    later = replace(
        spent,
        energy_j=None if spent.energy_j is None else spent.energy_j + more_j,
        time_s=None if spent.time_s is None else spent.time_s + more_s,
        tokens=spent.tokens + more_tokens,
        peak_memory_bytes=None if spent.peak_memory_bytes is None else spent.peak_memory_bytes + more_bytes,
    )
    final = values(later, objectives)
    assert any(
        all(ours is not None and theirs <= ours for theirs, ours in zip(rival, final, strict=True))
        for rival in rivals
    )


@given(contests())
def test_a_run_that_can_still_reach_the_front_goes_on(
    contest: tuple[Spent, tuple[str, ...], tuple[tuple[float, ...], ...]],
) -> None:
    spent, objectives, rivals = contest
    bound = values(spent, objectives)
    beaten = any(
        all(ours is not None and theirs <= ours for theirs, ours in zip(rival, bound, strict=True))
        for rival in rivals
    )
    end = verdict(replace(HALFWAY, spent=spent), objectives=objectives, rivals=rivals)
    assert (end is not None) == beaten


@pytest.mark.parametrize(
    ("unknown", "objective"),
    [
        ("energy_j", "energy_to_target_j"),
        ("time_s", "time_to_target_s"),
        ("peak_memory_bytes", "peak_memory_bytes"),
    ],
)
def test_a_run_whose_bound_is_unknown_is_never_dominated(unknown: str, objective: str) -> None:
    spent = replace(HALFWAY.spent, **{unknown: None})
    assert outcome(replace(HALFWAY, spent=spent), objectives=(objective,), rivals=((0.0,),)) is None

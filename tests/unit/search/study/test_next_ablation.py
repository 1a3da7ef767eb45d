"""A study with an ablation, run to its end in values: what runs, in which order, and after a kill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from ablated_study import World, study_settings, whole_study

from search.confirm.ablated_arms import AblationState
from search.confirm.ablation import waterfall
from search.confirm.levers import Group
from search.record.confirmation import Purpose
from search.record.outcome import Role
from search.record.record import Record
from search.study.next_confirmation import ablation_of, state_of
from search.study.next_run import next_run
from search.study.search_settings import SearchSettings

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

PLAIN = World()


@cache
def study(world: World = PLAIN) -> tuple[Record, ...]:
    return tuple(whole_study(study_settings(), world))


def ablation(records: Sequence[Record], chosen: SearchSettings | None = None) -> AblationState:
    chosen = chosen or study_settings()
    state = state_of(records, chosen)
    assert state is not None
    found = ablation_of(state, records, chosen)
    assert found is not None
    return found


def of(records: Sequence[Record], role: Role, purpose: Purpose) -> list[Record]:
    return [r for r in records if r.role is role and r.confirmation and r.confirmation.purpose is purpose]


def test_the_ablation_follows_the_verdict_and_measures_what_was_programmed() -> None:
    records = study()
    kinds = [(r.role, r.confirmation.purpose) for r in records if r.confirmation]
    order = [(role, purpose) for purpose in Purpose for role in (Role.FIT, Role.CONFIRM)]
    assert kinds == sorted(kinds, key=order.index)
    whole = waterfall(ablation(records))
    assert whole is not None
    factors = {part.group: part.factor for part in whole.parts}
    assert set(factors) == {None, Group.SHAPE, Group.OPTIMIZER}
    assert factors[Group.SHAPE] == pytest.approx(2.0, rel=0.1)
    assert factors[Group.OPTIMIZER] == pytest.approx(2.0, rel=0.1)
    assert whole.interactions == pytest.approx(1.0, rel=0.15)


def test_levers_that_need_each_other_show_as_interactions() -> None:
    whole = waterfall(ablation(study(World(interaction=0.7))))
    assert whole is not None
    assert whole.interactions == pytest.approx(0.7, rel=0.15)


def test_rounds_have_winner_baselines_and_every_group_with_the_same_fresh_seed_in_random_order() -> None:
    records = study()
    runs = of(records, Role.CONFIRM, Purpose.ABLATE)
    arms = ["documented", "fitted", "trial 4", "without optimizer", "without shape"]
    orders = []
    for number in range(study_settings().config.confirm.ablate_seeds):
        of_round = [r for r in runs if r.confirmation and r.confirmation.round == number]
        orders.append([r.confirmation.arm for r in of_round if r.confirmation])
        assert sorted(orders[-1]) == arms
        assert len({r.seed for r in of_round}) == 1
    assert len(runs) == len(orders) * len(arms)
    assert len(set(map(tuple, orders))) > 1


def test_no_seed_of_the_search_the_fits_or_the_verdict_is_used_again() -> None:
    records = study()
    kinds = [[r for r in records if not r.role.confirms]]
    kinds += [of(records, role, purpose) for purpose in Purpose for role in (Role.FIT, Role.CONFIRM)]
    seeds = [{record.seed for record in kind} for kind in kinds]
    assert sum(map(len, seeds)) == len(set.union(*seeds))


def test_the_winner_runs_at_the_length_of_the_verdict() -> None:
    records = study()
    state = state_of(records, study_settings())
    assert state is not None
    lengths = {
        r.max_steps
        for purpose in Purpose
        for r in of(records, Role.CONFIRM, purpose)
        if r.confirmation and r.confirmation.arm == "trial 4"
    }
    assert lengths == {state.steps["trial 4"]}


def test_the_verdict_is_the_same_with_and_without_the_ablation() -> None:
    without = study_settings(ablate=False)
    records = study()
    before = [r for r in records if r.confirmation is None or r.confirmation.purpose is Purpose.CONFIRM]
    assert whole_study(without, PLAIN) == before
    state, state_before = state_of(records, without), state_of(before, without)
    assert state is not None
    assert state_before is not None
    assert state == replace(state_before, spent_j=_spent_j(records))
    assert next_run(before, (), study_settings()).request is not None


def test_a_finished_study_is_ablated_by_the_confirmation_alone() -> None:
    finished = whole_study(study_settings(ablate=False), PLAIN)
    chosen = replace(study_settings(), only_confirm=True)
    assert whole_study(chosen, PLAIN, finished) == list(study())


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_a_study_killed_anywhere_continues_as_it_would_have(at: int) -> None:
    kept = [Record.from_dict(record.to_dict()) for record in study()[:at]]
    assert whole_study(study_settings(), PLAIN, kept) == list(study())


@pytest.mark.parametrize("cut_off", [{9, 10, 20}, {35, 36, 37, 38}, {33, 41, 52}, {36, 44, 45}])
def test_runs_that_are_cut_off_run_again_and_nothing_that_ended_does(cut_off: set[int]) -> None:
    records = whole_study(study_settings(), World(cut_off=frozenset(cut_off)))
    ended = [(r.role, r.confirmation) for r in records if r.confirmation and not r.interrupted]
    assert len(ended) == len(set(ended))
    assert len(ablation(records).rounds) == study_settings().config.confirm.ablate_seeds


def test_a_group_without_which_the_target_is_out_of_reach_is_at_least_its_longest_run() -> None:
    records = study(World(never=20.0))
    found = ablation(records)
    fit = found.fits["without optimizer"]
    assert fit.steps is None
    assert "does not reach the target within 4 times" in fit.reason
    ran_at = [r.max_steps for r in of(records, Role.FIT, Purpose.ABLATE)]
    assert max(s for s in ran_at if s is not None) <= 4 * found.steps["trial 4"]
    assert not any(
        r.confirmation.arm == fit for r in of(records, Role.CONFIRM, Purpose.ABLATE) if r.confirmation
    )
    whole = waterfall(found)
    assert whole is not None
    bound = next(part for part in whole.parts if part.group is Group.OPTIMIZER)
    assert bound.at_least
    assert bound.factor == pytest.approx(4.0, rel=0.15)
    assert whole.at_most


def test_where_no_group_has_a_length_nothing_runs_and_the_rounds_are_those_of_the_verdict() -> None:
    records = study(World(never=20.0, never_large=20.0))
    assert of(records, Role.CONFIRM, Purpose.ABLATE) == []
    found, state = ablation(records), state_of(records, study_settings())
    assert state is not None
    assert state.race is not None
    assert found.rounds == state.race.rounds
    whole = waterfall(found)
    assert whole is not None
    assert [part.at_least for part in whole.parts if part.group is not None] == [True, True]


def test_a_candidate_that_does_not_save_is_not_ablated() -> None:
    chosen = study_settings(loss_margin=0.0)  # shorter runs end higher, so the clause on the loss fails
    records = whole_study(chosen, PLAIN)
    assert of(records, Role.FIT, Purpose.ABLATE) == []
    found = ablation(records, chosen)
    assert (found.winner, found.next) == (None, None)
    assert "is UNPROVEN, so that there is no saving to explain" in found.why


def test_the_budget_of_the_confirmation_holds_for_the_ablation_too() -> None:
    verdict_j = _spent_j(whole_study(study_settings(ablate=False), PLAIN))
    chosen = study_settings(energy_j=verdict_j + 30.0)
    records = whole_study(chosen, PLAIN)
    assert 0 < len(of(records, Role.FIT, Purpose.ABLATE)) < 6
    assert ablation(records, chosen).why == f"confirm.energy_j={verdict_j + 30.0:g} is spent"


def test_a_combination_that_cannot_run_is_skipped_with_its_reason() -> None:
    def why_not(config: Any) -> str | None:
        small_and_slow = config["model"]["n_layer"] == 2 and config["optimizer"]["lr"] == 1e-3
        return "no room" if small_and_slow and config["train"]["max_steps"] < 1000 else None

    chosen = replace(study_settings(), why_not=why_not)
    records = whole_study(chosen, PLAIN)
    arms = {r.confirmation.arm for r in of(records, Role.FIT, Purpose.ABLATE) if r.confirmation}
    assert arms == {"without shape"}
    reasons = {arm.group: arm.why_not for arm in ablation(records, chosen).arms}
    assert reasons == {Group.SHAPE: "", Group.OPTIMIZER: "no room"}


def test_lines_of_before_there_were_ablations_are_of_a_confirmation() -> None:
    line = next(r for r in study() if r.role is Role.CONFIRM).to_dict()
    line["confirmation"] = {key: v for key, v in line["confirmation"].items() if key != "purpose"}
    read = Record.from_dict(line).confirmation
    assert read is not None
    assert read.purpose is Purpose.CONFIRM


def test_more_seeds_are_added_to_the_rounds_that_have_run() -> None:
    more = study_settings(ablate_seeds=4)
    records = whole_study(more, PLAIN, list(study()))
    assert records[: len(study())] == list(study())
    assert len(ablation(records, more).rounds) == 4
    added = [r.confirmation.round for r in records[len(study()) :] if r.confirmation]
    assert added == [3] * 5


def _spent_j(records: Sequence[Record]) -> float:
    return math.fsum(r.gross_energy_j or 0.0 for r in records if r.role.confirms)

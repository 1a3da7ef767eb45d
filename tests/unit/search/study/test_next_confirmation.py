"""What follows a search: lengths are fitted, recipes run beside the baseline, and a verdict ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_study import (
    STEPS,
    TARGET,
    World,
    cut_off,
    of_role,
    run_study_through,
    study_settings,
)

from search.confirm.state import MAX_ATTEMPTS, MAX_CUT_OFF, ConfirmationState
from search.confirm.verdict import VerdictKind
from search.record.confirmation import DOCUMENTED, FITTED
from search.record.flags import Flag
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.run.request import RunRequest
from search.study.next_confirmation import state_of
from search.study.next_run import next_run
from search.study.search_settings import SearchSettings

CHOSEN = study_settings()
WORLD = World(margin=0.02)


def state(records: list[Record], chosen: SearchSettings = CHOSEN) -> ConfirmationState:
    found = state_of(records, chosen)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def whole() -> list[Record]:
    return run_study_through(CHOSEN, WORLD)


def reached(records: list[Record]) -> list[Record]:
    return [record for record in of_role(records, Role.SEARCH) if record.feasible]


def test_a_study_is_searched_then_fitted_then_confirmed(whole: list[Record]) -> None:
    order = list(dict.fromkeys(record.role for record in whole))
    assert order == [Role.BASELINE, Role.SEARCH, Role.FIT, Role.CONFIRM]
    roles = [record.role for record in whole]
    assert roles == sorted(roles, key=order.index)


def test_a_recipe_that_takes_half_the_joules_saves(whole: list[Record]) -> None:
    verdict = state(whole).verdict
    assert verdict is not None
    assert verdict.kind is VerdictKind.SAVES
    assert verdict.energy_ratio is not None
    assert verdict.energy_ratio.high < 0.7


def test_the_best_candidates_are_confirmed_beside_both_lengths_of_the_baseline(whole: list[Record]) -> None:
    arms = {record.confirmation.arm for record in of_role(whole, Role.CONFIRM) if record.confirmation}
    best = sorted(reached(whole), key=lambda r: r.values["energy_to_target_j"])[:2]
    assert arms == {DOCUMENTED, FITTED, *(f"trial {record.trial}" for record in best)}


def test_every_run_of_a_confirmation_is_of_fixed_length_and_has_no_rival(whole: list[Record]) -> None:
    for n in range(len(whole)):
        request = next_run(whole[:n], (), CHOSEN).request
        assert request is not None
        if request.role.confirms:
            assert request.to_the_end
            assert request.rivals == ()
            assert request.target_loss == TARGET


def test_an_arm_has_one_length_in_all_its_rounds_and_keeps_the_share_of_its_warm_up(
    whole: list[Record],
) -> None:
    lengths: dict[str, set[int | None]] = {}
    for record in of_role(whole, Role.CONFIRM):
        assert record.confirmation is not None
        lengths.setdefault(record.confirmation.arm, set()).add(record.max_steps)
        warmup, steps = record.config["schedule"]["warmup_steps"], record.config["train"]["max_steps"]
        assert warmup == pytest.approx(steps * 100 / STEPS, abs=0.5)
    assert all(len(steps) == 1 for steps in lengths.values())
    assert lengths[DOCUMENTED] == {STEPS}
    assert max(lengths[FITTED]) < STEPS  # type: ignore[type-var]


def test_seeds_are_fresh_and_shared_by_the_arms_of_a_round(whole: list[Record]) -> None:
    searched = {r.seed for r in whole if not r.role.confirms}
    fitted = {r.seed for r in of_role(whole, Role.FIT)}
    confirmed = {r.seed for r in of_role(whole, Role.CONFIRM)}
    assert not searched & (fitted | confirmed)
    assert not fitted & confirmed
    by_round: dict[int, set[int]] = {}
    for record in of_role(whole, Role.CONFIRM):
        assert record.confirmation is not None
        by_round.setdefault(record.confirmation.round, set()).add(record.seed)
    assert all(len(seeds) == 1 for seeds in by_round.values())
    assert len(confirmed) == len(by_round) >= CHOSEN.config.confirm.seeds


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_confirmation_that_was_killed_anywhere_continues_as_it_would_have(
    whole: list[Record], data: st.DataObject
) -> None:
    first = next(i for i, record in enumerate(whole) if record.role.confirms)
    n = data.draw(st.integers(first, len(whole) - 1))
    killed = cut_off(whole[n])
    records = run_study_through(CHOSEN, WORLD, [*whole[:n], killed])
    kept = [record for record in records if not record.interrupted]
    assert [r.config for r in kept] == [r.config for r in whole]
    assert [(r.confirmation, r.curve and r.curve[-1].loss) for r in kept] == [
        (r.confirmation, r.curve and r.curve[-1].loss) for r in whole
    ]
    assert records[n + 1].retry_of == killed.trial


def test_a_run_that_is_cut_off_again_and_again_is_given_up(whole: list[Record]) -> None:
    n = next(i for i, record in enumerate(whole) if record.role is Role.CONFIRM)
    killed = [replace(cut_off(whole[n]), trial=1000 + i) for i in range(MAX_CUT_OFF)]
    request = next_run([*whole[:n], *killed], (), CHOSEN).request
    assert request is not None
    assert request.confirmation != whole[n].confirmation


def test_an_arm_whose_fits_fail_again_and_again_is_not_confirmed() -> None:
    def crashes(request: RunRequest) -> bool:
        return request.role is Role.FIT and request.config["train"]["batch_size"] == 4

    records = run_study_through(CHOSEN, World(crashes=crashes))
    failed = [r for r in of_role(records, Role.FIT) if r.outcome is Outcome.CRASHED]
    assert len(failed) == MAX_ATTEMPTS
    batches = {record.config["train"]["batch_size"] for record in of_role(records, Role.CONFIRM)}
    assert 4 not in batches
    assert "failed" in state(records).fits[f"trial {failed[0].confirmation.of_trial}"].reason  # type: ignore[union-attr]


def test_a_round_whose_sides_saw_different_load_runs_again_and_then_counts() -> None:
    chosen = study_settings(candidates=1, repeats=1)

    def busy(request: RunRequest, number: int) -> tuple[str, ...]:
        place = request.confirmation
        seen = (
            place is not None
            and request.role is Role.CONFIRM
            and place.arm == DOCUMENTED
            and place.round == 1
        )
        return (Flag.FOREIGN_CPU_LOAD,) if seen else ()

    records = run_study_through(chosen, World(flags=busy))
    attempts = [
        r.confirmation.attempt
        for r in of_role(records, Role.CONFIRM)
        if r.confirmation and r.confirmation.round == 1
    ]
    assert sorted(attempts) == [0, 0, 0, 1, 1, 1]
    verdict = state(records, chosen).verdict
    assert verdict is not None
    assert verdict.uneven == 1


def test_nothing_is_confirmed_where_that_is_turned_off() -> None:
    records = run_study_through(study_settings(candidates=0), WORLD)
    assert {record.role for record in records} == {Role.BASELINE, Role.SEARCH}


def test_nothing_is_confirmed_where_no_trial_reached_the_target() -> None:
    dear = World(loss={12: 0.0, 4: 0.3, 8: 0.3, 16: 0.3})
    assert not any(record.role.confirms for record in run_study_through(CHOSEN, dear))


def test_a_confirmation_ends_with_its_own_budget() -> None:
    chosen = study_settings(energy_j=200.0)
    records = run_study_through(chosen, WORLD)
    spent = sum(r.gross_energy_j or 0.0 for r in records if r.role.confirms)
    last = [r.gross_energy_j or 0.0 for r in records if r.role.confirms][-1]
    assert spent - last < 200.0 <= spent
    assert "confirm.energy_j=200 is spent" in state(records, chosen).why


def test_the_budget_of_the_study_ends_it_too_unless_only_the_confirmation_is_asked_for() -> None:
    searched = run_study_through(study_settings(candidates=0), WORLD)
    spent = sum(r.gross_energy_j or 0.0 for r in searched)
    chosen = study_settings()
    chosen.config.budget.study_energy_j = spent
    assert next_run(searched, (), chosen).request is None
    only = replace(chosen, only_confirm=True)
    request = next_run(searched, (), only).request
    assert request is not None
    assert request.role is Role.FIT


def test_a_study_that_goes_on_confirms_what_it_found_since_with_other_seeds() -> None:
    small = study_settings(n_trials=2, candidates=1)
    before = run_study_through(small, WORLD)
    (first,) = of_role(before, Role.SEARCH)
    more = study_settings(n_trials=4, candidates=1)
    after = run_study_through(more, WORLD, before)
    best = min(reached(after), key=lambda r: r.values["energy_to_target_j"])
    new = of_role(after[len(before) :], Role.CONFIRM)
    if best.trial == first.trial:
        assert not new
        return
    assert {r.confirmation.candidates for r in new if r.confirmation} == {(best.trial,)}
    assert not {r.seed for r in new} & {r.seed for r in of_role(before, Role.CONFIRM)}
    facts = state(after, more).facts[f"trial {best.trial}"]
    assert facts.n_candidates == 2


def test_a_study_with_another_seed_has_other_seeds() -> None:
    ours, theirs = (run_study_through(study_settings(seed=seed), WORLD) for seed in (0, 1))
    assert not {r.seed for r in of_role(ours, Role.FIT)} & {r.seed for r in of_role(theirs, Role.FIT)}


def test_a_baseline_whose_fitted_length_is_the_documented_one_runs_once_a_round() -> None:
    close = World(margin=0.0165)
    records = run_study_through(CHOSEN, close)
    found = state(records)
    fitted = found.fits[FITTED].steps
    if fitted is not None and abs(fitted / STEPS - 1) <= 0.02:
        assert FITTED not in found.steps
    arms = {record.confirmation.arm for record in of_role(records, Role.CONFIRM) if record.confirmation}
    assert (FITTED in arms) == (FITTED in found.steps)


@pytest.mark.parametrize(
    ("gpu", "on_change", "goes_on"),
    [("GPU-1", "refuse", True), ("GPU-2", "refuse", False), ("GPU-2", "allow", True)],
)
def test_a_confirmation_goes_on_where_it_was_begun(
    whole: list[Record], gpu: str, on_change: str, goes_on: bool
) -> None:
    """Its runs are compared closely, so that one device makes all of them."""
    place = {"hardware": {"device_uuid": "GPU-1"}}
    records = [replace(record, provenance=place) if record.role.confirms else record for record in whole]
    begun = records[: len(records) - 3]
    config = replace(CHOSEN.config, study=replace(CHOSEN.config.study, on_change=on_change))
    here = replace(CHOSEN, config=config, provenance={"hardware": {"device_uuid": gpu}})
    decided = next_run(begun, (), here)
    assert (decided.request is not None) is goes_on
    assert decided.confirms_on == (None if goes_on else "GPU-1")

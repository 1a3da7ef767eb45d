"""Where an ablation stands, from a study's records alone: each group of levers that the winner has changed is
put back to the baseline's, its length fitted again, and run beside the winner and the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from model.config import ConfigError, RunConfig
from model.runnable import unrunnable
from search.confirm.fit import LengthFit
from search.confirm.from_records import Recipe, ablating, end_loss, fits_of
from search.confirm.length import at_length
from search.confirm.levers import Change, Group, changes, put_back
from search.confirm.rounds import ConfirmedRun, Round, pending, rounds
from search.confirm.settings import ConfirmSettings
from search.confirm.state import ConfirmationState, NextRecipe, fits_of_arms, runs_to_judge
from search.confirm.verdict import VerdictKind
from search.record.confirmation import DOCUMENTED, FITTED, Confirmation, Purpose
from search.record.lookup import looks_up
from search.record.outcome import Role
from search.record.record import Record

# What sets the order of an ablation's rounds apart from that of the verdict's.
_ORDER = 1_000_000

WhyNot = Callable[[Mapping[str, Any]], str | None]
"""Why a configuration cannot be trained, or None where it can."""


@dataclass(frozen=True)
class AblatedArm:
    """The winner with one group put back. `why_not`: why that cannot run, empty where it can.
    `at_least_j`: the counted joules of the longest run that missed the target, None where there is none."""

    group: Group
    recipe: Recipe
    changes: tuple[Change, ...]
    why_not: str = ""
    at_least_j: float | None = None

    @property
    def name(self) -> str:
        return self.recipe.arm


@dataclass(frozen=True)
class AblationState:
    """`winner` is None where nothing is ablated, and `why` says why; else `why` is empty until the end.

    `fits` are by ablated arm, `steps` the fixed lengths of all arms that run beside each other. `rounds` are
    those that count; where no group has a length there is nothing to run, and they are the verdict's.
    """

    winner: Recipe | None
    arms: tuple[AblatedArm, ...] = ()
    fits: Mapping[str, LengthFit] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    rounds: tuple[Round, ...] = ()
    next: NextRecipe | None = None
    why: str = ""


def ablation_state(
    records: Sequence[Record],
    confirmation: ConfirmationState,
    target_loss: float,
    settings: ConfirmSettings,
    study_seed: int,
    why_not: WhyNot | None = None,
) -> AblationState | None:
    """None where no ablation was asked for. `why_not` is asked beside what the device's type says."""
    if not settings.ablate:
        return None
    winner, why = _winner(confirmation)
    if winner is None:
        return AblationState(None, why=why)
    assert confirmation.race is not None
    mine = ablating(records, winner.of_trial)
    arms = _arms(records, mine, confirmation, winner, target_loss, why_not)
    runs = [record for record in mine if record.role is Role.CONFIRM]
    fits = _fits(records, mine, confirmation, arms, target_loss, settings)
    steps = _steps(runs, fits, confirmation, winner)
    state = AblationState(winner, arms, fits, steps)
    if not arms:
        return replace(state, why="in no group of levers does it differ from the baseline")
    upcoming = None if runs else _next_fit(mine, arms, fits)
    if upcoming is None and not any(arm.name in steps for arm in arms):
        return replace(state, rounds=confirmation.race.rounds)
    judged = runs_to_judge(runs)
    state = replace(state, rounds=rounds(judged, steps))
    upcoming = upcoming or _next_round(state, judged, confirmation, settings, study_seed)
    over = settings.over_budget(confirmation.spent_j)
    if upcoming is not None and over:
        return replace(state, why=over)
    return replace(state, next=upcoming)


def _winner(confirmation: ConfirmationState) -> tuple[Recipe | None, str]:
    """The leading candidate where it saves, at the length at which it did; else why there is none."""
    verdict = confirmation.verdict
    if verdict is None:
        return None, "no verdict has been reached"
    if verdict.kind is not VerdictKind.SAVES:
        return None, f"the verdict on {verdict.arm} is {verdict.kind}, so that there is no saving to explain"
    recipe = confirmation.recipe(verdict.arm)
    return replace(recipe, config=at_length(recipe.config, confirmation.steps[verdict.arm])), ""


def _arms(
    records: Sequence[Record],
    mine: Sequence[Record],
    confirmation: ConfirmationState,
    winner: Recipe,
    target_loss: float,
    why_not: WhyNot | None,
) -> tuple[AblatedArm, ...]:
    """One for each group in which the winner differs from the documented baseline."""
    device_type, baseline = _device_type(records), confirmation.baseline.config
    found = []
    for group in Group:
        changed = changes(winner.config, baseline, group)
        if not changed:
            continue
        config = put_back(winner.config, baseline, group)
        recipe = Recipe(f"without {group}", winner.of_trial, config, looks_up(config))
        reason = _cannot_run(config, device_type) or (why_not and why_not(config)) or ""
        at_least_j = _at_least_j(fits_of(mine, recipe.arm), target_loss)
        found.append(AblatedArm(group, recipe, changed, reason, at_least_j))
    return tuple(found)


def _cannot_run(config: Mapping[str, Any], device_type: str) -> str | None:
    try:
        return unrunnable(RunConfig.from_mapping(config), device_type)
    except ConfigError as error:
        return str(error)


def _device_type(records: Sequence[Record]) -> str:
    hardware = records[0].provenance.get("hardware", {})
    uuid = hardware.get("device_uuid", "cpu") if isinstance(hardware, Mapping) else "cpu"
    return "cpu" if uuid == "cpu" else "cuda"


def _at_least_j(fits: Sequence[Record], target_loss: float) -> float | None:
    """A run that missed the target by its end says that reaching it takes a longer one."""
    missed = [
        record
        for record in fits
        if (loss := end_loss(record)) is not None and target_loss < loss < float("inf")
    ]
    known = [record.counted_energy_j for record in missed if record.counted_energy_j is not None]
    return max(known, default=None)


def _fits(
    records: Sequence[Record],
    mine: Sequence[Record],
    confirmation: ConfirmationState,
    arms: Sequence[AblatedArm],
    target_loss: float,
    settings: ConfirmSettings,
) -> dict[str, LengthFit]:
    """By the same margin as the winner's, from its length on; the noise is pooled with all that was fitted
    before."""
    of_verdict = [one for one in records if one.confirmation and one.confirmation.purpose is Purpose.CONFIRM]
    before = {one.arm: one for one in confirmation.candidates}
    before[FITTED] = replace(confirmation.baseline, arm=FITTED)
    ours = {arm.name: arm.recipe for arm in arms if not arm.why_not}
    n_arms = len(before) + 1
    fits = fits_of_arms([*of_verdict, *mine], before | ours, target_loss, settings, n_arms)
    return {arm: fits[arm] for arm in ours}


def _steps(
    runs: Sequence[Record],
    fits: Mapping[str, LengthFit],
    confirmation: ConfirmationState,
    winner: Recipe,
) -> dict[str, int]:
    """The winner, the documented baseline, that of fitted length where the verdict has it, and every ablated
    arm with a length. Once a round has run, its arms and their lengths are fixed."""
    ran = {record.confirmation.arm: record.max_steps for record in runs if record.confirmation is not None}
    fixed = {arm: steps for arm, steps in ran.items() if steps is not None}
    if any(record.confirmation is not None and record.confirmation.round > 0 for record in runs):
        return fixed
    beside = {arm: confirmation.steps[arm] for arm in (DOCUMENTED, FITTED) if arm in confirmation.steps}
    fitted = {arm: fit.steps for arm, fit in fits.items() if fit.steps is not None}
    return beside | {winner.arm: winner.steps} | fitted | fixed


def _next_fit(
    mine: Sequence[Record], arms: Sequence[AblatedArm], fits: Mapping[str, LengthFit]
) -> NextRecipe | None:
    for arm in arms:
        fit = fits.get(arm.name)
        if fit is not None and fit.next_steps is not None:
            place = _place(arm.name, arm.recipe, len(fits_of(mine, arm.name)), 0, arm.recipe)
            return NextRecipe(Role.FIT, arm.recipe, fit.next_steps, place)
    return None


def _next_round(
    state: AblationState,
    judged: Sequence[ConfirmedRun],
    confirmation: ConfirmationState,
    settings: ConfirmSettings,
    study_seed: int,
) -> NextRecipe | None:
    """The first run that is missing of the first round that does not count yet."""
    assert state.winner is not None
    order = study_seed + _ORDER + state.winner.of_trial
    for number in range(settings.ablate_seeds):
        found = pending(judged, state.steps, number, order, settings.repeats)
        if found is not None:
            arm = found.arms[0]
            recipe = _recipe(arm, state.winner, state.arms, confirmation)
            place = _place(arm, recipe, found.number, found.attempt, state.winner)
            return NextRecipe(Role.CONFIRM, recipe, state.steps[arm], place)
    return None


def _place(arm: str, recipe: Recipe, number: int, attempt: int, winner: Recipe) -> Confirmation:
    return Confirmation(arm, recipe.of_trial, number, attempt, (winner.of_trial,), Purpose.ABLATE)


def _recipe(arm: str, winner: Recipe, arms: Sequence[AblatedArm], confirmation: ConfirmationState) -> Recipe:
    if arm == winner.arm:
        return winner
    ablated = (one.recipe for one in arms if one.name == arm)
    return next(ablated, confirmation.baseline)

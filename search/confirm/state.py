"""Where a study's confirmation stands, from its records alone: lengths first, then rounds, then a verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from model.metric import metric_of
from search.confirm.clauses import FittedBaseline, VerdictFacts
from search.confirm.fit import LengthFit, fit_lengths
from search.confirm.from_records import (
    Recipe,
    baseline_recipe,
    candidates,
    confirmed_runs,
    confirming,
    end_losses,
    fits_of,
    sets_of_candidates,
)
from search.confirm.race import Race, race
from search.confirm.replicates import KeyOfRun, key_of_run
from search.confirm.rounds import ConfirmedRun
from search.confirm.settings import ConfirmSettings
from search.confirm.verdict import Verdict
from search.record.confirmation import DOCUMENTED, FITTED, Confirmation
from search.record.outcome import Role
from search.record.record import Record

# The runs of an arm may fail this often until its length is given up, and one run may be cut off so often.
MAX_ATTEMPTS = 3
MAX_CUT_OFF = 20
# Two lengths within this share of each other are one.
SAME_LENGTH = 0.02


@dataclass(frozen=True)
class NextRecipe:
    """What runs next: a recipe at `steps` steps, and where that run belongs."""

    role: Role
    recipe: Recipe
    steps: int
    place: Confirmation


@dataclass(frozen=True)
class ConfirmationState:
    """`fits` are by arm, the baseline's under `fitted`. `steps` are the fixed lengths of the arms that have
    one. `race` is None until every length is fitted or given up. `next` is None at the end, and `why` says
    why it ended. `number` counts the sets of candidates that were confirmed before this one."""

    baseline: Recipe
    candidates: tuple[Recipe, ...]
    number: int
    fits: Mapping[str, LengthFit]
    steps: Mapping[str, int]
    facts: Mapping[str, VerdictFacts]
    race: Race | None
    next: NextRecipe | None
    why: str
    spent_j: float

    @property
    def verdict(self) -> Verdict | None:
        """Of the candidate that leads; None before the first round."""
        if self.race is None or self.race.leader is None:
            return None
        return self.race.verdicts[self.race.leader]

    def recipe(self, arm: str) -> Recipe:
        """The one that `arm` trains."""
        return next((one for one in self.candidates if one.arm == arm), self.baseline)


def confirmation_state(
    records: Sequence[Record],
    objectives: Sequence[str],
    target_loss: float,
    settings: ConfirmSettings,
    study_seed: int,
    key: KeyOfRun = key_of_run,
) -> ConfirmationState | None:
    """None where there is nothing to confirm: it is turned off, no baseline has completed, or no trial has
    reached the target."""
    baseline, found = baseline_recipe(records), candidates(records, objectives, settings.candidates, key)
    if baseline is None or not found:
        return None
    together = tuple(one.of_trial for one in found)
    before = sets_of_candidates(records)
    number = before.index(together) if together in before else len(before)
    recipes = {FITTED: replace(baseline, arm=FITTED)} | {one.arm: one for one in found}
    fits = fits_of_arms(records, recipes, target_loss, settings, len(recipes) + 1)
    runs = confirming(records, together)
    steps = _steps(runs, fits, baseline)
    every = {*together, *(trial for trials in before for trial in trials)}
    facts = {
        one.arm: _facts(records, one, target_loss, len(every), _what_became(fits[FITTED], steps))
        for one in found
        if one.arm in steps
    }
    spent_j = math.fsum(record.gross_energy_j or 0.0 for record in records if record.role.confirms)
    state = ConfirmationState(baseline, found, number, fits, steps, facts, None, None, "", spent_j)
    fit_next = _next_fit(records, recipes, fits, together)
    if fit_next is not None and not runs:
        over = settings.over_budget(spent_j)
        return replace(state, next=None if over else fit_next, why=over)
    if not facts:
        return replace(state, why="no length was found at which a candidate reaches the target")
    arms = [DOCUMENTED, *((FITTED,) if FITTED in steps else ())]
    raced = race(runs_to_judge(runs), facts, arms, settings, study_seed + number, spent_j)
    state = replace(state, race=raced, why=raced.why)
    if raced.pending is None:
        return state
    arm, recipe = raced.pending.arms[0], state.recipe(raced.pending.arms[0])
    place = Confirmation(arm, recipe.of_trial, raced.pending.number, raced.pending.attempt, together)
    return replace(state, next=NextRecipe(Role.CONFIRM, recipe, steps[arm], place))


def fits_of_arms(
    records: Sequence[Record],
    recipes: Mapping[str, Recipe],
    target_loss: float,
    settings: ConfirmSettings,
    n_arms: int,
) -> dict[str, LengthFit]:
    """By arm, of `n_arms` that run beside each other. One whose runs fail again and again is given up."""
    losses = {arm: end_losses(records, arm) for arm in recipes}
    start = {arm: recipe.steps for arm, recipe in recipes.items()}
    # A noisy candidate must not lengthen the baseline, which would flatter the candidate.
    per_nat = metric_of(recipes[FITTED].config).per_nat
    fits = fit_lengths(losses, start, target_loss, settings, n_arms, (FITTED,), per_nat)
    for arm, fit in fits.items():
        failed = _failures(records, arm)
        if fit.next_steps is not None and failed >= MAX_ATTEMPTS:
            fits[arm] = replace(fit, steps=None, next_steps=None, reason=f"{failed} of its runs failed")
    return fits


def _failures(records: Sequence[Record], arm: str) -> int:
    """Runs of the fit that came to no end. Those that were cut off say nothing of the recipe, unless the same
    one is cut off again and again."""
    failed = len(fits_of(records, arm)) - len(end_losses(records, arm))
    return MAX_ATTEMPTS if _given_up(records, Role.FIT, arm) else failed


def _given_up(records: Sequence[Record], role: Role, arm: str) -> set[Confirmation]:
    """Where a run of this arm was cut off so often that it is not tried again."""
    places = (record.confirmation for record in records if record.role is role and record.interrupted)
    cut_off = Counter(place for place in places if place is not None and place.arm == arm)
    return {place for place, times in cut_off.items() if times >= MAX_CUT_OFF}


def _next_fit(
    records: Sequence[Record],
    recipes: Mapping[str, Recipe],
    fits: Mapping[str, LengthFit],
    together: tuple[int, ...],
) -> NextRecipe | None:
    """The candidates' lengths first, in their order; the baseline's takes the longest runs."""
    for arm in (*(arm for arm in recipes if arm != FITTED), FITTED):
        steps, recipe = fits[arm].next_steps, recipes[arm]
        if steps is not None:
            place = Confirmation(arm, recipe.of_trial, len(fits_of(records, arm)), 0, together)
            return NextRecipe(Role.FIT, recipe, steps, place)
    return None


def _steps(runs: Sequence[Record], fits: Mapping[str, LengthFit], baseline: Recipe) -> dict[str, int]:
    """Once an arm has run beside the others its length is fixed, whatever later runs say of it."""
    fixed = {record.confirmation.arm: record.max_steps for record in runs if record.confirmation is not None}
    fitted = {arm: fit.steps for arm, fit in fits.items() if fit.steps is not None}
    if abs(fitted.get(FITTED, 0) / baseline.steps - 1) <= SAME_LENGTH:
        del fitted[FITTED]
    if runs:  # what did not run in the first round never will
        fitted = {arm: steps for arm, steps in fitted.items() if arm in fixed or _first_round_open(runs)}
    known = {arm: steps for arm, steps in fixed.items() if steps is not None}
    return {DOCUMENTED: baseline.steps} | fitted | known


def _first_round_open(runs: Sequence[Record]) -> bool:
    return all(record.confirmation is not None and record.confirmation.round == 0 for record in runs)


def _what_became(fit: LengthFit, steps: Mapping[str, int]) -> FittedBaseline:
    if FITTED in steps:
        return FittedBaseline.MEASURED
    if fit.steps is not None:
        return FittedBaseline.DOCUMENTED
    return FittedBaseline.NEVER_REACHES if fit.next_steps is None else FittedBaseline.NOT_FITTED


def _facts(
    records: Sequence[Record], recipe: Recipe, target_loss: float, n_candidates: int, fitted: FittedBaseline
) -> VerdictFacts:
    data = records[0].provenance.get("data", {})
    ngram_loss = data.get("ngram_loss") if isinstance(data, Mapping) else None
    kind = records[0].meter.kind.value
    metric = metric_of(recipe.config)
    return VerdictFacts(target_loss, ngram_loss, recipe.looks_up, kind, n_candidates, fitted, metric)


def runs_to_judge(runs: Sequence[Record]) -> tuple[ConfirmedRun, ...]:
    """Of a run that was cut off again and again, the last."""
    arms = {record.confirmation.arm for record in runs if record.confirmation is not None}
    given_up = {place for arm in arms for place in _given_up(runs, Role.CONFIRM, arm)}
    kept = [replace(one, interrupted=False) if one.confirmation in given_up else one for one in runs]
    return confirmed_runs(kept)

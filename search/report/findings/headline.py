"""What a study found, as a sentence or two that a person can repeat, and the caveats that belong to it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from search.confirm.verdict import Verdict
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.report.findings import advice, numbers
from search.report.findings.flags import flag_words
from search.report.findings.meters import meter_caveat
from search.report.findings.names import capitalised, kind_words, marked_name, name_of
from search.report.findings.replicates import again_words, which_run
from search.report.findings.verdict import arm_name, claim_words, uneven_words, unproven_words
from search.report.view.confirmation import arm_results
from search.report.view.data import RANKED_ROLES, Saving, StudyView


@dataclass(frozen=True)
class Headline:
    """The finding in a sentence or two, and what a reader must know before repeating it."""

    text: str
    caveats: tuple[str, ...]


def headline(view: StudyView, folder: str = ".") -> Headline:
    """The verdict where one stands, else what the search found; where that is nothing, what happened instead.
    `folder` is the study's, as commands name it."""
    if not view.records:
        return Headline("No run has finished yet.", ())
    if view.best is None:
        closest = None if view.baseline_reached else view.closest
        loss = None if closest is None else closest.best_loss
        hint = () if loss is None else (advice.another_target(loss, view.problem.metric),)
        return Headline(_nothing_reached(view), hint)
    if view.claim is not None:
        return Headline(claim_words(view, view.claim), _caveats_of_claim(view, view.claim))
    found = f"{_found(view, view.best)} {unproven_words(view)}".rstrip()
    return Headline(found, _caveats(view, folder))


def _found(view: StudyView, best: Record) -> str:
    """What the search's own runs say."""
    if view.baseline is None:
        return f"{_reached_for(view, best)}; there is no baseline to compare it with."
    if not view.baseline_reached:
        return _baseline_fell_short(view, best, view.baseline)
    return _compared(view, best, view.baseline)


def _nothing_reached(view: StudyView) -> str:
    metric = view.problem.metric
    target = metric.amount(view.problem.target_loss)
    if view.baseline is not None and view.baseline_reached:
        cost = numbers.amounts(view.objectives, view.values(view.baseline))
        cost += f", {kind_words(view)}" if _has_energy(view) else ""
        return (
            f"Only the baseline reached {target} ({cost}): nothing was saved. {_what_became_of_trials(view)}"
        )
    closest = view.closest
    if closest is None or closest.best_loss is None:
        return f"Nothing reached {target}: no run has {metric.either('a loss', 'an accuracy')} to show."
    who = name_of(view, closest)
    return f"Nothing reached {target}: the closest, {who}, came to {metric.text(closest.best_loss)}."


_BECAME = {
    Outcome.DOMINATED: "ended because the baseline had reached the target for less (dearer, not unable)",
    Outcome.OUT_OF_BUDGET: "came to the end of its schedule or budget short of the target",
    Outcome.DIVERGED: "diverged",
    Outcome.CRASHED: "crashed",
    Outcome.UNMEASURED: "had no energy that can be trusted",
}


def _what_became_of_trials(view: StudyView) -> str:
    """`Of 5 trials, 4 ended because ..., and 1 came to the end of ...`."""
    trials = [r for r in view.records if r.role in RANKED_ROLES and not r.interrupted]
    if not trials:
        return "No other trial has finished."
    counts = Counter(record.outcome for record in trials)
    parts = [f"{counts[outcome]} {became}" for outcome, became in _BECAME.items() if counts[outcome]]
    of_all = f"Of {len(trials)} trials" if len(trials) > 1 else "Of 1 trial"
    return f"{of_all}, {', and '.join(parts)}."


def _reached_for(view: StudyView, best: Record) -> str:
    target = view.problem.metric.amount(view.problem.target_loss)
    return f"{_trial(view, best)} reached {target} for {_costs(view, best)}"


def what_it_is(view: StudyView, record: Record) -> str:
    """One line on a recipe: which run it is, and what it took beside the baseline."""
    if not view.baseline_reached or view.baseline is None:
        return f"{_reached_for(view, record)}."
    saved = "" if _saves(view, record) else ", which saves nothing"
    shares = _shares(view, record, view.baseline)
    return f"{_trial(view, record)} of {view.study}: {which_run(view, record)}, with {shares}{saved}."


def _costs(view: StudyView, record: Record) -> str:
    kind = f" ({kind_words(view)})" if _has_energy(view) else ""
    return f"{numbers.amounts(view.objectives, view.values(record))}{kind}"


def _has_energy(view: StudyView) -> bool:
    return any(map(numbers.is_energy, view.objectives))


def _trial(view: StudyView, record: Record) -> str:
    return capitalised(marked_name(view, record))


def _baseline_fell_short(view: StudyView, best: Record, baseline: Record) -> str:
    first = view.objectives[0]
    spent = baseline.spent.get(first)
    text = f"{_reached_for(view, best)}; the baseline did not reach it"
    if spent is None:
        return f"{text} ({baseline.outcome.value}: {baseline.outcome.advice})."
    bound = best.values[first] / spent if spent > 0 else math.inf
    text += f" with {numbers.amount(first, spent)}"
    if bound >= 1:
        return f"{text}, so which of the two costs less is not known."
    rounded_up = math.ceil(bound * 1000) / 1000
    return f"{text}, so the ratio of {numbers.label(first)} is at most {rounded_up:.3f}."


def _compared(view: StudyView, best: Record, baseline: Record) -> str:
    target = view.problem.metric.amount(view.problem.target_loss)
    reached = f"reached {target} with {_shares(view, best, baseline)}."
    if view.saving is Saving.SAVES:
        return f"{_trial(view, best)} {reached}"
    what, who = numbers.label(view.decided_by), marked_name(view, best)
    if view.saving is Saving.WITHIN_NOISE:
        return f"No saving beyond the noise floor ({_floor(view)}): the best, {who}, {reached}"
    alone = all(record is baseline for record in view.front)
    lead = "Nothing was saved: only the baseline is on the front" if alone else f"No trial saved {what}"
    return f"{lead}: the best, {who}, {reached}"


def _floor(view: StudyView) -> str:
    """`± 6 % of the energy, by 3 runs of the baseline`."""
    objective, runs = view.decided_by, len(view.noise.trials)
    floor = floor_words(view.noise.floor[objective])
    return f"{floor} in {numbers.label(objective)}, by {runs} runs of the baseline"


def floor_words(floor: float | None) -> str:
    """`± 6 %`, or a factor where a percentage would go below zero."""
    if not floor:
        return "not known" if floor is None else "none"
    if floor < 1e-4:
        return "under 0.01 %"
    if floor < 0.5:
        return f"± {numbers.number(100 * floor, 2)} %"
    return f"a factor of {numbers.number(1 + floor, 2)}"


def _saves(view: StudyView, record: Record) -> bool:
    """Whether it cost less than the baseline, whatever the noise."""
    ratios = [view.ratio(record, name) for name in view.objectives]
    first = next((ratio for ratio in ratios if ratio is not None and ratio != 1), 1.0)
    return first < 1


def _shares(view: StudyView, record: Record, baseline: Record) -> str:
    """Each objective as a share of the baseline's; "but" where one is worse although the first is better."""
    first, *rest = view.objectives
    text = _share(view, first, record, baseline)
    for name in rest:
        ratio = view.ratio(record, name)
        dearer = ratio is not None and ratio > 1 and not view.noise.holds(name, ratio)
        worse = dearer and _saves(view, record)
        text += f" {'but' if worse else 'and'} {_share(view, name, record, baseline)}"
    return text


def _share(view: StudyView, objective: str, best: Record, baseline: Record) -> str:
    """`0.21 of the baseline's energy (12.3 J against 58.1 J, estimated by cpu_time)`."""
    ours = numbers.objective_value(objective, best.values[objective])
    theirs = numbers.objective_value(objective, baseline.values[objective])
    first = objective == view.objectives[0]
    meter = f", {kind_words(view)}" if numbers.is_energy(objective) else ""
    whose = "the baseline's" if first else "its"
    ratio = view.ratio(best, objective)
    within = ratio is not None and objective != view.decided_by and view.noise.holds(objective, ratio)
    noise = ", within noise" if within else ""
    what = f"{numbers.ratio(ratio)} of {whose} {numbers.label(objective)}"
    return f"{what} ({ours} against {theirs}{meter}{noise})"


def _lookup_caveat(view: StudyView, best: Record) -> str:
    """Says that the winner is lookup-like, and names the best trial that is not."""
    other, baseline = view.best_without_lookup, view.baseline
    lead = (
        f"Trial {best.trial} is lookup-like: it maps the last tokens to the next by looking them up, which "
        "buys what counting n-grams buys too."
    )
    if other is None:
        return f"{lead} No trial that is not reached the target."
    if baseline is not None and view.baseline_reached:
        cost = f"with {_shares(view, other, baseline)}"
    else:
        cost = f"for {_costs(view, other)}"
    return f"{lead} The best that is not, trial {other.trial}, reached the target {cost}."


def _noise_caveat(view: StudyView) -> str:
    """How far one run differs from the next, or that nobody knows."""
    trials, floors = view.noise.trials, view.noise.floor
    if len(trials) < 2:
        ran = "has not reached the target" if not trials else "ran once"
        return f"The noise floor is not known: the baseline {ran}."
    runs = f"{len(trials)} runs: trials {', '.join(map(str, trials))}"
    noisy = [f"{floor_words(floor)} of its {numbers.label(n)}" for n, floor in floors.items() if floor]
    if not noisy:
        return f"Noise floor: none, the baseline cost the same each time ({runs})."
    return (
        "Noise floor: one more run of the baseline, with the same seed and evaluations, would be within "
        f"{', '.join(noisy[:-1])}{' and ' if noisy[1:] else ''}{noisy[-1]} (95 %, from {runs})."
    )


def _caveats_of_claim(view: StudyView, claim: Verdict) -> tuple[str, ...]:
    """What belongs to a verdict: what the search's own run had said, and what makes it doubtful."""
    state, target_loss = view.confirmation, view.problem.target_loss
    assert state is not None
    assert target_loss is not None
    trial = state.recipe(claim.arm).of_trial
    runs = [record for record in view.feasible if record.trial == trial and record.role is Role.SEARCH]
    caveats = [_own_run(view, record) for record in runs]
    caveats += [_lookup_caveat(view, record) for record in runs if view.is_lookup(record)]
    if claim.uneven:
        caveats.append(uneven_words(claim))
    arms = [arm for arm in arm_results(state, target_loss) if arm.flags]
    caveats += [
        f"{capitalised(arm_name(arm.arm))} has flagged runs: {'; '.join(map(flag_words, arm.flags))}."
        for arm in arms
        if arm.is_baseline or arm.arm == claim.arm
    ]
    if caveat := meter_caveat(view):
        caveats.append(caveat)
    return tuple(caveats)


def _own_run(view: StudyView, record: Record) -> str:
    """What the run of the search cost: one run, or the dearest of its recipe, which is the best of many."""
    lead = f"The search's own run, {marked_name(view, record)}, cost"
    metric = view.problem.metric
    ended = f"{which_run(view, record)}, which ended at its first {metric.name} {metric.at_target} the target"
    if view.baseline is None or not view.baseline_reached:
        return f"{lead} {_costs(view, record)}: {ended}."
    return f"{lead} {_shares(view, record, view.baseline)}: {ended}."


def _caveats(view: StudyView, folder: str) -> tuple[str, ...]:
    """Reasons to wait before repeating the headline."""
    best = view.best
    assert best is not None
    caveats = [_lookup_caveat(view, best)] if view.is_lookup(best) else []
    again = again_words(view, best)
    if again is not None:
        caveats.append(again)
    if view.confirming and view.confirmation is not None:
        caveats.append(advice.undecided(view, view.confirmation, folder))
    elif advice.is_worth_confirming(view):
        caveats.append(f"{'One run each. ' if again is None else ''}{advice.confirm(view, folder)}")
    caveats.append(_noise_caveat(view))
    other = view.best_without_lookup if view.is_lookup(best) else None
    compared = [record for record in (best, other, view.baseline) if record is not None]
    caveats += [
        f"{name_of(view, record).capitalize()} is flagged: {'; '.join(map(flag_words, record.flags))}."
        for record in compared
        if record.flags
    ]
    widths = [(name_of(view, r), r.crossing.relative_interval) for r in compared if r.crossing is not None]
    if any(width > numbers.WIDE_INTERVAL for _, width in widths):
        *most, last = [f"{numbers.number(100 * width, 2)} % ({who})" for who, width in widths]
        parts = f"{', '.join(most)} and {last}" if most else last
        caveats.append(
            f"The target was crossed somewhere in the last {parts} of the counted joules, between two "
            "evaluations; the later one ranks."
        )
    if caveat := meter_caveat(view):
        caveats.append(caveat)
    return tuple(caveats)

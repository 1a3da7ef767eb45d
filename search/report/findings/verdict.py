"""The verdict in words: what fresh seeds say of the best recipe, as sentences and as lines of a terminal."""

from __future__ import annotations

import math

from search.confirm.intervals import Interval
from search.confirm.state import ConfirmationState
from search.confirm.verdict import Verdict, VerdictKind
from search.console.plural import counted
from search.record.confirmation import DOCUMENTED, FITTED
from search.report.findings import numbers
from search.report.findings.names import capitalised, kind_words
from search.report.view.confirmation import claim_of, verdict_so_far
from search.report.view.data import StudyView

HOLDS = {True: ("✓", "holds"), False: ("✗", "fails"), None: ("?", "not known")}
SYMBOLS = {VerdictKind.SAVES: "✓", VerdictKind.TIE: "=", VerdictKind.COSTS: "✗", VerdictKind.UNPROVEN: "?"}
MEANING = {
    VerdictKind.SAVES: "the recipe saves energy, and every clause holds",
    VerdictKind.TIE: "the recipe takes as much energy as the baseline",
    VerdictKind.COSTS: "the recipe takes more energy than the baseline",
    VerdictKind.UNPROVEN: "a clause does not hold, or is not known yet",
}


def verdict_sentence(view: StudyView, state: ConfirmationState, verdict: Verdict) -> str:
    """Device, problem, target, ratio with its interval, seeds, misses, what was counted, and how many runs
    pay for the search."""
    if not verdict.seeds:
        return how_far(state)
    where = view.origin.hardware.get("device")
    on = f"on {where}, " if where else ""
    data = f" on {view.problem.dataset}" if view.problem.dataset else ""
    energy, fitted = verdict.energy_ratio, verdict.energy_ratio_fitted
    text = (
        f"{verdict.kind}: {on}{verdict.arm}, trained for {counted(state.steps[verdict.arm], 'step')}{data}, "
        f"{_ends_at(view, verdict)}, with {ratio_words(energy)} of the documented baseline's energy"
    )
    if fitted is not None:
        text += (
            f", {ratio_words(fitted)} of the energy of the baseline at its fitted length "
            f"({state.steps[FITTED]:,} steps instead of {state.baseline.steps:,}),"
        )
    text += f" and {ratio_words(verdict.time_ratio)} of the documented one's time; {_seeds(verdict)}"
    text += f"; {_counted(view)}"
    runs = view.cost.break_even_runs
    if runs is not None and verdict.kind is VerdictKind.SAVES:
        spent = numbers.quantity(view.cost.energy_j, "J")
        text += f"; search and confirmation cost {spent}, which {numbers.number(runs)} runs pay for"
    return f"{text}."


def claim_words(view: StudyView, verdict: Verdict) -> str:
    """The verdict that stands, as a headline: `SAVES: trial 1 reaches 2.30 nats with 0.21 (...) of ...`."""
    energy, time = ratio_words(verdict.energy_ratio), ratio_words(verdict.time_ratio)
    told = {
        VerdictKind.SAVES: f"reaches {view.problem.metric.amount(_target(view))} with {energy} of the "
        "documented baseline's energy",
        VerdictKind.TIE: f"takes as much energy as the documented baseline, {energy} of it,",
        VerdictKind.COSTS: f"takes {energy} of the documented baseline's energy",
    }[verdict.kind]
    seeds = counted(verdict.seeds, "fresh seed")
    missed = (
        f", {_missed(verdict)}" if verdict.kind is VerdictKind.SAVES else f"; it {_ends_at(view, verdict)}"
    )
    return f"{verdict.kind}: {verdict.arm} {told} and {time} of its time, on {seeds}{missed}."


def unproven_words(view: StudyView) -> str:
    """What fresh seeds do not prove, and why, or how far they have come, as a sentence that follows what the
    search found; empty where nothing was run to confirm it, or a verdict stands."""
    state = view.confirmation
    if state is None or not view.confirming or claim_of(state) is not None:
        return ""
    verdict = verdict_so_far(state)
    if state.next is not None or verdict is None:
        return how_far(state)
    if not verdict.decided:
        return f"Fresh seeds leave it {verdict.kind}: {verdict.why}; {state.why}."
    first, *rest = verdict.failing
    more = f"; nor do {counted(len(rest), 'further clause')} hold" if rest else ""
    leave = f"{counted(verdict.seeds, 'fresh seed')} leave {verdict.arm} {verdict.kind}"
    return f"{leave}: {clause_name(first.name)} {HOLDS[first.holds][1]}, {first.words}{more}."


def how_far(state: ConfirmationState) -> str:
    """Where a confirmation without a verdict stands."""
    verdict = verdict_so_far(state)
    if verdict is not None:
        return f"The confirmation is open: {counted(verdict.seeds, 'fresh seed')} so far decide nothing."
    runs = counted(sum(fit.runs for fit in state.fits.values()), "run")
    if state.race is None and state.next is not None:
        return f"The confirmation is open: lengths are being fitted, in {runs} so far."
    if state.why:
        return f"Nothing is confirmed: {state.why}."
    return "The confirmation is open: its first round is not complete."


def verdict_lines(view: StudyView) -> tuple[str, ...]:
    """For a terminal: what fresh seeds say, then its numbers, then every clause that does not hold."""
    state = view.confirmation
    if state is None or not view.confirming:
        return ()
    verdict = verdict_so_far(state)
    if verdict is None:
        return (how_far(state),)
    steps = counted(state.steps[verdict.arm], "step")
    runs = view.cost.break_even_runs if verdict.kind is VerdictKind.SAVES else None
    lines = [
        f"{verdict.kind}: {verdict.arm}, {steps}: {MEANING[verdict.kind]}",
        f"  {view.problem.metric.name}: {_ends_at(view, verdict)}; {_seeds(verdict)}",
        f"  energy: {_beside(verdict.energy_ratio, verdict.energy_ratio_fitted)}; {kind_words(view)}",
        f"  time: {_beside(verdict.time_ratio, verdict.time_ratio_fitted)}",
        *_inference_lines(verdict),
        *([] if runs is None else [f"  {numbers.number(runs)} runs pay for search and confirmation"]),
    ]
    if not verdict.decided:
        return (*lines, f"  {why_words(state, verdict)}")
    for clause in verdict.failing:
        symbol, mark = HOLDS[clause.holds]
        lines.append(f"  {symbol} {clause_name(clause.name)} {mark}: {clause.words}")
    if verdict.would_decide:
        lines.append(f"  what would decide it: {verdict.would_decide}")
    return (*lines, *(f"  {line}" for line in left_lines(state)))


def _inference_lines(verdict: Verdict) -> tuple[str, ...]:
    """None where nothing was generated."""
    if verdict.inference_ratio is None:
        return ()
    return (
        f"  a generated token: {ratio_words(verdict.inference_ratio)} of the documented baseline's joules",
    )


def left_lines(state: ConfirmationState) -> tuple[str, ...]:
    """Which candidates got no more seeds before the end, and why."""
    left = {} if state.race is None else state.race.left
    return tuple(f"{capitalised(arm)} got no more seeds: {why}." for arm, why in left.items())


def clause_name(name: str) -> str:
    """`energy against the fitted baseline`."""
    what, _, against = name.partition("_")
    return f"{what} against the {against} baseline" if against else what


def arm_name(arm: str) -> str:
    return {DOCUMENTED: "the baseline, as documented", FITTED: "the baseline, at its fitted length"}.get(
        arm, arm
    )


def _target(view: StudyView) -> float:
    assert view.problem.target_loss is not None
    return view.problem.target_loss


def why_words(state: ConfirmationState, verdict: Verdict) -> str:
    """What fails and what would decide it, and where the runs stand if more are to come."""
    if verdict.kind is VerdictKind.SAVES:
        return ""
    if state.next is not None:
        return how_far(state)
    if not verdict.decided:
        return f"{capitalised(verdict.why)}."
    failing = ", ".join(clause_name(clause.name) for clause in verdict.failing)
    lead = {
        VerdictKind.TIE: "The energy is known to differ by too little to matter.",
        VerdictKind.COSTS: "The energy is known to be above the documented baseline's.",
    }.get(verdict.kind, "")
    decides = f" What would decide it: {verdict.would_decide}." if verdict.would_decide else ""
    return f"{lead} What does not hold: {failing}.{decides}".strip()


def _ends_at(view: StudyView, verdict: Verdict) -> str:
    metric = view.problem.metric
    if not math.isfinite(verdict.mean_loss):
        return (
            f"had a run that diverged or crashed, so that it has no mean end {metric.name} (target "
            f"{metric.amount(_target(view))})"
        )
    target = metric.text(_target(view))
    return f"ends at {metric.amount(verdict.mean_loss)} on average (target {target})"


def _seeds(verdict: Verdict) -> str:
    share = verdict.reach_share
    text = f"{counted(verdict.seeds, 'fresh seed')}, {_missed(verdict)}"
    if share is None:
        return text
    return f"{text} (95 %: {100 * share.low:.0f} to {100 * share.high:.0f} % of seeds reach it)"


def _missed(verdict: Verdict) -> str:
    return "none missed" if not verdict.misses else f"{verdict.misses} missed"


def _counted(view: StudyView) -> str:
    phases = "" if view.counted_phases is None else f" of {' + '.join(view.counted_phases.phases)}"
    return f"joules{phases} count, {kind_words(view)}"


def _beside(documented: Interval | None, fitted: Interval | None) -> str:
    text = f"{ratio_words(documented)} of the documented baseline's"
    return text if fitted is None else f"{text}, {ratio_words(fitted)} of the fitted one's"


def ratio_words(interval: Interval | None) -> str:
    if interval is None:
        return "an unknown share"
    low, high = numbers.ratio(interval.low), numbers.ratio(interval.high)
    return f"{numbers.ratio(interval.estimate)} ({low} to {high})"


def uneven_words(verdict: Verdict) -> str:
    """How many rounds saw different load on their sides; empty where none did."""
    if not verdict.uneven:
        return ""
    return (
        f"Of {counted(verdict.seeds, 'round')}, {verdict.uneven} saw different load on their sides, however "
        "often they were run again; they count as they are."
    )

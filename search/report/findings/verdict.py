"""The verdict in words: a sentence that survives a hostile reader, its clauses, and what each arm came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.confirm.fit import LengthFit
from search.confirm.intervals import Interval
from search.confirm.state import ConfirmationState
from search.confirm.verdict import Verdict, VerdictKind
from search.console.plural import counted
from search.record.confirmation import DOCUMENTED, FITTED
from search.report.findings import numbers
from search.report.findings.flags import flag_words
from search.report.findings.names import capitalised, kind_words
from search.report.view.confirmation import ArmResult, arm_results
from search.report.view.data import StudyView

_MARKS = {True: "holds", False: "fails", None: "not known"}
_MEANING = {
    VerdictKind.SAVES: "it saves energy, and every clause holds",
    VerdictKind.TIE: "it takes as much energy as the baseline",
    VerdictKind.COSTS: "it takes more energy than the baseline",
    VerdictKind.UNPROVEN: "a clause does not hold, or is not known yet",
}
_NOTE = (
    "Each recipe has one fixed number of steps, is trained to the end of its schedule, and is evaluated "
    "once, there. Seeds are fresh: neither the search nor the fitting of lengths used them. All arms of a "
    "round have the same seed and run one after another in random order. Intervals are 95 % ones for all "
    "looks and candidates together (Student's t on the logarithms of paired runs; each look spends a share "
    "of the error, added up by Bonferroni's bound)."
)


@dataclass(frozen=True)
class ClauseRow:
    """`mark` says whether the clause holds."""

    name: str
    mark: str
    words: str


@dataclass(frozen=True)
class ArmRow:
    """What one arm came to, as texts. `flags` have their words beside them."""

    name: str
    leads: bool
    steps: str
    reached: str
    loss: str
    test_loss: str
    energy: str
    ratio: str
    time: str
    note: str
    flags: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VerdictFindings:
    """`kind` is empty where there is no verdict: `sentence` then says why. `fits` says of every length how it
    was found."""

    kind: str
    sentence: str
    meaning: str
    why: str
    clauses: tuple[ClauseRow, ...]
    arms: tuple[ArmRow, ...]
    fits: tuple[str, ...]
    note: str


def verdict_findings(view: StudyView) -> VerdictFindings | None:
    """None of a study that has nothing to confirm."""
    state = view.confirmation
    if state is None:
        return None
    verdict, fits = state.verdict, tuple(_fit(arm, fit) for arm, fit in state.fits.items())
    if verdict is None:
        text = capitalised(state.why) if state.why else "The confirmation has not come to its first round."
        return VerdictFindings("", text, "", "", (), (), fits, _NOTE)
    arms = arm_results(state, _target(view))
    return VerdictFindings(
        kind=verdict.kind,
        sentence=verdict_sentence(view, state, verdict),
        meaning=_MEANING[verdict.kind],
        why=f"{capitalised(verdict.why)}." if verdict.kind is not VerdictKind.SAVES else "",
        clauses=tuple(ClauseRow(_clause(c.name), _MARKS[c.holds], c.words) for c in verdict.clauses),
        arms=tuple(_arm(view, arm, verdict, arms) for arm in arms),
        fits=fits,
        note=_NOTE + _uneven(verdict),
    )


def verdict_sentence(view: StudyView, state: ConfirmationState, verdict: Verdict) -> str:
    """Device, problem, target, ratio with its interval, seeds, misses, what was counted, and how many runs
    pay for the search."""
    target, where = numbers.nats(_target(view)), view.origin.hardware.get("device")
    on, data = f"On {where}, " if where else "", f" on {view.problem.dataset}" if view.problem.dataset else ""
    steps = counted(state.steps[verdict.arm], "step")
    energy = _ratio(verdict.energy_ratio)
    counts = "" if view.counted_phases is None else " + ".join(view.counted_phases.phases)
    text = (
        f"{verdict.kind}: {on}{verdict.arm}, trained for {steps}, ends at {numbers.nats(verdict.mean_loss)} "
    )
    text += f"nats (target {target}){data}, with {energy} of the documented baseline's energy"
    if verdict.energy_ratio_fitted is not None:
        text += f", {_ratio(verdict.energy_ratio_fitted)} of that of the baseline at its fitted length"
    text += f" and {_ratio(verdict.time_ratio)} of its time; {counted(verdict.seeds, 'fresh seed')}, "
    text += f"{_missed(verdict)}; {kind_words(view)}, {counts} counted"
    if (runs := view.cost.break_even_runs) is not None and verdict.kind is VerdictKind.SAVES:
        text += f"; {numbers.number(runs)} runs pay for search and confirmation"
    return f"{text}."


def verdict_lines(view: StudyView) -> tuple[str, ...]:
    """For a terminal: the sentence, then every clause that does not hold."""
    found = verdict_findings(view)
    if found is None:
        return ()
    failing = [f"  {row.name} {row.mark}: {row.words}" for row in found.clauses if row.mark != "holds"]
    return (found.sentence, *failing)


def _target(view: StudyView) -> float:
    assert view.problem.target_loss is not None
    return view.problem.target_loss


def _missed(verdict: Verdict) -> str:
    share = verdict.reach_share
    missed = "none missed" if not verdict.misses else f"{verdict.misses} missed"
    if share is None:
        return missed
    return f"{missed} ({100 * share.low:.0f} to {100 * share.high:.0f} % reach it)"


def _ratio(interval: Interval | None) -> str:
    if interval is None:
        return "an unknown share"
    low, high = numbers.ratio(interval.low), numbers.ratio(interval.high)
    return f"{numbers.ratio(interval.estimate)} ({low} to {high})"


def _clause(name: str) -> str:
    """`energy against the fitted baseline`."""
    what, _, against = name.partition("_")
    return f"{what} against the {against} baseline" if against else what


def _arm(view: StudyView, arm: ArmResult, verdict: Verdict, arms: Sequence[ArmResult]) -> ArmRow:
    documented = next((one for one in arms if one.arm == DOCUMENTED), None)
    base_j = None if documented is None else documented.energy_j
    ratio = None if arm.energy_j is None or not base_j else arm.energy_j / base_j
    return ArmRow(
        name=_arm_name(arm.arm),
        leads=arm.arm == verdict.arm,
        steps=f"{arm.steps:,}",
        reached=f"{arm.reached} of {len(arm.seeds)}",
        loss=numbers.nats(arm.loss),
        test_loss=numbers.nats(arm.test_loss),
        energy=numbers.quantity(arm.energy_j, "J"),
        ratio=numbers.ratio(ratio),
        time=numbers.quantity(arm.time_s, "s"),
        note=arm.left,
        flags=tuple((flag, flag_words(flag)) for flag in arm.flags),
    )


def _arm_name(arm: str) -> str:
    return {DOCUMENTED: "the baseline, as documented", FITTED: "the baseline, at its fitted length"}.get(
        arm, arm
    )


def _fit(arm: str, fit: LengthFit) -> str:
    who = capitalised(_arm_name(arm))
    if fit.steps is None:
        return f"{who}: {fit.reason}."
    share = (
        ""
        if fit.share is None
        else f", where {100 * fit.share:.0f} % of seeds are predicted to reach the target"
    )
    return f"{who}: {counted(fit.steps, 'step')}{share} ({fit.reason})."


def _uneven(verdict: Verdict) -> str:
    if not verdict.uneven:
        return ""
    return (
        f" Of the {verdict.seeds} rounds, {verdict.uneven} saw different load on their sides, however often "
        "they were run again; they count as they are."
    )

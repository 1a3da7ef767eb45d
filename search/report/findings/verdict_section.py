"""The page's section on the verdict: its clauses and arms as rows of texts, and how lengths were fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.metric import Metric
from search.confirm.clauses import Clause
from search.confirm.fit import LengthFit
from search.confirm.state import ConfirmationState
from search.confirm.verdict import Verdict
from search.console.plural import counted
from search.record.confirmation import DOCUMENTED, FITTED
from search.report.findings import numbers
from search.report.findings.flags import flag_words
from search.report.findings.names import capitalised
from search.report.findings.verdict import (
    HOLDS,
    MEANING,
    SYMBOLS,
    arm_name,
    clause_name,
    how_far,
    left_lines,
    ratio_words,
    uneven_words,
    verdict_sentence,
    why_words,
)
from search.report.view.confirmation import ArmResult, arm_results, energy_pairs, verdict_so_far
from search.report.view.data import StudyView

_NOTE = (
    "Each recipe has one fixed number of steps, is trained to the end of its schedule, and is evaluated "
    "once, there. Seeds are fresh: neither the search nor the fitting of lengths used them. All arms of a "
    "round have the same seed and run one after another in random order. Intervals are 95 % ones for all "
    "looks and candidates together (Student's t on the logarithms of paired runs; each look spends a share "
    "of the error, added up by Bonferroni's bound). A ratio is candidate over baseline, and the test {what} "
    "is that of text by which nothing was chosen."
)


@dataclass(frozen=True)
class ClauseRow:
    """Whether the clause holds, as a symbol and in a word."""

    name: str
    symbol: str
    mark: str
    words: str


@dataclass(frozen=True)
class ArmRow:
    """What one arm came to, as texts; `verdict` is empty for the baseline. `flags` have their words beside
    them."""

    name: str
    leads: bool
    verdict: str
    steps: str
    reached: str
    loss: str
    test_loss: str
    energy: str
    ratio: str
    time: str
    flags: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VerdictFindings:
    """`kind` and `symbol` are empty before the first round is complete: `sentence` then says where the
    confirmation stands. `fits` says of every length how it was found, `left` which candidates got no more
    seeds and why, `measured` is loss or accuracy and `at_target` where one lies that reaches its target,
    `uneven` how many rounds saw different load; empty texts are left out."""

    kind: str
    symbol: str
    meaning: str
    sentence: str
    why: str
    clauses: tuple[ClauseRow, ...]
    arms: tuple[ArmRow, ...]
    left: tuple[str, ...]
    fits: tuple[str, ...]
    cost: str
    uneven: str
    note: str
    measured: str
    at_target: str

    @property
    def flagged(self) -> bool:
        """Whether any arm has a flag."""
        return any(arm.flags for arm in self.arms)


def verdict_findings(view: StudyView) -> VerdictFindings | None:
    """None of a study that has nothing to confirm, or of which nothing was run to confirm it."""
    state, target_loss = view.confirmation, view.problem.target_loss
    if state is None or not view.confirming or target_loss is None:
        return None
    verdict = verdict_so_far(state)
    arms = arm_results(state, target_loss)
    return VerdictFindings(
        kind="" if verdict is None else verdict.kind.value,
        symbol="" if verdict is None else SYMBOLS[verdict.kind],
        meaning="" if verdict is None else MEANING[verdict.kind],
        sentence=how_far(state) if verdict is None else verdict_sentence(view, state, verdict),
        why=why_words(state, verdict) if verdict is not None else "",
        clauses=tuple(map(_clause_row, verdict.clauses)) if verdict is not None else (),
        arms=tuple(_arm(view, state, arm, verdict) for arm in arms) if verdict is not None else (),
        left=left_lines(state),
        fits=tuple(_fit(state, arm, fit) for arm, fit in state.fits.items()),
        cost=_what_it_took(view, state),
        uneven="" if verdict is None else uneven_words(verdict),
        note=_NOTE.format(what=view.problem.metric.name),
        measured=view.problem.metric.name,
        at_target=view.problem.metric.at_target,
    )


def _clause_row(clause: Clause) -> ClauseRow:
    symbol, mark = HOLDS[clause.holds]
    return ClauseRow(clause_name(clause.name), symbol, mark, clause.words)


def _arm(view: StudyView, state: ConfirmationState, arm: ArmResult, leader: Verdict) -> ArmRow:
    assert state.race is not None
    metric = view.problem.metric
    own = state.race.verdicts.get(arm.arm)
    return ArmRow(
        name=arm_name(arm.arm),
        leads=arm.arm == leader.arm,
        verdict="" if own is None else f"{SYMBOLS[own.kind]} {own.kind}",
        steps=f"{arm.steps:,}",
        reached=f"{arm.reached} of {len(arm.seeds)}",
        loss=_loss(arm.loss, metric),
        test_loss=_loss(arm.test_loss, metric),
        energy=numbers.quantity(arm.energy_j, "J"),
        ratio=_ratio_of(state, arm.arm, own),
        time=numbers.quantity(arm.time_s, "s"),
        flags=tuple((flag, flag_words(flag)) for flag in arm.flags),
    )


def _loss(loss: float | None, metric: Metric) -> str:
    return "diverged" if loss is not None and not math.isfinite(loss) else metric.text(loss)


def _ratio_of(state: ConfirmationState, arm: str, verdict: Verdict | None) -> str:
    """To the documented baseline over the rounds of both: with its interval where there is a verdict."""
    if arm == DOCUMENTED:
        return ""
    if verdict is not None:
        return ratio_words(verdict.energy_ratio) if verdict.energy_ratio is not None else numbers.UNKNOWN
    logs = [math.log(pair.ratio) for pair in energy_pairs(state, arm, DOCUMENTED)]
    return numbers.ratio(math.exp(math.fsum(logs) / len(logs)) if logs else None)


def _fit(state: ConfirmationState, arm: str, fit: LengthFit) -> str:
    """`Trial 1: 405 steps instead of 450, where 97 % of seeds are predicted ...; from 3 runs.`"""
    who, before = capitalised(arm_name(arm)), state.recipe(arm).steps
    if fit.steps is None:
        yet = "no length yet" if fit.next_steps is not None else "no length was found"
        return f"{who}: {yet}, from {before:,} steps on; {fit.reason}."
    reach = "of seeds are predicted to reach the target"
    share = "" if fit.share is None else f", where {100 * fit.share:.0f} % {reach}"
    same = " (taken as the documented length)" if arm == FITTED and FITTED not in state.steps else ""
    return (
        f"{who}: {counted(fit.steps, 'step')} instead of {before:,}{same}{share}; "
        f"from {counted(fit.runs, 'run')}."
    )


def _what_it_took(view: StudyView, state: ConfirmationState) -> str:
    """How many runs fitted and confirmed, what they took, and why no more ran."""
    fitting = sum(fit.runs for fit in state.fits.values())
    kind = "" if view.meter is None else f" ({view.meter.kind.value})"
    text = (
        f"{counted(fitting, 'run')} fitted lengths; with those of the rounds the confirmation took "
        f"{counted(len(view.confirming), 'run')} and {numbers.quantity(state.spent_j, 'J')}{kind}, which are "
        "in what the search cost."
    )
    if state.number:
        sets = counted(state.number, "set")
        text += f" Before, {sets} of other candidates had been confirmed; intervals are corrected for them."
    return f"{text} {_ended(state)}"


def _ended(state: ConfirmationState) -> str:
    return f"It ended because {state.why}." if state.next is None and state.why else "It has not ended."

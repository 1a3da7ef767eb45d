"""Where the saving comes from, in words: a factor for each group of levers, and what is left over."""

from __future__ import annotations

from dataclasses import dataclass

from search.confirm.ablated_arms import AblatedArm, AblationState
from search.confirm.ablation import Part, Waterfall, waterfall
from search.confirm.intervals import Interval
from search.confirm.levers import Group
from search.console.plural import counted
from search.record.confirmation import DOCUMENTED, FITTED
from search.report.findings import numbers
from search.report.findings.names import capitalised
from search.report.view.ablation import arm_outcome
from search.report.view.data import StudyView

INTERACTIONS = "interactions"
_NOTE = (
    "One group at a time is put back to the baseline's values, the length is fitted again, and the result "
    "runs beside the winner and the baseline with the same fresh seeds, in random order. A factor says how "
    "many times the winner's joules that takes; below 1, the winner would be cheaper with the baseline's "
    "values. "
    "Groups overlap: their factors need not multiply to the whole saving, and interactions are what is left "
    "over."
)
_LENGTH = (
    "The baseline's length: what it takes as documented over what it takes at the length that was fitted for "
    "it like the others'."
)


@dataclass(frozen=True)
class ChangeText:
    """A setting that a group puts back, and its values: the winner's, then the baseline's."""

    path: str
    name: str
    values: str


@dataclass(frozen=True)
class GroupRow:
    """One step of the waterfall, as texts; empty where there is nothing to say."""

    name: str
    changes: tuple[ChangeText, ...]
    steps: str
    reached: str
    energy: str
    factor: str


@dataclass(frozen=True)
class AblationFindings:
    """`sentence` says what was found, or why nothing is ablated: then there are no `rows`. `brief` is the
    same for a terminal. `remarks` say what could not be measured, and why; `leftover` what the interactions
    are, empty before there are any."""

    sentence: str
    brief: str
    rows: tuple[GroupRow, ...]
    remarks: tuple[str, ...]
    leftover: str
    note: str


def ablation_findings(view: StudyView) -> AblationFindings | None:
    """None of a study that asked for no ablation."""
    state = view.ablation
    if state is None:
        return None
    if state.winner is None or not state.arms:
        text = f"Nothing was ablated: {state.why}."
        return AblationFindings(text, text, (), (), "", "")
    found = waterfall(state)
    return AblationFindings(
        sentence=" ".join(part for part in (_sentence(state, found), _progress(state)) if part),
        brief=_brief(found) if found is not None else _progress(state),
        rows=_rows(view, state, found),
        remarks=tuple(remark for arm in state.arms if (remark := _remark(state, arm))),
        leftover="" if found is None else _leftover(found),
        note=" ".join((_NOTE, *(_LENGTH,) * (FITTED in state.steps), *_intervals(found), *_uneven(state))),
    )


def ablation_lines(view: StudyView) -> tuple[str, ...]:
    """For a terminal."""
    found = ablation_findings(view)
    return () if found is None else (found.brief,)


def times(factor: float | None, interval: Interval | None = None, at_least: bool = False) -> str:
    """`2.04 (1.69 to 2.46)`, `at least 3.9`."""
    if factor is None:
        return numbers.UNKNOWN
    text = f"{'at least ' if at_least else ''}{numbers.number(factor)}"
    if interval is None:
        return text
    return f"{text} ({numbers.number(interval.low)} to {numbers.number(interval.high)})"


def _sentence(state: AblationState, found: Waterfall | None) -> str:
    assert state.winner is not None
    winner = capitalised(state.winner.arm)
    if found is None:
        return f"{winner} differs from the baseline in {_listed([arm.group for arm in state.arms])}."
    baseline, own = numbers.quantity(found.baseline_j, "J"), numbers.quantity(found.winner_j, "J")
    text = f"{winner} takes {own} and the baseline {baseline}, {numbers.number(found.total)} times as much."
    first = next((part for part in found.parts if part.group is not None and part.factor is not None), None)
    if first is None or first.factor is None or first.factor <= 1:
        return text
    factor = times(first.factor, first.interval, first.at_least)
    others = [part for part in found.parts if part is not first and part.group is not None]
    all_known = all(part.factor is not None and not part.at_least for part in others)
    most = "The most comes from" if all_known else "The largest known factor is that of"
    return f"{text} {most} {first.label}: put back, it takes {factor} times the joules."


def _brief(found: Waterfall) -> str:
    parts = [f"{part.label} {times(part.factor, at_least=part.at_least)}" for part in found.parts]
    left = f"{INTERACTIONS} {_at_most(found)}{numbers.number(found.interactions)}"
    total = numbers.number(found.total)
    return f"where the saving comes from, as factors: {', '.join(parts)}, {left}; together {total}"


def _progress(state: AblationState) -> str:
    """Why an ablation is not at its end, empty where it is."""
    if state.why:
        return f"It ended early: {state.why}."
    if state.next is None:
        return ""
    return f"It has not come to its end: {counted(len(state.rounds), 'round')} so far."


def _rows(view: StudyView, state: AblationState, found: Waterfall | None) -> tuple[GroupRow, ...]:
    arms = {arm.group: arm for arm in state.arms}
    if found is None:
        return tuple(_row(view, state, arm, None) for arm in state.arms)
    rows = [
        _length_row(view, state, part) if part.group is None else _row(view, state, arms[part.group], part)
        for part in found.parts
    ]
    left = f"{_at_most(found)}{times(found.interactions, found.interval)}"
    together = GroupRow("all together", (), "", "", "", numbers.number(found.total))
    return (*rows, GroupRow(INTERACTIONS, (), "", "", "", left), together)


def _row(view: StudyView, state: AblationState, arm: AblatedArm, part: Part | None) -> GroupRow:
    outcome = arm_outcome(state, arm.name, _target(view))
    changes = tuple(
        ChangeText(
            one.path,
            one.path.partition(".")[2],
            f"{numbers.parameter(one.winner)} → {numbers.parameter(one.baseline)}",
        )
        for one in arm.changes
    )
    return GroupRow(
        name=arm.group.label,
        changes=changes,
        steps="" if outcome is None else f"{outcome.steps:,}",
        reached="" if outcome is None else f"{outcome.reached} of {outcome.seeds}",
        energy="" if outcome is None else numbers.quantity(outcome.energy_j, "J"),
        factor="" if part is None else times(part.factor, part.interval, part.at_least),
    )


def _length_row(view: StudyView, state: AblationState, part: Part) -> GroupRow:
    fitted, documented = (arm_outcome(state, arm, _target(view)) for arm in (FITTED, DOCUMENTED))
    steps = "" if fitted is None or documented is None else f"{fitted.steps:,} → {documented.steps:,}"
    return GroupRow(part.label, (), steps, "", "", times(part.factor, part.interval))


def _remark(state: AblationState, arm: AblatedArm) -> str:
    """Why a group was not measured, empty where it was."""
    name = capitalised(arm.group.label)
    if arm.why_not:
        return f"{name}: put back, it cannot run: {arm.why_not}."
    fit = state.fits.get(arm.name)
    if arm.name in state.steps or fit is None:
        return ""
    if fit.next_steps is None:
        bound = "" if arm.at_least_j is None else ", so its factor is at least that of its longest run"
        return f"{name}: no length was found ({fit.reason}){bound}."
    return f"{name}: its length is not fitted ({fit.reason})."


def _leftover(found: Waterfall) -> str:
    apart = numbers.number(found.total / found.interactions)
    left = f"{_at_most(found)}{times(found.interactions, found.interval)}"
    total = numbers.number(found.total)
    text = f"The factors come to {apart} and all groups together to {total}: {left} is left over"
    holds = (
        f" It also holds what {_listed(found.unknown)} would do, which is not known." if found.unknown else ""
    )
    if found.at_most or found.unknown:
        return f"{text}.{holds}"
    if found.interval is not None and found.interval.low <= 1 <= found.interval.high:
        return f"{text}, which may be chance: no interaction shows."
    if found.interactions > 1:
        return f"{text}. Groups stand in for each other: with one put back, others do part of its work."
    return f"{text}. Groups need each other: what they only do together is in the factor of each."


def _intervals(found: Waterfall | None) -> tuple[str, ...]:
    if found is None or not found.intervals:
        return ()
    return (
        f"Intervals are 95 % ones for all of them together, {found.intervals} in number (Student's t on the "
        "logarithms of paired runs, corrected by Bonferroni's bound).",
    )


def _uneven(state: AblationState) -> tuple[str, ...]:
    uneven = sum(bool(one.uneven) for one in state.rounds)
    if not uneven:
        return ()
    return (
        f"Of the {len(state.rounds)} rounds, {uneven} saw different load on their sides, however often they "
        "were run again; they count as they are.",
    )


def _at_most(found: Waterfall) -> str:
    return "at most " if found.at_most else ""


def _listed(groups: tuple[Group, ...] | list[Group]) -> str:
    names = [group.label for group in groups]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _target(view: StudyView) -> float:
    assert view.problem.target_loss is not None
    return view.problem.target_loss

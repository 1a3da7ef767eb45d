"""Where the saving comes from, for `summary.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from search.confirm.ablated_arms import AblatedArm, AblationState
from search.confirm.ablation import Part, waterfall
from search.confirm.intervals import Interval
from search.confirm.levers import Group


class FactorSummary(TypedDict):
    """How many times the joules. Null: unknown."""

    estimate: Annotated[float | None, "Ratio of geometric means of paired runs."]
    low: Annotated[float | None, "Lower end of its interval: 95 % for all of this ablation together."]
    high: Annotated[float | None, "Upper end."]


class ChangeSummary(TypedDict):
    """A setting in which the winner differs from the baseline."""

    baseline: Annotated[Any, "Its value there."]
    winner: Annotated[Any, "Its value in the winner."]


class AblatedGroupSummary(TypedDict):
    """The winner with one group of levers put back to the baseline's values, its length fitted again."""

    group: Annotated[Group, "Which settings went back together."]
    changes: Annotated[Mapping[str, ChangeSummary], "What that put back, by its path in the configuration."]
    steps: Annotated[int | None, "Its fitted length; null where none was found."]
    factor: Annotated[FactorSummary, "Its joules over the winner's."]
    at_least: Annotated[bool, "Whether the factor is a lower bound, since no length reached the target."]
    reason: Annotated[str, "Why it was not measured; empty where it was."]


class AblationSummary(TypedDict):
    """The winner's joules times all factors and interactions are the baseline's."""

    trial: Annotated[int | None, "The trial that was ablated; null where there is none."]
    why: Annotated[str, "Why nothing is ablated, or why it ended early; empty at the end."]
    rounds: Annotated[int, "Fresh seeds that every arm has run with."]
    baseline_j: Annotated[float | None, "Counted joules of the documented baseline, beside the winner."]
    winner_j: Annotated[float | None, "Counted joules of the winner."]
    baseline_length: Annotated[
        FactorSummary | None, "The baseline's joules at its documented length over those at its fitted one."
    ]
    groups: Annotated[list[AblatedGroupSummary], "Those in which the winner differs from the baseline."]
    interactions: Annotated[
        FactorSummary | None,
        "What is left over: above 1 where groups stand in for each other, below 1 where they need each "
        "other.",
    ]
    interactions_at_most: Annotated[
        bool, "Whether they are an upper bound, since some factor is a lower one."
    ]


def ablation_summary(state: AblationState) -> AblationSummary:
    found = waterfall(state)
    parts = {} if found is None else {part.group: part for part in found.parts}
    length = parts.get(None)
    return {
        "trial": None if state.winner is None else state.winner.of_trial,
        "why": state.why,
        "rounds": len(state.rounds),
        "baseline_j": None if found is None else found.baseline_j,
        "winner_j": None if found is None else found.winner_j,
        "baseline_length": None if length is None else _factor(length.factor, length.interval),
        "groups": [_group(state, arm, parts.get(arm.group)) for arm in state.arms],
        "interactions": None if found is None else _factor(found.interactions, found.interval),
        "interactions_at_most": found is not None and found.at_most,
    }


def _group(state: AblationState, arm: AblatedArm, part: Part | None) -> AblatedGroupSummary:
    steps, fit = state.steps.get(arm.name), state.fits.get(arm.name)
    return {
        "group": arm.group,
        "changes": {one.path: {"baseline": one.baseline, "winner": one.winner} for one in arm.changes},
        "steps": steps,
        "factor": _factor(None, None) if part is None else _factor(part.factor, part.interval),
        "at_least": part is not None and part.at_least,
        "reason": arm.why_not or ("" if steps is not None or fit is None else fit.reason),
    }


def _factor(estimate: float | None, interval: Interval | None) -> FactorSummary:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {"estimate": estimate, "low": low, "high": high}

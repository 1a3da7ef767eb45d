"""Where a saving comes from: a factor for each group of levers, and what is left over.

With one group put back, the winner takes so many times its joules: that is the group's factor. Were groups to
act apart from each other, their factors would multiply to the whole saving. What is missing to it are the
interactions: above 1 where groups stand in for each other, below 1 where they need each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.confirm.ablated_arms import AblatedArm, AblationState
from search.confirm.evidence import energy_of
from search.confirm.intervals import RATIO_LEVEL, Interval, paired_ratio
from search.confirm.levers import Group
from search.confirm.rounds import ConfirmedRun, Round
from search.record.confirmation import DOCUMENTED, FITTED


@dataclass(frozen=True)
class Part:
    """One step from the baseline to the winner. `group` is None for the baseline's own length: documented
    over fitted.

    `factor` is how many times the joules it takes without this; None where that is not known. It is a lower
    bound where `at_least`. `interval` is None where there is none, `pairs` counts the rounds behind it.
    """

    group: Group | None
    factor: float | None
    interval: Interval | None = None
    pairs: int = 0
    at_least: bool = False

    @property
    def label(self) -> str:
        return "the baseline's length" if self.group is None else self.group.label


@dataclass(frozen=True)
class Waterfall:
    """From the documented baseline's joules to the winner's: `baseline_j` over `winner_j` is the product of
    the factors and `interactions`. `parts` stand in the order of their size, the baseline's length first.

    `interactions` are at most that where `at_most`, since some factor is a lower bound, and hold too what the
    `unknown` groups do. So many `intervals`, theirs included, hold together with 95 %.
    """

    baseline_j: float
    winner_j: float
    parts: tuple[Part, ...]
    interactions: float
    interval: Interval | None
    at_most: bool
    unknown: tuple[Group, ...]
    intervals: int

    @property
    def total(self) -> float:
        return self.baseline_j / self.winner_j

    @property
    def levels_j(self) -> tuple[float, ...]:
        """The joules before each part, before the interactions, and at the end."""
        levels = [self.baseline_j]
        for factor in (*(part.factor or 1.0 for part in self.parts), self.interactions):
            levels.append(levels[-1] / factor)
        return tuple(levels)


def waterfall(state: AblationState) -> Waterfall | None:
    """None before the first round that counts, and where the joules of baseline or winner are not known."""
    if state.winner is None:
        return None
    both = _pairs(state.rounds, DOCUMENTED, state.winner.arm)
    if not both:
        return None
    baseline_j, winner_j = (_geometric_mean([pair[side] for pair in both]) for side in (0, 1))
    measured = [arm in state.steps for arm in (FITTED, *(arm.name for arm in state.arms))]
    intervals = sum(measured) + all(measured[1:])  # the interactions have one where every group is measured
    level = RATIO_LEVEL / max(1, intervals)
    length = [_part(None, state.rounds, DOCUMENTED, FITTED, level)] if FITTED in state.steps else []
    groups = [_of_group(arm, state, winner_j, level) for arm in state.arms]
    parts = (*length, *sorted(groups, key=lambda part: part.factor or 0.0, reverse=True))
    known = [part.factor for part in parts if part.factor is not None]
    at_most = any(part.at_least for part in parts)
    unknown = tuple(part.group for part in parts if part.factor is None and part.group is not None)
    return Waterfall(
        baseline_j=baseline_j,
        winner_j=winner_j,
        parts=parts,
        interactions=math.exp(math.log(baseline_j / winner_j) - math.fsum(map(math.log, known))),
        interval=None if at_most or unknown else _interval_of_interactions(state, level),
        at_most=at_most,
        unknown=unknown,
        intervals=intervals,
    )


def _of_group(arm: AblatedArm, state: AblationState, winner_j: float, level: float) -> Part:
    """What reaching the target takes without a group, or at least takes: as much as a run that missed it."""
    if arm.name in state.steps:
        assert state.winner is not None
        return _part(arm.group, state.rounds, arm.name, state.winner.arm, level)
    bound = None if arm.at_least_j is None else arm.at_least_j / winner_j
    return Part(arm.group, bound, at_least=bound is not None)


def _part(group: Group | None, rounds: Sequence[Round], without: str, beside: str, level: float) -> Part:
    pairs = _pairs(rounds, without, beside)
    if not pairs:
        return Part(group, None)
    ones, others = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Part(
        group,
        factor=_geometric_mean([one / other for one, other in pairs]),
        interval=paired_ratio(ones, others, level),
        pairs=len(pairs),
    )


def _interval_of_interactions(state: AblationState, level: float) -> Interval | None:
    """From what is left over in each round; None where a run of any arm has no joules."""
    assert state.winner is not None
    winner, start = state.winner.arm, FITTED if FITTED in state.steps else DOCUMENTED
    arms = [arm.name for arm in state.arms if arm.name in state.steps]
    left = []
    for one in state.rounds:
        joules = {arm: known for arm, run in one.runs.items() if (known := _joules(run)) is not None}
        if len(joules) < len(one.runs):
            return None
        apart = math.prod(joules[arm] / joules[winner] for arm in arms)
        left.append(joules[start] / joules[winner] / apart)
    return paired_ratio(left, [1.0] * len(left), level)


def _pairs(rounds: Sequence[Round], one: str, other: str) -> list[tuple[float, float]]:
    """The joules of both, of the rounds in which both have them."""
    both = [(_joules(found.runs[one]), _joules(found.runs[other])) for found in rounds]
    return [(mine, theirs) for mine, theirs in both if mine is not None and theirs is not None]


def _joules(run: ConfirmedRun) -> float | None:
    joules = energy_of(run)
    return joules if joules is not None and joules > 0 else None


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))

"""What a verdict rests on: the rounds of one candidate beside its baselines, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.confirm.clauses import VerdictFacts
from search.confirm.intervals import (
    RATIO_LEVEL,
    REACH_LEVEL,
    Interval,
    Spread,
    difference,
    level_of_look,
    paired_ratio,
    pooled_spread,
)
from search.confirm.rounds import ConfirmedRun, Round, rounds
from search.confirm.settings import ConfirmSettings
from search.record.confirmation import DOCUMENTED, FITTED
from search.record.meter_info import Kind


@dataclass(frozen=True)
class Evidence:
    """The rounds of one candidate beside its baselines, and what they were measured with."""

    arm: str
    arms: tuple[str, ...]
    rounds: tuple[Round, ...]
    noise: Spread | None  # of end losses, pooled over all arms
    test_noise: Spread | None  # of test losses
    facts: VerdictFacts
    settings: ConfirmSettings

    @property
    def own(self) -> list[ConfirmedRun]:
        return [one.runs[self.arm] for one in self.rounds]

    def level(self, level: float) -> float:
        return level_of_look(len(self.rounds), level, self.settings, self.facts.n_candidates)

    def pairs(self, other: str, value: Callable[[ConfirmedRun], float | None]) -> list[tuple[float, float]]:
        """`value` of both sides, of the rounds in which both have it."""
        both = [(value(one.runs[self.arm]), value(one.runs[other])) for one in self.rounds]
        return [(mine, theirs) for mine, theirs in both if mine is not None and theirs is not None]


def gather(
    candidate: str, runs: Sequence[ConfirmedRun], facts: VerdictFacts, settings: ConfirmSettings
) -> Evidence:
    """From the runs of all arms; of several attempts of a round the one that counts is taken (`rounds`)."""
    arms = (candidate, DOCUMENTED, *((FITTED,) if any(run.arm == FITTED for run in runs) else ()))
    latest = _latest(runs)
    noise, test_noise = _pooled(latest, _loss), _pooled(latest, _test_loss)
    return Evidence(candidate, arms, rounds(runs, arms), noise, test_noise, facts, settings)


def _loss(run: ConfirmedRun) -> float | None:
    return run.loss


def _test_loss(run: ConfirmedRun) -> float | None:
    return run.test_loss


def energy_of(run: ConfirmedRun) -> float | None:
    return run.energy_j if run.has_energy else None


def time_of(run: ConfirmedRun) -> float | None:
    return run.time_s


def inference_of(run: ConfirmedRun) -> float | None:
    return run.inference_j_per_token if run.measured else None


def _latest(runs: Sequence[ConfirmedRun]) -> list[ConfirmedRun]:
    """The latest attempt of every arm and round."""
    latest = {(run.arm, run.round): run for run in sorted(runs, key=lambda run: run.attempt)}
    return list(latest.values())


def _pooled(runs: Sequence[ConfirmedRun], value: Callable[[ConfirmedRun], float | None]) -> Spread | None:
    """The spread of `value` over all runs, other candidates' too, arm by arm."""
    groups: dict[str, list[float]] = {}
    for run in runs:
        if (one := value(run)) is not None:
            groups.setdefault(run.arm, []).append(one)
    return pooled_spread(groups.values())


def ratios(evidence: Evidence, value: Callable[[ConfirmedRun], float | None]) -> dict[str, Interval | None]:
    """By baseline that ran. Modelled joules are counts: equal ones are known exactly."""
    exact = value in (energy_of, inference_of) and evidence.facts.meter_kind == Kind.MODELLED
    level = evidence.level(RATIO_LEVEL)
    found: dict[str, Interval | None] = {}
    for other in evidence.arms[1:]:
        pairs = evidence.pairs(other, value)
        mine, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        found[other] = paired_ratio(mine, theirs, level, exact)
    return found


def gap_of_test_losses(evidence: Evidence) -> Interval | None:
    pairs = evidence.pairs(DOCUMENTED, _test_loss)
    mine, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return difference(mine, theirs, evidence.level(RATIO_LEVEL), evidence.test_noise)


def missing(name: str, evidence: Evidence) -> tuple[float, float, float]:
    """How far the estimate of a clause lies from its limit, the spread of one pair, and the level."""
    if name == "reach":
        losses = [run.loss for run in evidence.own]
        gap = evidence.facts.target_loss - math.fsum(losses) / len(losses)
        return gap, evidence.noise.sd if evidence.noise else 0.0, evidence.level(REACH_LEVEL)
    level = evidence.level(RATIO_LEVEL)
    if name == evidence.facts.metric.name:
        gaps = [mine - theirs for mine, theirs in evidence.pairs(DOCUMENTED, _test_loss)]
        limit = evidence.settings.loss_margin
    else:
        what, _, other = name.partition("_")
        value, margin = _limits(evidence.settings)[what]
        other = other if other in evidence.arms else DOCUMENTED
        gaps = [math.log(mine / theirs) for mine, theirs in evidence.pairs(other, value)]
        limit = math.log1p(margin)
    spread = pooled_spread([gaps])
    return limit - math.fsum(gaps) / len(gaps), spread.sd if spread else 0.0, level


def _limits(settings: ConfirmSettings) -> dict[str, tuple[Callable[[ConfirmedRun], float | None], float]]:
    """Of each clause on a ratio: what is compared, and by what share the candidate's may be higher."""
    return {
        "energy": (energy_of, 0.0),
        "time": (time_of, settings.time_margin),
        "inference": (inference_of, settings.inference_margin),
    }

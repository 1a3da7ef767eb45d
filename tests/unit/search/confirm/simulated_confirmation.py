"""A programmed confirmation: seed noise, thermal drift and a gain of each run, through the real race.

`simulate` decides round by round by `order_of_round`, `judged`, `after_round` and `why_it_ends`, as `race`
does, without working through the earlier rounds again each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from search.confirm.clauses import FittedBaseline, VerdictFacts
from search.confirm.race import Standing, after_round, judged, why_it_ends
from search.confirm.rounds import ConfirmedRun, Round, order_of_round
from search.confirm.settings import ConfirmSettings
from search.confirm.verdict import Verdict
from search.record.confirmation import DOCUMENTED

TARGET_LOSS = 1.905
SEED_NOISE = 0.0065  # nats, measured on nanoGPT's CPU recipe


@dataclass(frozen=True)
class Arm:
    """What is true of an arm: `mean_loss` over seeds, and its joules and seconds over the baseline's."""

    mean_loss: float = TARGET_LOSS - 0.02
    energy: float = 1.0
    time: float = 1.0
    noise: float = SEED_NOISE


@dataclass(frozen=True)
class Machine:
    """`gain`: standard deviation of ln joules, and apart from it of ln seconds, of a run. `drift`: by how
    much joules and seconds rise over the whole confirmation, a share; which way is drawn for each study.
    `interleaved`: round by round in random order, or all runs of one arm and then the next."""

    gain: float = 0.03
    drift: float = 0.15
    interleaved: bool = True


@dataclass(frozen=True)
class Programme:
    """K candidates beside the baselines."""

    candidates: Mapping[str, Arm]
    baselines: Mapping[str, Arm] = field(default_factory=lambda: {DOCUMENTED: Arm()})
    machine: Machine = Machine()
    settings: ConfirmSettings = field(default_factory=lambda: ConfirmSettings(candidates=4))

    @property
    def facts(self) -> dict[str, VerdictFacts]:
        one = VerdictFacts(
            TARGET_LOSS, 2.0, False, "measured", len(self.candidates), FittedBaseline.DOCUMENTED
        )
        return dict.fromkeys(self.candidates, one)


def four(arm: Arm) -> dict[str, Arm]:
    return {f"candidate {n}": arm for n in range(4)}


def simulate(programme: Programme, study_seed: int) -> dict[str, Verdict]:
    """The verdicts on all candidates of one study."""
    rng = np.random.default_rng(study_seed)
    arms = {**programme.baselines, **programme.candidates}
    run = _runner(programme, arms, rng)
    facts, settings = programme.facts, programme.settings
    standing, done = Standing(tuple(facts)), list[Round]()
    verdicts = judged(done, facts, settings)
    while not why_it_ends(done, standing, verdicts, facts, settings):
        number = len(done)
        order = order_of_round((*programme.baselines, *standing.candidates), study_seed, number, attempt=0)
        done.append(Round(number, 0, {arm: run(arm, number) for arm in order}, ()))
        verdicts = judged(done, facts, settings)
        standing = after_round(done, standing, verdicts, facts)
    return verdicts


def _runner(
    programme: Programme, arms: Mapping[str, Arm], rng: np.random.Generator
) -> Callable[[str, int], ConfirmedRun]:
    """Runs an arm; the drift goes by how many runs were before it."""
    machine, most = programme.machine, programme.settings.max_seeds
    draws = iter(rng.standard_normal(4 * most * len(arms)).tolist())
    sign = 1.0 if rng.random() < 0.5 else -1.0
    places = dict(zip(arms, rng.permutation(len(arms)).tolist(), strict=True))
    ran = 0

    def run(arm: str, number: int) -> ConfirmedRun:
        nonlocal ran
        truth = arms[arm]
        place = ran if machine.interleaved else places[arm] * most + number
        ran += 1
        drift = sign * math.log1p(machine.drift) * place / (most * len(arms))
        return ConfirmedRun(
            arm=arm,
            round=number,
            attempt=0,
            seed=number,
            loss=truth.mean_loss + truth.noise * next(draws),
            test_loss=truth.mean_loss + truth.noise * next(draws),
            energy_j=truth.energy * math.exp(drift + machine.gain * next(draws)),
            time_s=truth.time * math.exp(drift + machine.gain * next(draws)),
        )

    return run


def count(programme: Programme, studies: int, event: Callable[[Mapping[str, Verdict]], bool]) -> int:
    """In how many of so many studies `event` happens."""
    return sum(event(simulate(programme, seed)) for seed in range(studies))


def saves(arms: Sequence[str] | None = None) -> Callable[[Mapping[str, Verdict]], bool]:
    """Whether any of the candidates `arms` (None: any at all) SAVES."""
    return lambda verdicts: any(
        verdict.kind == "SAVES" for arm, verdict in verdicts.items() if arms is None or arm in arms
    )

"""Which runs of a confirmation stand beside each other: a round is one fresh seed, run by every arm in turn.

Within a round the order is random, so that a device that warms up, or a machine that gets busier, favours no
arm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# The part of a seed that sets the order of rounds apart from everything else that a study draws.
_ORDER = 2_000_000


@dataclass(frozen=True)
class ConfirmedRun:
    """One run to the end of its schedule.

    Losses are in nats per token at the last step, inf where the run diverged or crashed; `test_loss` is None
    where the data have no test part. `energy_j` and `time_s` are what counts, None where not known.
    `load_flags` are the flags that say what else kept the machine busy, `flags` all of them. `measured`: its
    energy can be trusted. `inference_j_per_token` is what its model takes to generate, None where that is not
    known or nobody asked.
    """

    arm: str
    round: int
    attempt: int
    seed: int
    loss: float
    test_loss: float | None
    energy_j: float | None
    time_s: float | None
    load_flags: frozenset[str] = frozenset()
    flags: tuple[str, ...] = ()
    measured: bool = True
    inference_j_per_token: float | None = None

    @property
    def has_energy(self) -> bool:
        return self.measured and self.energy_j is not None


@dataclass(frozen=True)
class Round:
    """The attempt of a round that counts, by arm. `uneven` are the load flags that some sides saw and others
    did not."""

    number: int
    attempt: int
    runs: Mapping[str, ConfirmedRun]
    uneven: tuple[str, ...]

    @property
    def unmeasured(self) -> int:
        return sum(not run.has_energy for run in self.runs.values())

    @property
    def clean(self) -> bool:
        return not self.uneven and not self.unmeasured


@dataclass(frozen=True)
class Pending:
    """What has to run before a round counts: these arms, in this order."""

    number: int
    attempt: int
    arms: tuple[str, ...]


def order_of_round(arms: Collection[str], study_seed: int, number: int, attempt: int) -> tuple[str, ...]:
    """The arms in random order, the same for the same seed, round and attempt."""
    names = sorted(arms)
    order = np.random.default_rng((study_seed, _ORDER, number, attempt)).permutation(len(names))
    return tuple(names[place] for place in order)


def rounds(runs: Sequence[ConfirmedRun], arms: Collection[str]) -> tuple[Round, ...]:
    """Every round that has an attempt with a run of each of `arms`, each by the attempt that counts."""
    by_round: dict[int, list[ConfirmedRun]] = {}
    for run in runs:
        by_round.setdefault(run.round, []).append(run)
    found = [_counted(_attempts(by_round[number], arms)) for number in sorted(by_round)]
    return tuple(one for one in found if one is not None)


def pending(
    runs: Sequence[ConfirmedRun], arms: Collection[str], number: int, study_seed: int, repeats: int
) -> Pending | None:
    """What must still run of round `number`, or None where it counts.

    A round whose sides saw different load, or of which a run's energy is unknown, is run again up to
    `repeats` times. An attempt that was cut short goes on with the arms that it lacks.
    """
    of_round = [run for run in runs if run.round == number]
    complete = {one.attempt: one for one in _attempts(of_round, arms)}
    for attempt in range(repeats + 1):
        if attempt not in complete:
            ran = {run.arm for run in of_round if run.attempt == attempt}
            order = order_of_round(arms, study_seed, number, attempt)
            return Pending(number, attempt, tuple(arm for arm in order if arm not in ran))
        if complete[attempt].clean:
            return None
    return None


def _attempts(runs: Sequence[ConfirmedRun], arms: Collection[str]) -> list[Round]:
    """The complete attempts of one round, in their order."""
    by_attempt: dict[int, dict[str, ConfirmedRun]] = {}
    for run in runs:
        if run.arm in arms:
            by_attempt.setdefault(run.attempt, {})[run.arm] = run
    return [
        Round(next(iter(sides.values())).round, attempt, sides, _uneven(sides.values()))
        for attempt, sides in sorted(by_attempt.items())
        if len(sides) == len(arms)
    ]


def _counted(attempts: Sequence[Round]) -> Round | None:
    """The latest attempt, of those with the fewest unknown energies."""
    return min(reversed(attempts), key=lambda one: one.unmeasured, default=None)


def _uneven(sides: Collection[ConfirmedRun]) -> tuple[str, ...]:
    seen = [side.load_flags for side in sides]
    return tuple(sorted(frozenset.union(*seen) - frozenset.intersection(*seen)))

"""Runs of a confirmation, for tests."""

from collections.abc import Sequence
from typing import Any

from search.confirm.clauses import FittedBaseline, VerdictFacts
from search.confirm.rounds import ConfirmedRun
from search.record.confirmation import DOCUMENTED

TARGET_LOSS = 1.905
# Noise as it may come, the same in every test: nats, and shares of joules and seconds.
NOISE = (0.004, -0.003, 0.0, -0.005, 0.003, 0.001, -0.002, 0.002)


def confirmed(arm: str = DOCUMENTED, number: int = 0, attempt: int = 0, **values: Any) -> ConfirmedRun:
    defaults = {"loss": 1.88, "test_loss": 1.89, "energy_j": 60.0, "time_s": 30.0}
    return ConfirmedRun(arm=arm, round=number, attempt=attempt, seed=100 + number, **defaults | values)


def runs_of(
    arm: str, n: int = 5, ratio: float = 1.0, loss: float = 1.88, shift: int = 0, **values: Any
) -> list[ConfirmedRun]:
    """`n` rounds of an arm at `ratio` of 60 J and 30 s; `shift` turns the noise, so that arms differ."""
    noise = [NOISE[(number * 3 + shift) % len(NOISE)] for number in range(n)]
    return [
        confirmed(
            arm,
            number,
            **{
                "loss": loss + noise[number],
                "test_loss": loss + 0.01 + noise[number],
                "energy_j": 60.0 * ratio * (1 + 5 * noise[number]),
                "time_s": 30.0 * ratio * (1 + 5 * noise[number]),
            }
            | values,
        )
        for number in range(n)
    ]


def facts(n_candidates: int = 2, **values: Any) -> VerdictFacts:
    defaults = {"ngram_loss": 2.0, "looks_up": False, "meter_kind": "measured"}
    fitted = {"fitted_baseline": FittedBaseline.DOCUMENTED}
    return VerdictFacts(target_loss=TARGET_LOSS, n_candidates=n_candidates, **defaults | fitted | values)


def without(runs: Sequence[ConfirmedRun], arm: str, number: int) -> list[ConfirmedRun]:
    return [run for run in runs if (run.arm, run.round) != (arm, number)]

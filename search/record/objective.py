"""What a study minimises: what a run has spent -> values, and the constraint that says how far the target
was."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from search.record.outcome import Outcome

CONSTRAINT = "loss_gap"
# The gap of a run that diverged or never got an evaluation, and the most that any run gets.
LARGE_GAP = 10.0


@dataclass(frozen=True)
class Spent:
    """What a run has used so far. It only grows while a run goes on, which is what makes it a bound. Only the
    joules of a generated token do not: they are known when a trained model has generated, and not before.

    None is unknown: the meter could not be trusted, or the platform does not say.
    """

    energy_j: float | None
    time_s: float | None
    tokens: int
    parameters: int
    peak_memory_bytes: int | None
    inference_energy_j_per_token: float | None = None


@dataclass(frozen=True)
class Objective:
    """A row of `OBJECTIVES`. `of` is the value where the target was reached, a lower bound before.
    `by_luck`: whether it depends on when a run crosses the target, and so on the luck of its seed.
    `only_reached`: before, it has no lower bound. A run of unknown end can then be ended for no rival, and
    one that missed its target has no value of it."""

    unit: str
    summary: str
    of: Callable[[Spent], float | None]
    by_luck: bool
    only_reached: bool = False


OBJECTIVES: Mapping[str, Objective] = {
    "energy_to_target_j": Objective(
        "J", "joules of the counted phases until the target", lambda s: s.energy_j, by_luck=True
    ),
    "time_to_target_s": Objective(
        "s", "seconds of the counted phases until the target", lambda s: s.time_s, by_luck=True
    ),
    "tokens_to_target": Objective(
        "tokens", "training tokens until the target", lambda s: s.tokens, by_luck=True
    ),
    "parameters": Objective("", "trainable parameters", lambda s: s.parameters, by_luck=False),
    "peak_memory_bytes": Objective(
        "B", "peak memory of the run", lambda s: s.peak_memory_bytes, by_luck=False
    ),
    "inference_energy_j_per_token": Objective(
        "J/token",
        "joules of a generated token, one text at a time",
        lambda s: s.inference_energy_j_per_token,
        by_luck=False,
        only_reached=True,
    ),
}
INFERENCE = "inference_energy_j_per_token"


def known_early(names: Sequence[str]) -> list[str]:
    """Those that also a run that missed its target has: what it spent, a lower bound."""
    return [name for name in names if not OBJECTIVES[name].only_reached]


def objective_values(names: Sequence[str], spent: Spent) -> dict[str, float] | None:
    """Objective -> value in the study's order, or None where one of them is unknown."""
    values = {name: OBJECTIVES[name].of(spent) for name in names}
    if any(value is None or not math.isfinite(value) for value in values.values()):
        return None
    return {name: float(value) for name, value in values.items() if value is not None}


def shown_values(values: Mapping[str, float]) -> str:
    """The values for a person: `7.62 J, 1.60 s, 135,936 tokens`."""
    return ", ".join(
        f"{_shown_number(value)} {OBJECTIVES[name].unit or name}" for name, value in values.items()
    )


def _shown_number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def loss_gap(outcome: Outcome, best_loss: float | None, target_loss: float) -> float:
    """Best loss minus target; feasible means <= 0. A run that diverged gets a large gap, so that samplers
    shun it."""
    if outcome is Outcome.DIVERGED or best_loss is None or not math.isfinite(best_loss):
        return LARGE_GAP
    return min(best_loss - target_loss, LARGE_GAP)

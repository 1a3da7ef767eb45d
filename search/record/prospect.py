"""What one more trial is expected to save, and what it costs: whether searching further pays. Pure.

The chance that the next trial is better than all before it is taken from the last trials: k improvements
among n give (k + 1/2) / (n + 1), the mean of Jeffreys' posterior for a share. What an improvement brings is
the mean over those improvements, as a share of the best trial's joules, together with one of `FIRST_GUESS`
that nobody saw. The saving is that chance, times that share, times the joules of the best trial, for every
time that the recipe will be trained. The cost is the mean of the same trials, everything counted.

The estimate is a forecast from a falling series, and so rather too high than too low: a search that it ends
would hardly have paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Annotated

from search.record.outcome import Role
from search.record.record import Record

# As many of the last trials are looked at; before there are so many since the first that reached the target,
# nothing is said.
RECENT = 15
FIRST_GUESS = 0.05


@dataclass(frozen=True)
class Prospect:
    """What one more trial is expected to bring."""

    saving_j: Annotated[float, "Counted joules that it is expected to save each run of the best recipe."]
    cost_j: Annotated[float, "Gross joules that it costs."]
    improvements: Annotated[int, "Of the last trials, how many were better than all before them."]
    trials: Annotated[int, "How many trials were looked at."]

    @property
    def uses_to_pay(self) -> float:
        """How often the recipe must be trained until one more trial pays."""
        return self.cost_j / self.saving_j

    def pays(self, uses: float) -> bool:
        """Whether it does where the recipe will be trained so often."""
        return self.saving_j * uses >= self.cost_j


def prospect(records: Sequence[Record]) -> Prospect | None:
    """None where too few trials have run since the first that reached the target, or their joules are not
    known."""
    trials = [record for record in records if record.role is Role.SEARCH and not record.interrupted]
    best_j: float | None = None
    gains: list[float | None] = []  # of every trial since the first that reached the target; None: no better
    for record in trials:
        energy_j = record.energy_to_target_j
        is_better = energy_j is not None and (best_j is None or energy_j < best_j)
        if best_j is not None:
            gains.append(1.0 - energy_j / best_j if is_better and energy_j is not None else None)
        if is_better:
            best_j = energy_j
    recent = gains[-RECENT:]
    costs = [record.gross_energy_j for record in trials[-RECENT:] if record.gross_energy_j is not None]
    if best_j is None or len(recent) < RECENT or not costs:
        return None
    improved = [gain for gain in recent if gain is not None]
    chance = (len(improved) + 0.5) / (len(recent) + 1.0)
    share = mean([FIRST_GUESS, *improved])
    return Prospect(chance * share * best_j, mean(costs), len(improved), len(recent))

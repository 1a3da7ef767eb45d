"""Where a run of the confirmation belongs: whose recipe it trains, and beside which runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The arms of the baseline: at the length that it documents, and at the one that was fitted for it.
DOCUMENTED = "documented"
FITTED = "fitted"


@dataclass(frozen=True)
class Confirmation:
    """`arm` is the recipe's name in the confirmation, `of_trial` the number of the trial that it comes from.

    The runs of one `round` share a fresh seed and follow each other in random order; `attempt` counts up
    where a round is run again. Of a run that fits a length, `round` counts those of its arm. `candidates` are
    the trials that are confirmed together: rounds of other sets are another confirmation.
    """

    arm: str
    of_trial: int
    round: int
    attempt: int = 0
    candidates: tuple[int, ...] = ()

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Confirmation:
        return Confirmation(**{**data, "candidates": tuple(data["candidates"])})


def arm_of_trial(trial: int) -> str:
    return f"trial {trial}"

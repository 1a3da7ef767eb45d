"""Where a run of the confirmation belongs: whose recipe it trains, and beside which runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# The arms of the baseline: at the length that it documents, and at the one that was fitted for it.
DOCUMENTED = "documented"
FITTED = "fitted"


class Purpose(StrEnum):
    """What the runs of one set are to show."""

    CONFIRM = "confirm"  # whether candidates save
    ABLATE = "ablate"  # what each group of levers of the one that saves adds to it


@dataclass(frozen=True)
class Confirmation:
    """`arm` is the recipe's name in the confirmation, `of_trial` the number of the trial that it comes from.

    The runs of one `round` share a fresh seed and follow each other in random order; `attempt` counts up
    where a round is run again. Of a run that fits a length, `round` counts those of its arm. `candidates` are
    the trials that are confirmed together, or the one that is ablated: rounds of other sets, or for another
    `purpose`, are another confirmation.
    """

    arm: str
    of_trial: int
    round: int
    attempt: int = 0
    candidates: tuple[int, ...] = ()
    purpose: Purpose = Purpose.CONFIRM

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Confirmation:
        own_types = {
            "candidates": tuple(data["candidates"]),
            "purpose": Purpose(data.get("purpose", Purpose.CONFIRM)),
        }
        return Confirmation(**{**data, **own_types})

    def ablates(self, trial: int) -> bool:
        """Whether this belongs to the ablation of `trial`."""
        return self.purpose is Purpose.ABLATE and self.candidates == (trial,)


def arm_of_trial(trial: int) -> str:
    return f"trial {trial}"

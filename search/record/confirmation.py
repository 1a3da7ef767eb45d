"""Where a run of the confirmation belongs: whose recipe it trains, and beside which runs."""

from __future__ import annotations

from dataclasses import dataclass

# The arms of the baseline: at the length that it documents, and at the one that was fitted for it.
DOCUMENTED = "documented"
FITTED = "fitted"


@dataclass(frozen=True)
class Confirmation:
    """`arm` is the recipe's name in the confirmation, `of_trial` the number of the trial that it comes from.

    The runs of one `round` share a fresh seed and follow each other in random order; `attempt` counts up where
    a round is run again. Of a run that fits a length, `round` counts those of its arm.
    """

    arm: str
    of_trial: int
    round: int
    attempt: int = 0


def arm_of_trial(trial: int) -> str:
    return f"trial {trial}"

"""`target_loss=auto` or `target_accuracy=auto`: the baseline is trained to the end of its schedule; what it
ends at is the target."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.record.outcome import Outcome, Role
from search.record.record import Record

AUTO = "auto"
# The target of the run that is to find one: no model has this loss, so it trains to its end.
TO_THE_END = 0.0


def target_of(setting: float | str, margin: float, records: Sequence[Record]) -> float | None:
    """The loss (or error rate) to reach: as it was set or, for `auto`, what the baseline ended at plus
    `margin`, rounded up to four decimals. None until that run has come to the end of its schedule."""
    if not isinstance(setting, str):
        return float(setting)
    ended = next((record for record in records if came_to_its_end(record)), None)
    return None if ended is None else math.ceil(1e4 * (ended.curve[-1].loss + margin)) / 1e4


def came_to_its_end(record: Record) -> bool:
    """Whether this is a run for the target that was trained to the last step and evaluated there."""
    return (
        record.role is Role.TARGET
        and record.outcome is Outcome.OUT_OF_BUDGET
        and bool(record.curve)
        and record.curve[-1].whole
        and record.curve[-1].step == record.steps == record.config["train"]["max_steps"]
    )

"""What a run teaches a sampler: its values, and how far it was from the target. Pure.

`as_ended`: what it had spent, and its best loss minus the target, whenever it ended. Runs of one
configuration that were ended early and late then teach different things, and one that crossed the target
halfway through its schedule looks as if nothing could be shorter.

`at_the_end`: what its whole schedule takes, and what its loss is at the end of it: measured where it came
there, forecast where it ended before. Such values are a sampler's alone. They are no joules, and appear
nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from search.record.forecast import Forecast
from search.record.objective import LARGE_GAP, OBJECTIVES
from search.record.outcome import Outcome
from search.record.record import Record
from search.sampling.forecast import expected_end


class Lesson(NamedTuple):
    """`values` by objective; `gap` is a loss minus the target, in nats."""

    values: tuple[float, ...]
    gap: float


Teach = Callable[[Record, Sequence[str], Callable[[], Forecast]], Lesson]
"""`forecast` is called where it is needed, since it takes a look at all runs."""


def as_ended(record: Record, objectives: Sequence[str], forecast: Callable[[], Forecast]) -> Lesson:
    del forecast
    values = tuple(float(record.spent[name]) for name in objectives)
    return Lesson(values, LARGE_GAP if record.loss_gap is None else record.loss_gap)


def at_the_end(record: Record, objectives: Sequence[str], forecast: Callable[[], Forecast]) -> Lesson:
    steps = record.crossing.step if record.crossing is not None else record.steps
    whole = max(1.0, (record.max_steps or steps) / steps) if steps > 0 else 1.0
    values = tuple(
        float(record.spent[name]) * (whole if OBJECTIVES[name].by_luck else 1.0) for name in objectives
    )
    end = None if record.outcome is Outcome.DIVERGED else expected_end(record, forecast())
    return Lesson(values, LARGE_GAP if end is None else min(end - record.target_loss, LARGE_GAP))


TEACH: dict[str, Teach] = {"as_ended": as_ended, "at_the_end": at_the_end}

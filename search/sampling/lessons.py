"""What a run teaches a sampler: its values, and how far it was from the target. Pure.

`as_ended`: what it had spent, and its best loss minus the target, whenever it ended. Runs of one
configuration that were ended early and late then teach different things, and one that crossed the target
halfway through its schedule looks as if nothing could be shorter.

`at_the_end`: what its whole schedule takes, and what its loss is at the end of it: measured where it came
there, forecast where it ended before. Such values are a sampler's alone. They are no joules, and appear
nowhere else.

A run that missed its target has no joules of a generated token, and a sampler needs a number: it is shown the
median of the runs that have them, which neither draws it there nor drives it away.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from search.record.forecast import Forecast
from search.record.objective import LARGE_GAP, OBJECTIVES
from search.record.outcome import Outcome
from search.record.record import Record
from search.sampling.forecast import expected_end

NO_RUN_HAS_IT = 1.0


class Lesson(NamedTuple):
    """`values` by objective; `gap` is a loss minus the target, in nats, or in what goes with a nat of it."""

    values: tuple[float, ...]
    gap: float


Teach = Callable[[Record, Sequence[str], Callable[[], Forecast]], Lesson]
"""`forecast` is called where it is needed, since it takes a look at all runs."""


def as_ended(record: Record, objectives: Sequence[str], forecast: Callable[[], Forecast]) -> Lesson:
    del forecast
    values = tuple(float(record.spent[name]) for name in objectives)
    return Lesson(values, _gap(record, record.loss_gap))


def at_the_end(record: Record, objectives: Sequence[str], forecast: Callable[[], Forecast]) -> Lesson:
    steps = record.crossing.step if record.crossing is not None else record.steps
    whole = max(1.0, (record.max_steps or steps) / steps) if steps > 0 else 1.0
    values = tuple(
        float(record.spent[name]) * (whole if OBJECTIVES[name].by_luck else 1.0) for name in objectives
    )
    end = None if record.outcome is Outcome.DIVERGED else expected_end(record, forecast())
    return Lesson(values, _gap(record, None if end is None else end - record.target_loss))


def _gap(record: Record, gap: float | None) -> float:
    """In nats: what samplers take to be far away was chosen for losses."""
    return LARGE_GAP if gap is None else min(gap / record.metric.per_nat, LARGE_GAP)


def stand_ins_of(records: Sequence[Record], objectives: Sequence[str]) -> dict[str, float]:
    """For each objective that only runs which reached the target have, the median of theirs. Where no run has
    it all are shown the same number, which tells a sampler nothing."""
    found = {}
    for name in (name for name in objectives if OBJECTIVES[name].only_reached):
        known = [record.spent[name] for record in records if name in record.spent]
        found[name] = float(statistics.median(known)) if known else NO_RUN_HAS_IT
    return found


def with_stand_ins(record: Record, stand_ins: Mapping[str, float]) -> Record:
    """The record as a sampler is shown it."""
    return replace(record, spent={**stand_ins, **record.spent}) if stand_ins else record


TEACH: dict[str, Teach] = {"as_ended": as_ended, "at_the_end": at_the_end}

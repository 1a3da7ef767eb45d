"""Joules and seconds of one step of training, from readings of a run that goes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """A reading while steps are trained: `energy_j` is cumulative, None where it is not known, and `why` says
    why; `steps` have been done by then."""

    time_s: float
    energy_j: float | None
    steps: int
    why: str = ""


@dataclass(frozen=True)
class StepCost:
    """Of one step, as a mean over `steps` of them in `window_s` seconds. `energy_j` is None where it is not
    known, and `reason` says why. `error_j`: what the meter may be off by at the ends of the window."""

    time_s: float
    energy_j: float | None
    error_j: float | None
    steps: int
    window_s: float
    reason: str = ""


def window(samples: Sequence[Sample], warm_s: float, window_s: float) -> tuple[Sample, Sample] | None:
    """The first sample after `warm_s` of steps and the first that lies `window_s` behind it, with a step in
    between; None where the run has not come so far."""
    if not samples:
        return None
    start = next((one for one in samples if one.time_s - samples[0].time_s >= warm_s and one.steps > 0), None)
    if start is None:
        return None
    end = next(
        (one for one in samples if one.time_s - start.time_s >= window_s and one.steps > start.steps), None
    )
    return None if end is None else (start, end)


def step_cost(start: Sample, end: Sample, update_period_s: float, resolution_j: float) -> StepCost:
    """Of the steps between two samples of one run, read by a meter whose counter moves every
    `update_period_s` by at least `resolution_j`."""
    steps, seconds = end.steps - start.steps, end.time_s - start.time_s
    if start.energy_j is None or end.energy_j is None:
        return StepCost(seconds / steps, None, None, steps, seconds, start.why or end.why or "no reading")
    joules = end.energy_j - start.energy_j
    error_j = update_period_s * max(0.0, joules) / seconds + resolution_j
    if joules <= error_j:
        reason = f"{joules:.3g} J do not stand out from the {error_j:.2g} J that the meter may be off by"
        return StepCost(seconds / steps, None, None, steps, seconds, reason)
    return StepCost(seconds / steps, joules / steps, error_j / steps, steps, seconds)

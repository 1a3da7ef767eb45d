"""The curve of a run's evaluations, and where it crossed the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation: where training stood, and what had been spent in counted phases until then.

    `energy_j` is None where the meter gave nothing that can be trusted. `whole` is False where the evaluation
    ended early because its loss was plainly above the target; `loss` is then an estimate of `loss_stderr`.
    """

    step: int
    tokens: int
    loss: float
    loss_stderr: float
    energy_j: float | None
    time_s: float
    whole: bool = True


@dataclass(frozen=True)
class Crossing:
    """Where the target was reached: at the first evaluation at or below it (`energy_j`, `time_s`: an upper
    bound).

    `energy_low_j` / `time_low_s` belong to the last evaluation above the target, so the true crossing lies
    between the two; `energy_interpolated_j` is linear in the loss and a diagnostic only. A run of fixed
    length has no interval: it is meant to cost what all its steps cost.
    """

    step: int
    tokens: int
    loss: float
    energy_j: float
    time_s: float
    energy_low_j: float
    time_low_s: float
    energy_interpolated_j: float
    time_interpolated_s: float

    @property
    def relative_interval(self) -> float:
        """Width of the interval as a fraction of the counted joules."""
        return (self.energy_j - self.energy_low_j) / self.energy_j if self.energy_j > 0 else 0.0


def find_crossing(curve: Sequence[CurvePoint], target_loss: float) -> Crossing | None:
    """The first evaluation at or below `target_loss`, or None. Points without a trusted energy give None."""
    before: CurvePoint | None = None
    for point in curve:
        if point.loss <= target_loss:
            return _crossing(before, point, target_loss)
        before = point
    return None


def crossing_at_the_end(curve: Sequence[CurvePoint], target_loss: float) -> Crossing | None:
    """Of a run of fixed length: its one evaluation, where that is at or below `target_loss`. None as of
    `find_crossing`."""
    end = curve[-1] if curve else None
    return None if end is None or end.loss > target_loss else _crossing(end, end, target_loss)


def _crossing(before: CurvePoint | None, at: CurvePoint, target_loss: float) -> Crossing | None:
    low_j = 0.0 if before is None else before.energy_j
    if at.energy_j is None or low_j is None:
        return None
    low_s = 0.0 if before is None else before.time_s
    drop = 0.0 if before is None else before.loss - at.loss
    share = 1.0 if before is None or drop <= 0 else (before.loss - target_loss) / drop
    return Crossing(
        step=at.step,
        tokens=at.tokens,
        loss=at.loss,
        energy_j=at.energy_j,
        time_s=at.time_s,
        energy_low_j=low_j,
        time_low_s=low_s,
        energy_interpolated_j=low_j + share * (at.energy_j - low_j),
        time_interpolated_s=low_s + share * (at.time_s - low_s),
    )

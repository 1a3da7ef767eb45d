"""What an evaluation measures and a target is given in: the loss, or the accuracy of greedy predictions.

Whatever decides works on what is minimised: the loss itself, or the error rate, which is 1 - accuracy. So a
value that code calls a loss is an error rate where the metric is accuracy, and a gap to the target has the
same sign. People read and write the loss and the accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

LOSS, ACCURACY = "loss", "accuracy"


@dataclass(frozen=True)
class Metric:
    """`per_nat`: how much of what is minimised goes with a nat of loss, by which constants that were measured
    in nats apply to it. `at_target`: where a value that reaches its target lies, `best` and `worse` what a
    run's best value is called and on which side of the target the rest lie."""

    name: str
    per_nat: float
    unit: str
    at_target: str
    best: str
    worse: str
    is_error_rate: bool

    @property
    def setting(self) -> str:
        """The key that the target is given by."""
        return f"target_{self.name}"

    def shown(self, value: float) -> float:
        """What people read for a value that is minimised; and the other way round."""
        return round(1.0 - value, 12) if self.is_error_rate and math.isfinite(value) else value

    def text(self, value: float | None) -> str:
        """As people read it, with two to four decimals."""
        if value is None:
            return "unknown"
        if not math.isfinite(value):
            return f"{value:g}"
        whole, _, decimals = f"{self.shown(value):.4f}".partition(".")
        return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"

    def amount(self, value: float | None) -> str:
        """In a sentence: `2.57 nats`, `an accuracy of 0.25`."""
        text = self.text(value)
        return f"an accuracy of {text}" if self.is_error_rate else f"{text} nats"

    def words(self, value: float | None) -> str:
        """The same with the whole unit: `2.57 nats per token`."""
        return self.amount(value) if self.is_error_rate else f"{self.text(value)} {self.unit}"

    def typed(self, value: float) -> str:
        """What to type for this target: `target_loss=2.57`."""
        return f"{self.setting}={self.shown(value):g}"


# Of 14 runs of one and two layers over Shakespeare's characters the error rate fell by PER_NAT where the loss
# fell by a nat.
PER_NAT = 0.28

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        LOSS: Metric(LOSS, 1.0, "nats per token", "at or below", "lowest", "above", is_error_rate=False),
        ACCURACY: Metric(ACCURACY, PER_NAT, "", "at or above", "highest", "below", is_error_rate=True),
    }
)


def metric_of(config: Mapping[str, Any]) -> Metric:
    """Of a run's plain values, of any version."""
    return METRICS[config.get("target_metric", LOSS)]

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
    in nats apply to it. `stray`: how far it strays from its trend from one evaluation to the next. `meaning`:
    what a reader must know of its numbers."""

    name: str
    is_error_rate: bool
    per_nat: float
    stray: float
    meaning: str

    @property
    def setting(self) -> str:
        """The key that the target is given by."""
        return f"target_{self.name}"

    def either(self, of_loss: str, of_accuracy: str) -> str:
        """The word for one or the other, such as `below` and `above`."""
        return of_accuracy if self.is_error_rate else of_loss

    @property
    def at_target(self) -> str:
        """Where a value that reaches its target lies."""
        return self.either("at or below", "at or above")

    def shown(self, value: float) -> float:
        """What people read for a value that is minimised; and the other way round."""
        return round(1.0 - value, 12) if self.is_error_rate and math.isfinite(value) else value

    def shown_gap(self, gap: float) -> float:
        """The same for a difference of two values."""
        return -gap if self.is_error_rate else gap

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
        return self.either(f"{self.text(value)} nats", f"an accuracy of {self.text(value)}")

    def words(self, value: float | None) -> str:
        """The same with the whole unit: `2.57 nats per token`."""
        return self.either(f"{self.text(value)} nats per token", self.amount(value))

    def typed(self, value: float) -> str:
        """What to type for this target: `target_loss=2.57`."""
        return f"{self.setting}={self.shown(value):g}"


# Of 17 runs of one and two layers over Shakespeare's characters, the error rate fell by 0.27 to 0.29 for a
# nat of loss below 2.5 nats, and by 0.11 to 0.18 above. The forecast of `search.record.forecast` explains
# half of how far an error rate falls (0.8 of a loss), with a scatter of 0.035 (0.105 nats).
PER_NAT = 0.28
# In nats: on recorded runs of nanoGPT's CPU recipe 0.010 early, 0.006 midway and 0.004 late. Of the 17 runs
# above, an error rate strayed 0.5 to 0.6 times as far.
STRAY = 0.005

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        LOSS: Metric(
            LOSS,
            is_error_rate=False,
            per_nat=1.0,
            stray=STRAY,
            meaning="A nat is 1.44 bits; the loss is the mean cost of the next token, and lower is better.",
        ),
        ACCURACY: Metric(
            ACCURACY,
            is_error_rate=True,
            per_nat=PER_NAT,
            stray=0.6 * STRAY,
            meaning="The accuracy is the share of tokens that are the model's first choice, each predicted "
            "from the true tokens before it; higher is better.",
        ),
    }
)


def metric_of(config: Mapping[str, Any]) -> Metric:
    """Of a run's plain values, of any version."""
    return METRICS[config.get("target_metric", LOSS)]

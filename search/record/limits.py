"""What a run may spend, and the finished trials that may end it early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """A run's budget, each None for no limit. Seconds and joules are gross: they protect the user's time and
    bill."""

    energy_j: float | None = None
    time_s: float | None = None
    tokens: int | None = None

    def spent(
        self, energy_j: float | None, time_s: float | None, tokens: int | None
    ) -> tuple[str, float, str] | None:
        """Which of the budgets a run has spent that used so much: its name, its size and its unit. None for
        none of them; what is not known spends nothing."""
        for name, used, limit, unit in (
            ("energy", energy_j, self.energy_j, "J"),
            ("time", time_s, self.time_s, "s"),
            ("token", tokens, self.tokens, "tokens"),
        ):
            if used is not None and limit is not None and used >= limit:
                return name, limit, unit
        return None


@dataclass(frozen=True)
class Rival:
    """A finished trial that reached the target, and its objectives in the study's order.

    `margin`: by what share more than that a run must have spent to be ended for it, in the objectives that a
    seed's luck moves. `confirmed_seeds`: over how many fresh seeds the values are means; 0 where they are of
    one run, which may have been lucky.
    """

    trial: int
    values: tuple[float, ...]
    margin: float = 0.0
    confirmed_seeds: int = 0

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Rival:
        return Rival(**{**data, "values": tuple(data["values"])})

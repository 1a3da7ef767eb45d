"""What a run may spend, and the finished trials that may end it early."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """A run's budget, each None for no limit. Seconds and joules are gross: they protect the user's time and
    bill."""

    energy_j: float | None = None
    time_s: float | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Rival:
    """A finished trial that reached the target, and its objectives in the study's order."""

    trial: int
    values: tuple[float, ...]

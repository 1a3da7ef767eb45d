"""Joules and seconds by phase, and which phases count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

PHASES = ("setup", "compile", "train", "eval", "checkpoint")


class CountedPhases(StrEnum):
    """Which phases of the ledger count as the energy of getting the trained model."""

    COMPILE_TRAIN = "compile_train"
    TRAIN = "train"
    GROSS = "gross"

    @property
    def phases(self) -> tuple[str, ...]:
        return {
            CountedPhases.COMPILE_TRAIN: ("compile", "train"),
            CountedPhases.TRAIN: ("train",),
            CountedPhases.GROSS: PHASES,
        }[self]


@dataclass(frozen=True)
class Ledger:
    """Joules and seconds by phase. A phase that did not happen is 0; an unknown energy has no ledger at
    all."""

    energy_j: Mapping[str, float]
    time_s: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, values in (("energy_j", self.energy_j), ("time_s", self.time_s)):
            if set(values) != set(PHASES):
                raise ValueError(f"a ledger's {name} needs exactly the phases {PHASES}, got {tuple(values)}")

    @property
    def gross_energy_j(self) -> float:
        return math.fsum(self.energy_j.values())

    @property
    def gross_time_s(self) -> float:
        return math.fsum(self.time_s.values())

    def counted_energy_j(self, policy: CountedPhases) -> float:
        return math.fsum(self.energy_j[phase] for phase in policy.phases)

    def counted_time_s(self, policy: CountedPhases) -> float:
        return math.fsum(self.time_s[phase] for phase in policy.phases)

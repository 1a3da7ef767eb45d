"""Joules and seconds by phase, and which phases count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What a run is doing, as far as joules are told apart."""

    SETUP = "setup"
    COMPILE = "compile"
    TRAIN = "train"
    EVAL = "eval"
    CHECKPOINT = "checkpoint"
    INFERENCE = "inference"


class CountedPhases(StrEnum):
    """Which phases of the ledger count as the energy of getting the trained model. Generating text with it
    never does: `gross` is everything else."""

    COMPILE_TRAIN = "compile_train"
    TRAIN = "train"
    GROSS = "gross"

    @property
    def phases(self) -> tuple[Phase, ...]:
        return {
            CountedPhases.COMPILE_TRAIN: (Phase.COMPILE, Phase.TRAIN),
            CountedPhases.TRAIN: (Phase.TRAIN,),
            CountedPhases.GROSS: tuple(phase for phase in Phase if phase is not Phase.INFERENCE),
        }[self]


@dataclass(frozen=True)
class Ledger:
    """Joules and seconds by phase. A phase that did not happen is 0; an unknown energy has no ledger at all.
    All phases together are the gross total."""

    energy_j: Mapping[Phase, float]
    time_s: Mapping[Phase, float]

    def __post_init__(self) -> None:
        for name, values in (("energy_j", self.energy_j), ("time_s", self.time_s)):
            if set(values) != set(Phase):
                wanted, found = ", ".join(Phase), ", ".join(values)
                raise ValueError(f"a ledger's {name} needs exactly the phases {wanted}; got {found}")

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

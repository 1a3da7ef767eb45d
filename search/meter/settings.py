"""What a person can set of a meter. Defaults that differ from these live in `conf/meter/`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RooflineSection:
    """Coefficients of `roofline`: picojoules for an arithmetic operation by precision, and for a byte moved.

    `compile_j` is charged for each compilation; null leaves runs that compile without a modelled energy.
    """

    pj_per_flop: dict[str, float] = field(default_factory=dict)
    pj_per_byte: float = 0.0
    compile_j: float | None = None


@dataclass
class MeterSection:
    """`name` ranks: auto takes the best that works here. `also` are read beside it and rank nothing.

    `counted_phases`: compile_train, train or gross. `idle_s`: how long idle power is measured before the
    study. `watts_per_core` and `static_w` are the coefficients of `cpu_time`. `gpus`: indices or UUIDs of the
    GPUs that are charged, null for the one that trains, or for those of a run of several processes.
    `gpu_energy`: auto takes a GPU's counter, or its integrated power where it has none. `simulated` is a
    simulator's program (see conf/meter/simulated.yaml).
    """

    name: str = "auto"
    also: list[str] = field(default_factory=list)
    counted_phases: str = "compile_train"
    idle_s: float = 2.0
    watts_per_core: float = 3.75
    static_w: float = 1.0
    gpus: list[str] | None = None
    gpu_energy: str = "auto"
    allow_module_scope: bool = False
    roofline: RooflineSection = field(default_factory=RooflineSection)
    simulated: dict[str, Any] = field(default_factory=dict)

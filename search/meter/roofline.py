"""Modelled joules: operations times picojoules an operation, and bytes times picojoules a byte.

    energy_j = 1e-12 * (sum over precisions of flops * pj_per_flop + bytes_moved * pj_per_byte)
               + compiles * compile_j

It reads no sensor and no clock: the same work is the same joules on every machine, to the last digit. What a
step or an evaluated token is in operations and bytes is `model.work`'s account; where the batch size or the
context ramps, each step is counted at its own, and where weights are averaged, that is added. Several
processes pass the same sequences through the model as one, and each has its own optimizer's step and its own
weights to read; what they send each other is not modelled. Text that the trained model generates is counted
with the bytes of the keys and values that it keeps. The form is
that of Choi et al., "A roofline model of energy" (IPDPS 2013), without its constant power: time costs nothing
here, so that waiting, launching kernels and an idle machine are free, and idle power is unknown.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from model.generation import Generation
from model.schedule import Plateau, averaged_steps, plateaus
from model.work import (
    UncountedWork,
    Work,
    average_work,
    evaluation_work,
    generation_work,
    plateau_steps,
    setup_work,
    step_work,
)
from search.energy.counter_check import Counter
from search.meter.base import MeterSpec, Reading, WorkDone
from search.meter.settings import RooflineSection
from search.record.flags import Flag
from search.record.meter_info import Kind

PICO = 1e-12
OUTSIDE = "roofline models the work of a run, and there is no run: idle power is not modelled"


class Unpriced(LookupError):
    """Work without a coefficient. The text is one line that names the key to set."""


class RooflineMeter:
    """Reads the `WorkDone` of a run. `clock` (monotonic seconds) only stamps the readings."""

    def __init__(self, section: RooflineSection, clock: Callable[[], float] = time.perf_counter) -> None:
        self._section = section
        self._clock = clock
        self._run: _Run | None = None
        self._problem = OUTSIDE

    @property
    def spec(self) -> MeterSpec:
        return MeterSpec(
            name="roofline",
            kind=Kind.MODELLED,
            counter=Counter(0.0, 0.0, clocked=False),
            devices=(),
            settings=asdict(self._section),
        )

    def start(self, work: WorkDone | None = None) -> None:
        self._run, self._problem = None, OUTSIDE
        if work is None:
            return
        try:
            self._run = _Run.of(self._section, work)
        except (UncountedWork, Unpriced) as error:
            self._problem = str(error)

    def read(self) -> Reading:
        """The joules of the work done since `start`. The first reading of a run is 0 J; setting up the model
        is in those after it."""
        if self._run is None:
            return Reading(self._clock(), None, self._problem)
        try:
            energy_j = self._run.energy_j()
        except (UncountedWork, Unpriced) as error:
            return Reading(self._clock(), None, str(error))
        return Reading(self._clock(), energy_j)

    def stop(self) -> None:
        pass

    def flags(self) -> Sequence[Flag]:
        return ()

    def observed(self) -> Mapping[str, Any]:
        """What one step, after any ramp, is made of: operations by precision, and bytes."""
        if self._run is None:
            return {}
        return {"step_flops": dict(self._run.step.flops), "step_bytes": self._run.step.bytes_moved}

    def close(self) -> None:
        self._run, self._problem = None, "the meter is closed"


@dataclass
class _Run:
    """A run's work and what its parts cost. At the first reading nothing is set up; afterwards all of it
    is."""

    section: RooflineSection
    work: WorkDone
    step: Work
    setup_j: float
    step_j: Mapping[Plateau, float]
    average_j: float
    token_j: float
    compile_j: float | None
    is_read: bool = False
    generations_j: dict[Generation, float] = field(default_factory=dict)

    @staticmethod
    def of(section: RooflineSection, work: WorkDone) -> _Run:
        """Raises UncountedWork or Unpriced."""
        config, vocab_size = work.config, work.vocab_size
        if config.compiles:
            compile_price_j(section.compile_j)
        steps = {one: step_work(config, vocab_size, one.batch_size, one.context) for one in plateaus(config)}
        return _Run(
            section,
            work,
            step_work(config, vocab_size),
            setup_j=modelled_energy_j(section, setup_work(config, vocab_size)),
            step_j={one: modelled_energy_j(section, step) for one, step in steps.items()},
            average_j=modelled_energy_j(section, average_work(config, vocab_size)),
            token_j=modelled_energy_j(section, evaluation_work(config, vocab_size, 1.0)),
            compile_j=section.compile_j,
        )

    def energy_j(self) -> float:
        """Joules of the work done so far. Raises UncountedWork or Unpriced."""
        if not self.is_read:
            self.is_read = True
            return 0.0
        steps = plateau_steps(self.work.config, self.work.steps)
        total_j = self.setup_j + self.work.evaluated_tokens * self.token_j
        total_j += sum(count * self.step_j[plateau] for plateau, count in steps)
        total_j += averaged_steps(self.work.config, self.work.steps) * self.average_j
        if self.work.compiles:
            total_j += self.work.compiles * compile_price_j(self.compile_j)
        for generation, times in self.work.generations.items():
            total_j += times * self._generation_j(generation)
        return total_j

    def _generation_j(self, generation: Generation) -> float:
        if generation not in self.generations_j:
            work = generation_work(self.work.config.model, self.work.vocab_size, generation)
            self.generations_j[generation] = modelled_energy_j(self.section, work)
        return self.generations_j[generation]


def modelled_energy_j(section: RooflineSection, work: Work) -> float:
    """Joules of `work` by the section's coefficients. Raises Unpriced where one is missing or no price."""
    picojoules = work.bytes_moved * _price("pj_per_byte", section.pj_per_byte)
    for precision, flops in work.flops.items():
        picojoules += flops * _price(f"pj_per_flop.{precision}", section.pj_per_flop.get(precision))
    return PICO * picojoules


def compile_price_j(compile_j: float | None) -> float:
    """Joules of one compilation. Raises Unpriced where they are not set."""
    return _price("compile_j", compile_j)


def _price(key: str, value: object) -> float:
    """A coefficient of 0 would make its work free, and win every ranking."""
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise Unpriced(f"the modelled energy is unknown: set meter.roofline.{key} to a number above 0")
    return float(value)

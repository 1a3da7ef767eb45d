"""The simulated counter without a meter's own rules: what reaches the account is what the counter says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.energy.counter_check import Counter
from search.meter.base import MeterSpec, Reading, WorkDone
from search.meter.gpu.library import GpuError
from search.meter.simulated.meter import FakeClock, SimulatedGpu
from search.meter.simulated.program import PowerProfile, Program
from search.record.meter_info import Kind

RESOLUTION_J = 0.001


class BareMeter:
    """Keyword arguments are a `Program`'s, `shown` are the flags."""

    def __init__(
        self,
        profile: PowerProfile,
        clock: FakeClock,
        tick_s: float = 0.0,
        shown: Sequence[str] = (),
        **faults: Any,
    ) -> None:
        self._clock, self._tick_s, self._flags = clock, tick_s, tuple(shown)
        program = Program(steps=profile.steps, tick_s=tick_s, start_j=0.0, **faults)
        self._gpu = SimulatedGpu(program, 0, clock, clock())
        self.works: list[WorkDone | None] = []
        self.stops = 0

    @property
    def counter(self) -> Counter:
        return Counter(self._tick_s, RESOLUTION_J)

    @property
    def spec(self) -> MeterSpec:
        return MeterSpec("simulated", Kind.MODELLED, self.counter, ("simulated",))

    def start(self, work: WorkDone | None = None) -> None:
        self.works.append(work)

    def read(self) -> Reading:
        now_s = self._clock()
        try:
            return Reading(now_s, self._gpu.counter_mj() / 1000.0, temperature_c=self._gpu.temperature_c())
        except GpuError as error:
            return Reading(now_s, None, str(error))

    def stop(self) -> None:
        self.stops += 1

    def flags(self) -> Sequence[str]:
        return self._flags

    def observed(self) -> Mapping[str, Any]:
        return {"clock_sm_mhz": 1500.0}

    def close(self) -> None:
        pass

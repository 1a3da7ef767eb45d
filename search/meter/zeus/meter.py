"""Joules of AMD GPUs, Apple silicon and NVIDIA Jetson, by the zeus package (the extra `zeus`).

zeus answers 0 J where nothing is measured, and leaves counters that reset or stand still to its caller. Here
they are refused, by the rules of our own meters. What is called of zeus was read in its version 0.16.0 and in
zeus-apple-silicon 1.1.0; it sits behind `CumulativeSource`.

What zeus cannot see: other processes on the device and clocks held down. Every run is flagged for both.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from search.energy.counter_check import Counter
from search.energy.power_check import PowerCheck
from search.errors import MeterUnavailable
from search.meter.base import MeterSpec, Reading, WorkDone
from search.meter.cpu.load import CpuLoad, Load, NoLoad
from search.meter.gpu.trace import CounterHistory
from search.meter.sampling import Sampler
from search.meter.zeus.sources import CumulativeSource, ZeusError, amd_gpu, import_zeus, soc_source
from search.record.flags import Flag

# An upper bound. AMD: Linux kept a GPU's metrics for up to 100 ms (Navi, before 5.9), and for 1 ms since.
# Jetson: zeus reads the power every 100 ms. Apple does not say; `python -m search.meter` measures it.
UPDATE_PERIOD_S = 0.1
PROBE_S, PROBE_EVERY_S = 1.0, 0.05

UNSEEN = (Flag.PROCESSES_NOT_IDENTIFIABLE, Flag.THROTTLING_UNKNOWN)


class _Trace:
    """What the source has shown in one run."""

    def __init__(self) -> None:
        self.check = PowerCheck()
        self._history = CounterHistory()

    def take(self, total_mj: float, now_s: float) -> str:
        """Book what the counter gave. Returns why it cannot be trusted, or an empty text."""
        if not math.isfinite(total_mj) or total_mj < 0:
            return f"reads {total_mj} mJ, which no counter can"
        problem = self._history.problem(round(total_mj), now_s)
        if not problem:
            self.check.power.hold(now_s)
            self.check.mark(now_s, total_mj / 1000.0)
        return problem


class ZeusMeter:
    """The counter of one `source`.

    `load` watches the CPU where its joules are in the counter too. `in_background=False` leaves it to the
    caller to call `sample` ten times a second. All methods may be called from several threads.

    Raises MeterUnavailable where the counter cannot be read or stands still for a second.
    """

    def __init__(
        self,
        source: CumulativeSource,
        *,
        load: Load | None = None,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
        in_background: bool = True,
    ) -> None:
        self._source = source
        self._info = source.info
        self._load = load or NoLoad()
        self._clock = clock
        self._lock = threading.Lock()
        self._sampler = Sampler(self.sample) if in_background and self._info.has_power else None
        self._closed = False
        self._stopped = False
        self._trace = _Trace()
        _check_that_it_moves(source, clock, sleep)

    @property
    def spec(self) -> MeterSpec:
        """It has no `gain_error`: nobody knows how far these sources may be off."""
        return MeterSpec(
            name="zeus",
            kind=self._info.kind,
            counter=Counter(UPDATE_PERIOD_S, self._info.resolution_j),
            devices=self._info.devices,
            settings={"source": self._info.name, **self._info.settings},
        )

    def start(self, work: WorkDone | None = None) -> None:
        self._end_sampling()
        with self._lock:
            if self._closed:
                return
            self._stopped = False
            self._trace = _Trace()
            self._load.start()
            self._sample()
        if self._sampler is not None:
            self._sampler.start()

    def sample(self) -> None:
        """Power now. Called ten times a second between `start` and `stop`."""
        with self._lock:
            if not (self._closed or self._stopped):
                self._sample()

    def read(self) -> Reading:
        """The counter, then the clock, then the temperature.

        A counter that fails, reads zero or no number, stands still for over 2 s or went back gives
        `energy_j` None and a `problem`. Going back lasts until the next `start`.
        """
        with self._lock:
            if self._closed:
                return Reading(self._clock(), None, "the meter is closed")
            try:
                total_mj = self._source.total_mj()
            except ZeusError as error:
                return Reading(self._clock(), None, str(error))
            now_s = self._clock()
            problem = self._trace.take(total_mj, now_s)
            temperature_c = self._source.temperature_c()
        if problem:
            problem = f"the energy counter of {self._info.name} {problem}"
            return Reading(now_s, None, problem, temperature_c=temperature_c)
        return Reading(now_s, total_mj / 1000.0, temperature_c=temperature_c)

    def stop(self) -> None:
        self._end_sampling()
        with self._lock:
            self._stopped = True
            self._load.stop()

    def flags(self) -> Sequence[Flag]:
        """processes_not_identifiable, throttling_unknown: always. counter_power_disagree: over 10 s or more,
        counter and integrated power of a GPU differ by over 5 %. sampling_gap, power_implausible: the power
        beside the counter could not be integrated, so it checks nothing. And those of `load`."""
        with self._lock:
            disagree = {Flag.COUNTER_POWER_DISAGREE} if self._trace.check.disagrees else set()
            unchecked = {self._trace.check.power.flag} if self._trace.check.power.flag else set()
            return tuple(sorted({*UNSEEN, *self._load.flags(), *disagree, *unchecked}))

    def observed(self) -> Mapping[str, Any]:
        """Mean power in watts, and for GPUs the counter over the integrated power, since `start`; what `load`
        saw. None is unknown."""
        with self._lock:
            return {
                **self._load.observed(),
                "mean_power_w": self._trace.check.mean_power_w,
                "counter_over_power": self._trace.check.counter_over_power,
            }

    def close(self) -> None:
        self._end_sampling()
        with self._lock:
            self._closed = True

    def _end_sampling(self) -> None:
        """Outside the lock, which the sampler's thread may be waiting for."""
        if self._sampler is not None:
            self._sampler.stop()

    def _sample(self) -> None:
        """A sample that fails is passed over: the power before it holds on, until the gap is too long."""
        if self._info.has_power:
            with suppress(ZeusError):
                power_w = self._source.power_w()
                self._trace.check.power.add(self._clock(), power_w)


def _check_that_it_moves(
    source: CumulativeSource, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """A device that is on draws watts; a counter that stands measures nothing, whatever it reads."""
    first_mj, until_s = source.total_mj(), clock() + PROBE_S
    while source.total_mj() == first_mj:
        if clock() >= until_s:
            raise MeterUnavailable(
                f"the energy counter of {source.info.name} stood at {first_mj / 1000:g} J for {PROBE_S:g} s, "
                "so nothing is measured here: choose another meter, or type meter=auto"
            )
        sleep(PROBE_EVERY_S)


def zeus_meter(
    device_type: str,
    gpu_index: int = 0,
    *,
    rocm: bool,
    allow_module_scope: bool = False,
    load: Callable[[str], Any] = import_zeus,
    environ: Mapping[str, str] = os.environ,
) -> ZeusMeter:
    """The meter of the device that a run uses: the system-on-chip where this is one, else the AMD GPU.

    `device_type`, `gpu_index`: torch's. `rocm`: whether torch was built for AMD GPUs. `load` imports zeus.
    A run on a CPU is never charged for a GPU that stands beside it. Raises MeterUnavailable.
    """
    version = getattr(load("zeus"), "__version__", None)
    try:
        return ZeusMeter(soc_source(load("zeus.device.soc"), version), load=CpuLoad(expect_busy=False))
    except MeterUnavailable as error:
        if device_type != "cuda":
            raise
        no_soc = str(error)
    if not rocm:
        raise MeterUnavailable(f"{no_soc}; the GPU is not AMD's: type meter=nvml")
    amd = load("zeus.device.gpu.amd")
    return ZeusMeter(amd_gpu(amd, gpu_index, environ, allow_module_scope=allow_module_scope, version=version))

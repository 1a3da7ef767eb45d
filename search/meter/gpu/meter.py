"""Joules of GPUs by rules that know no vendor: counters where there are any, integrated power elsewhere.

A counter moves every 20 to 100 ms and covers the whole board, so a run should last seconds, alone on its GPU
and without MIG. A GPU without one is read by its power, sampled ten times a second. Where there is a counter,
a few samples a second check it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from search.energy.counter_check import Counter
from search.errors import MeterUnavailable
from search.meter.base import MeterSpec, Reading, WorkDone
from search.meter.gpu.library import Gpu, GpuError
from search.meter.gpu.source import GPU_ENERGY, GpuSource, gpu_source
from search.meter.gpu.trace import GpuTrace
from search.meter.gpu.watch import GpuWatch
from search.meter.sampling import SAMPLE_EVERY_S, Sampler
from search.record.flags import Flag
from search.record.meter_info import Kind

UPDATE_PERIOD_S = 0.1  # an upper bound: counters and instantaneous power move every 20 to 100 ms by model
AVERAGED_PERIOD_S = 1.0  # what the driver's averaged power covers on Ampere and newer (not GA100)
RESOLUTION_J = 0.001
# A board's own gain, which cancels only on the same board (arXiv 2312.02741). Integrated power is no better:
# it comes from the same sensor.
GAIN_ERROR = 0.05

CHECK_FLAGS_EVERY_S = 1.0
CHECK_EVERY_S = 0.25  # power beside a counter, which it only checks: waking a thread costs more than reading


class GpuMeter:
    """The joules of `gpus`, summed. What each is read by is in the spec.

    `gpu_energy`: "auto" reads a GPU's total-energy counter where it has one and integrates its power
    elsewhere; "counter" refuses a GPU without one; "power" always integrates. `in_background=False` leaves it
    to the caller to call `sample` ten times a second. `counter_period_s` is how often the counters move, at
    least. `by_processes`: a run is charged for, and watched on, as many of `gpus` as processes train it, the
    first ones; otherwise for all. `on_close` lets go of whatever the GPUs hang on.

    All methods may be called from several threads.

    Raises MeterUnavailable where there is no GPU, one is named twice, is in MIG mode, counts a whole module
    and `allow_module_scope` is False, or cannot be read. `on_close` is then left to the caller.
    """

    def __init__(
        self,
        gpus: Sequence[Gpu],
        *,
        name: str = "nvml",
        kind: Kind = Kind.MEASURED,
        clock: Callable[[], float] = time.perf_counter,
        gpu_energy: str = "auto",
        allow_module_scope: bool = False,
        in_background: bool = True,
        counter_period_s: float = UPDATE_PERIOD_S,
        by_processes: bool = False,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        if gpu_energy not in GPU_ENERGY:
            raise ValueError(f"gpu_energy is one of {', '.join(GPU_ENERGY)}, got {gpu_energy!r}")
        uuids = [gpu.uuid for gpu in gpus]
        if not uuids or len(set(uuids)) < len(uuids):
            raise MeterUnavailable(
                f"a GPU meter needs one or more different GPUs, got {', '.join(uuids) or 'none'}"
            )
        self._sources = tuple(gpu_source(gpu, gpu_energy, allow_module_scope) for gpu in gpus)
        self._clock = clock
        self._by_processes = by_processes
        self._on_close = on_close
        self._lock = threading.Lock()
        integrated = any(source.read_by != "total_energy_counter" for source in self._sources)
        every_s = SAMPLE_EVERY_S if integrated else CHECK_EVERY_S
        self._sampler = Sampler(self.sample, every_s) if in_background else None
        self._spec = _spec(self._sources, name, kind, gpu_energy, counter_period_s)
        self._closed = False
        self._run = _Run(self._sources)

    @property
    def spec(self) -> MeterSpec:
        return self._spec

    def start(self, work: WorkDone | None = None) -> None:
        """A run begins: forget the flags and the trouble of the one before, check once, and sample from now
        on."""
        self._end_sampling()
        with self._lock:
            if self._closed:
                return
            asked_w = None if work is None else work.config.device.power_limit_w
            self._run = _Run(self._charged(work), asked_w)
            self._sample_power()
            self._check()
        if self._sampler is not None:
            self._sampler.start()

    def sample(self) -> None:
        """Power now, and once a second clocks and whatever makes a flag. Called ten times a second between
        `start` and `stop`."""
        with self._lock:
            if self._closed or self._run.stopped:
                return
            now_s = self._sample_power()
            if now_s - self._run.checked_s >= CHECK_FLAGS_EVERY_S:
                self._check()
                self._run.watch.sample_clocks()

    def read(self) -> Reading:
        """Every counter (or power), then the clock, then the temperatures.

        A counter that fails, reads zero, stands still for over 2 s or went back gives `energy_j` None and a
        `problem`; so does a power that fails, is not positive, or was not sampled for 2 s. What makes the
        joules since `start` unknown lasts until the next `start`: going back, and a broken integral.
        """
        with self._lock:
            if self._closed:
                return Reading(self._clock(), None, "the meter is closed")
            traces = self._run.traces
            try:
                values = [trace.source.read() for trace in traces]
            except GpuError as error:
                return Reading(self._clock(), None, str(error))
            now_s = self._clock()
            taken = [trace.take(value, now_s) for trace, value in zip(traces, values, strict=True)]
            problem = "; ".join(filter(None, taken))
            energy_j = None if problem else sum(trace.energy_j for trace in traces)
            if not problem:
                for trace in traces:
                    trace.check.mark(now_s, trace.energy_j)
            temperatures_c = [trace.source.gpu.temperature_c() for trace in traces]
        warmest_c = max((t for t in temperatures_c if t is not None), default=None)
        return Reading(now_s, energy_j, problem, temperature_c=warmest_c)

    def stop(self) -> None:
        """The run has ended: no more samples, one last check for flags. May be called twice."""
        self._end_sampling()
        with self._lock:
            if not (self._run.stopped or self._closed):
                self._check()
            self._run.stopped = True

    def flags(self) -> Sequence[Flag]:
        """Sorted names of what was seen between `start` and `stop`: at both, and about once a second between.

        foreign_process: another process computes on a GPU. processes_not_identifiable: the driver's list is
        not empty and never had one of ours, as in containers, where it holds the host's numbers, or there is
        no list. throttled_thermal, throttled_power_brake, throttled_hardware: clocks held down, seen in a
        check or counted by the driver for over 1 % of the window. throttling_unknown: this GPU does not say.
        power_capped: held down by the power limit, as heavy work on a healthy GPU may be; not where the run
        has set the limit itself. power_limit_lowered: the limit is below the board's default, or below what
        the run has set. counter_power_disagree: over 10 s or
        more, a counter and its integrated power differ by over 5 %; many boards give power as an average over
        1 s, so work in short bursts can bring this about with a sound counter. sampling_gap,
        power_implausible: what was integrated beside a counter is unknown, so it checks nothing.
        """
        with self._lock:
            if not (self._run.stopped or self._closed):
                self._check()
            flags = self._run.watch.flags()
            if any(trace.disagrees for trace in self._run.traces):
                flags.add(Flag.COUNTER_POWER_DISAGREE)
            flags |= {trace.check.power.flag for trace in self._run.traces if trace.check.power.flag}
            return tuple(sorted(flags))

    def observed(self) -> Mapping[str, Any]:
        """Clocks, limits and seconds held down since `start`; from its first good reading to the last, mean
        power, joules by GPU, and counters against integrated power.

        `power_limit_w` and `mean_power_w` are summed over the GPUs, `violation_s` is the worst GPU's, and
        `counter_over_power` that of the GPU whose counter and power differ most. None is unknown.
        `container_sees_processes` is whether the driver lists processes by our numbers.
        """
        with self._lock:
            traces = self._run.traces
            energy_j = _sum_known([trace.check.spent_j for trace in traces])
            window_s = traces[0].check.window_s
            ratios = [r for trace in traces if (r := trace.counter_over_power) is not None]
            return {
                **self._run.watch.observed(),
                "mean_power_w": energy_j / window_s if energy_j is not None and window_s else None,
                "energy_by_gpu_j": {trace.source.gpu.uuid: trace.check.spent_j for trace in traces},
                "power_integral_j": _sum_known([trace.check.integrated_j for trace in traces]),
                "counter_over_power": max(ratios, key=lambda ratio: abs(ratio - 1), default=None),
            }

    def close(self) -> None:
        """Lets go of the GPUs; a later `read` gives a problem. May be called twice."""
        self._end_sampling()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._on_close()

    def _end_sampling(self) -> None:
        """Outside the lock, which the sampler's thread may be waiting for."""
        if self._sampler is not None:
            self._sampler.stop()

    def _charged(self, work: WorkDone | None) -> Sequence[GpuSource]:
        """The GPUs of a run; all of them where there is none (idle power)."""
        if not self._by_processes or work is None:
            return self._sources
        return self._sources[: work.config.train.processes]

    def _sample_power(self) -> float:
        """A sample that fails is passed over: the power before it holds on, until the gap is too long."""
        samples: list[tuple[GpuTrace, int]] = []
        for trace in self._run.traces:
            with suppress(GpuError):
                samples.append((trace, trace.source.gpu.power_mw()))
        now_s = self._clock()
        for trace, power_mw in samples:
            trace.check.power.add(now_s, power_mw / 1000.0)
        return now_s

    def _check(self) -> None:
        self._run.checked_s = self._clock()
        self._run.watch.check(self._run.checked_s)


class _Run:
    """What is forgotten when the next run begins."""

    def __init__(self, sources: Sequence[GpuSource], power_limit_w: float | None = None) -> None:
        self.traces = tuple(GpuTrace(source) for source in sources)
        self.watch = GpuWatch([source.gpu for source in sources], power_limit_w)
        self.checked_s = float("-inf")
        self.stopped = False


def _spec(
    sources: Sequence[GpuSource], name: str, kind: Kind, gpu_energy: str, counter_period_s: float
) -> MeterSpec:
    """The slowest of what the GPUs are read by decides how often their sum moves."""
    periods_s = {
        "total_energy_counter": counter_period_s,
        "instantaneous_power": UPDATE_PERIOD_S,
        "averaged_power": AVERAGED_PERIOD_S,
    }
    return MeterSpec(
        name=name,
        kind=kind,
        counter=Counter(max(periods_s[source.read_by] for source in sources), RESOLUTION_J),
        devices=tuple(source.gpu.uuid for source in sources),
        settings={
            "gpu_energy": gpu_energy,
            "gpus": [
                {
                    **source.gpu.describe(),
                    "read_by": source.read_by,
                    "scope": "module" if source.counts_a_module else "gpu",
                }
                for source in sources
            ],
        },
        gain_error=GAIN_ERROR if kind is Kind.MEASURED else None,
    )


def _sum_known(values: Sequence[float | None]) -> float | None:
    """None where one of them is unknown: a sum without it would be too small."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None

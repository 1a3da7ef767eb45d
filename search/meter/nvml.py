"""Measured joules of NVIDIA GPUs: NVML's total-energy counter, in millijoules since the driver was loaded.

The counter moves every 20 to 100 ms and covers the whole board, so a window wants seconds, an exclusive GPU,
and no MIG. GPUs without a counter (before Volta, most virtual GPUs) are refused: integrating their power is
not written yet. On Grace superchips the counter covers the module, CPU and memory included, and is refused
unless opted in.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml

from search.meter.base import MeterSpec, MeterUnavailable, Reading
from search.meter.nvml_devices import NvmlError, ask, ask_or_none, nvml_session, pci_bus_id
from search.trial import Kind

UPDATE_PERIOD_S = 0.1  # an upper bound: 20 to 100 ms by model
FROZEN_AFTER_S = 2.0  # an idle GPU draws watts, so its counter moves at every update
OBSERVE_EVERY_S = 1.0  # how often `read` looks for flags

MODULE_SCOPE_NAMES = ("GH200", "GB200", "GB300")  # a superchip's counter adds its Grace CPU; H200 is not one

_CLOCK_FLAGS = (
    (pynvml.nvmlClocksEventReasonSwThermalSlowdown, "throttled_thermal"),
    (pynvml.nvmlClocksEventReasonHwThermalSlowdown, "throttled_thermal"),
    (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, "throttled_power_brake"),
    (pynvml.nvmlClocksEventReasonHwSlowdown, "throttled_hardware"),
    (pynvml.nvmlClocksEventReasonSwPowerCap, "power_capped"),
)


class NvmlMeter:
    """The energy counters of `device_ids` (full NVML UUIDs), summed.

    `synchronize` is called before every reading, so that the work of a window is finished inside it; a
    RuntimeError from it becomes the reading's problem. Where a thread samples between the boundaries, give a
    hook that waits only at the boundaries: waiting for the GPU from a second thread breaks CUDA graph capture
    in the first.

    `read` may be called from several threads. `read`, `flags` and `start` never raise.

    Raises MeterUnavailable where NVML does not open, a GPU is missing, has no counter, is in MIG mode, or
    counts a whole module and `allow_module_scope` is False; ValueError for no device or the same one twice.
    """

    def __init__(
        self,
        device_ids: Sequence[str],
        *,
        clock: Callable[[], float] = time.perf_counter,
        synchronize: Callable[[], None] = lambda: None,
        allow_module_scope: bool = False,
    ) -> None:
        if not device_ids or len(set(device_ids)) < len(device_ids):
            raise ValueError(f"expected the UUIDs of one or more different GPUs, got {list(device_ids)}")
        self._clock = clock
        self._synchronize = synchronize
        self._lock = threading.Lock()
        with ExitStack() as stack:
            stack.enter_context(nvml_session())
            self._gpus = tuple(_open(uuid, allow_module_scope) for uuid in device_ids)
            self._spec = _spec(self._gpus)
            self._session = stack.pop_all()
        self._forget()

    @property
    def spec(self) -> MeterSpec:
        return self._spec

    def start(self) -> None:
        """A run begins: forget the flags and the counter trouble of the one before, and look once."""
        with self._lock:
            self._forget()
            self._observe(self._clock())

    def read(self) -> Reading:
        """Synchronise, read every counter, read the clock; temperature and flags come after.

        A counter that fails, reads zero, stands still for over 2 s or went back gives `energy_j` None and a
        `problem`. Going back lasts until the next `start`: no window of this run can be trusted to lie on one
        side.
        """
        try:
            self._synchronize()
        except RuntimeError as error:
            first_line = str(error).partition("\n")[0]
            return Reading(self._clock(), None, problem=f"the GPU could not be synchronised: {first_line}")
        with self._lock:
            try:
                counters_mj = [gpu.counter_mj() for gpu in self._gpus]
            except NvmlError as error:
                return Reading(self._clock(), None, problem=str(error))
            now_s = self._clock()
            problems = [
                f"the energy counter of {gpu.uuid} {problem}"
                for gpu, history, counter_mj in zip(self._gpus, self._histories, counters_mj, strict=True)
                if (problem := history.problem(counter_mj, now_s))
            ]
            if now_s - self._observed_s >= OBSERVE_EVERY_S:
                self._observe(now_s)
            temperatures_c = [gpu.temperature_c() for gpu in self._gpus]
        return Reading(
            now_s,
            energy_j=None if problems else sum(counters_mj) / 1000.0,
            problem="; ".join(problems),
            temperature_c=max((t for t in temperatures_c if t is not None), default=None),
        )

    def flags(self) -> Sequence[str]:
        """Sorted identifiers of what was seen since `start`: then, now, and about once a second between.

        foreign_process: another process computes on a GPU. processes_not_identifiable: NVML's list is not
        empty and has none of ours, as in containers, where it holds the host's numbers (or before our first
        use of the GPU), or there is no list. throttled_thermal, throttled_power_brake, throttled_hardware:
        clocks held down. throttling_unknown: this GPU does not say. power_capped: held down by the power
        limit, as heavy work on a healthy GPU may be. power_limit_lowered: the limit is below the board's
        default.
        """
        with self._lock:
            self._observe(self._clock())
            return tuple(sorted(self._flags))

    def close(self) -> None:
        """Lets go of NVML; a later `read` gives a problem. May be called twice."""
        self._session.close()

    def _forget(self) -> None:
        self._flags: set[str] = set()
        self._histories = tuple(_CounterHistory() for _ in self._gpus)
        self._observed_s = float("-inf")

    def _observe(self, now_s: float) -> None:
        self._observed_s = now_s
        for gpu in self._gpus:
            self._flags.update(gpu.clock_flags())
            self._flags.update(gpu.power_flags())
        if "foreign_process" not in self._flags:
            self._flags.update(_process_flags([gpu.processes() for gpu in self._gpus]))


class _CounterHistory:
    """What one GPU's counter has shown in this run: in a sum over GPUs, one that resets or stands still is
    hidden."""

    def __init__(self) -> None:
        self._last_mj: int | None = None
        self._moved_s = 0.0
        self._went_back = ""

    def problem(self, counter_mj: int, now_s: float) -> str:
        """Why this value cannot be trusted, or an empty text."""
        if self._last_mj is not None and counter_mj < self._last_mj:
            self._went_back = (
                f"went back from {self._last_mj} to {counter_mj} mJ (driver reloaded, or GPU reset?)"
            )
        if counter_mj != self._last_mj:
            self._last_mj, self._moved_s = counter_mj, now_s
        if self._went_back:
            return self._went_back
        if counter_mj == 0:
            return "reads zero"
        still_s = now_s - self._moved_s
        return f"has not moved for {still_s:.1f} s" if still_s > FROZEN_AFTER_S else ""


@dataclass(frozen=True)
class _Gpu:
    """An open GPU. Its methods read NVML: `counter_mj` raises NvmlError, the others say what could not be
    had."""

    uuid: str
    name: str
    handle: Any

    def counter_mj(self) -> int:
        """Millijoules since the driver was loaded."""
        doing = f"read the energy counter of {self.uuid}"
        return int(ask(doing, pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handle))

    def temperature_c(self) -> float | None:
        sensor = pynvml.NVML_TEMPERATURE_GPU
        value = ask_or_none(pynvml.nvmlDeviceGetTemperature, self.handle, sensor)
        return None if value is None else float(value)

    def processes(self) -> set[int] | None:
        """PIDs that compute here, as NVML numbers them; None where there is no list."""
        listed = ask_or_none(pynvml.nvmlDeviceGetComputeRunningProcesses_v3, self.handle)
        return None if listed is None else {int(process.pid) for process in listed}

    def clock_flags(self) -> set[str]:
        reasons = ask_or_none(pynvml.nvmlDeviceGetCurrentClocksEventReasons, self.handle)
        if reasons is None:
            return {"throttling_unknown"}
        return {flag for bit, flag in _CLOCK_FLAGS if reasons & bit}

    def power_flags(self) -> set[str]:
        limit_w, default_w = self.power_limits_w()
        lowered = limit_w is not None and default_w is not None and limit_w < default_w
        return {"power_limit_lowered"} if lowered else set()

    def power_limits_w(self) -> tuple[float | None, float | None]:
        """The power limit in force and the board's default, in watts."""
        limit_mw = ask_or_none(pynvml.nvmlDeviceGetPowerManagementLimit, self.handle)
        default_mw = ask_or_none(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, self.handle)
        return (
            None if limit_mw is None else limit_mw / 1000.0,
            None if default_mw is None else default_mw / 1000.0,
        )

    @property
    def counts_a_module(self) -> bool:
        return any(name in self.name for name in MODULE_SCOPE_NAMES)


def _open(uuid: str, allow_module_scope: bool) -> _Gpu:
    """Raises MeterUnavailable unless the counter of this GPU is there and stands for this GPU alone."""
    if uuid.startswith("MIG-"):
        raise MeterUnavailable(
            f"{uuid} is a MIG slice, and the energy counter is the whole GPU's: use a whole GPU"
        )
    handle = ask(f"find {uuid}", pynvml.nvmlDeviceGetHandleByUUID, uuid)
    gpu = _Gpu(uuid, str(ask(f"name {uuid}", pynvml.nvmlDeviceGetName, handle)), handle)
    if _mig_enabled(gpu):
        raise MeterUnavailable(
            f"{uuid} ({gpu.name}) is in MIG mode, where its energy counter adds all slices: "
            "disable it (`sudo nvidia-smi -mig 0`) or use another GPU"
        )
    if gpu.counts_a_module and not allow_module_scope:
        raise MeterUnavailable(
            f"the energy counter of {uuid} ({gpu.name}) covers the whole module, CPU and memory included: "
            "opt in with allow_module_scope=true, and compare such numbers only with each other"
        )
    try:
        counter_mj = gpu.counter_mj()
    except NvmlError as error:
        if not error.unsupported:
            raise
        raise MeterUnavailable(
            f"{uuid} ({gpu.name}) has no energy counter (GPUs have one from Volta on, virtual ones mostly "
            "not): choose another meter, or meter=auto"
        ) from error
    if counter_mj == 0:
        raise MeterUnavailable(f"the energy counter of {uuid} ({gpu.name}) reads zero: choose another meter")
    return gpu


def _mig_enabled(gpu: _Gpu) -> bool:
    try:
        current, _pending = ask(f"read the MIG mode of {gpu.uuid}", pynvml.nvmlDeviceGetMigMode, gpu.handle)
    except NvmlError as error:
        if error.unsupported:
            return False
        raise
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)


def _spec(gpus: Sequence[_Gpu]) -> MeterSpec:
    driver = ask("read the driver's version", pynvml.nvmlSystemGetDriverVersion)
    return MeterSpec(
        name="nvml",
        kind=Kind.MEASURED,
        update_period_s=UPDATE_PERIOD_S,
        resolution_j=0.001,
        devices=tuple(gpu.uuid for gpu in gpus),
        settings={
            "counter": "total_energy",
            "driver_version": driver,
            "gpus": [_settings(gpu) for gpu in gpus],
        },
    )


def _settings(gpu: _Gpu) -> dict[str, Any]:
    memory = ask_or_none(pynvml.nvmlDeviceGetMemoryInfo, gpu.handle)
    limit_w, default_w = gpu.power_limits_w()
    return {
        "uuid": gpu.uuid,
        "name": gpu.name,
        "pci_bus_id": pci_bus_id(gpu.handle, f"describe {gpu.uuid}"),
        "memory_bytes": None if memory is None else int(memory.total),
        "power_limit_w": limit_w,
        "default_power_limit_w": default_w,
        "scope": "module" if gpu.counts_a_module else "gpu",
    }


def _process_flags(lists: Sequence[set[int] | None]) -> set[str]:
    """What the process lists of a run's GPUs say. A process of ours on any of them shows that NVML numbers
    them as we do; in a container, a host's number that happens to be one of ours would be taken for it."""
    listed = {pid for pids in lists if pids is not None for pid in pids}
    ours = {pid for pid in listed if _is_ours(pid)}
    flags = set()
    if ours and listed != ours:
        flags.add("foreign_process")
    if None in lists or (listed and not ours):
        flags.add("processes_not_identifiable")
    return flags


def _is_ours(pid: int) -> bool:
    """Whether `pid` is this process or descends from it. Walks up from `pid`, which is cheaper than listing
    down."""
    own = os.getpid()
    try:
        return pid == own or any(parent.pid == own for parent in psutil.Process(pid).parents())
    except psutil.Error:
        return False

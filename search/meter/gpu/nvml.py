"""NVIDIA GPUs as NVML shows them: the boundary at which its calls and errors become ours. The rules are in
`meter`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pynvml

from search.errors import MeterUnavailable
from search.meter.gpu.library import GpuError
from search.meter.gpu.meter import GpuMeter
from search.meter.gpu.nvml_devices import ask, ask_or_none, nvml_session, pci_bus_id
from search.record.flags import Flag

MODULE_SCOPE_NAMES = ("GH200", "GB200", "GB300")  # a superchip's counter adds its Grace CPU; H200 is not one

_CLOCK_FLAGS = (
    (pynvml.nvmlClocksEventReasonSwThermalSlowdown, Flag.THROTTLED_THERMAL),
    (pynvml.nvmlClocksEventReasonHwThermalSlowdown, Flag.THROTTLED_THERMAL),
    (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, Flag.THROTTLED_POWER_BRAKE),
    (pynvml.nvmlClocksEventReasonHwSlowdown, Flag.THROTTLED_HARDWARE),
    (pynvml.nvmlClocksEventReasonSwPowerCap, Flag.POWER_CAPPED),
)
_VIOLATIONS = {"power": pynvml.NVML_PERF_POLICY_POWER, "thermal": pynvml.NVML_PERF_POLICY_THERMAL}
_CLOCKS = {"sm": pynvml.NVML_CLOCK_SM, "memory": pynvml.NVML_CLOCK_MEM}

# In the GPU's scope: on a superchip the same field also has a module's. Its type varies by driver.
_POWER_FIELD = (pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_POWER_SCOPE_GPU)
_FIELD_VALUE = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
}


def nvml_meter(
    uuids: Sequence[str],
    *,
    gpu_energy: str = "auto",
    allow_module_scope: bool = False,
    clock: Callable[[], float] = time.perf_counter,
    in_background: bool = True,
    by_processes: bool = False,
) -> GpuMeter:
    """A meter of the GPUs with these full NVML UUIDs. It keeps NVML open until it is closed.

    Raises MeterUnavailable where NVML does not open, a GPU is missing, or `GpuMeter` refuses one.
    """
    session = ExitStack()
    session.enter_context(nvml_session())
    try:
        return GpuMeter(
            open_gpus(uuids),
            clock=clock,
            gpu_energy=gpu_energy,
            allow_module_scope=allow_module_scope,
            in_background=in_background,
            by_processes=by_processes,
            on_close=session.close,
        )
    except BaseException:
        session.close()
        raise


def open_gpus(uuids: Sequence[str]) -> tuple[NvmlGpu, ...]:
    """The GPUs with these full UUIDs, inside a session of NVML. Raises MeterUnavailable where one is missing
    or a MIG slice."""
    return tuple(_open(uuid) for uuid in uuids)


def _open(uuid: str) -> NvmlGpu:
    if uuid.startswith("MIG-"):
        raise MeterUnavailable(
            f"{uuid} is a MIG slice, and the energy counter is the whole GPU's: use a whole GPU"
        )
    handle = ask(f"find {uuid}", pynvml.nvmlDeviceGetHandleByUUID, uuid)
    return NvmlGpu(
        uuid=uuid,
        name=str(ask(f"name {uuid}", pynvml.nvmlDeviceGetName, handle)),
        handle=handle,
        instantaneous=_has_instantaneous_power(uuid, handle),
    )


def _has_instantaneous_power(uuid: str, handle: Any) -> bool:
    try:
        return _instantaneous_mw(uuid, handle) > 0
    except GpuError:
        return False


def _instantaneous_mw(uuid: str, handle: Any) -> int:
    """Raises GpuError where the call fails, or the call answers and the field does not."""
    doing = f"read the power of {uuid}"
    field = ask(doing, pynvml.nvmlDeviceGetFieldValues, handle, [_POWER_FIELD])[0]
    ask(doing, _check, field.nvmlReturn)
    if field.valueType not in _FIELD_VALUE:
        raise GpuError(f"NVML cannot {doing}: its value is of an unknown type", unsupported=True)
    return int(getattr(field.value, _FIELD_VALUE[field.valueType]))


def _check(returned: int) -> None:
    if returned != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(returned)


@dataclass(frozen=True)
class NvmlGpu:
    """An open GPU, for `GpuMeter`. `instantaneous`: whether it has the field for power at this moment.

    Which of the two powers it gives is settled when it is opened: a sum must not mix them.
    """

    uuid: str
    name: str
    handle: Any
    instantaneous: bool

    @property
    def counts_a_module(self) -> bool:
        return any(name in self.name for name in MODULE_SCOPE_NAMES)

    def counter_mj(self) -> int:
        doing = f"read the energy counter of {self.uuid}"
        return int(ask(doing, pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handle))

    def power_mw(self) -> int:
        if self.instantaneous:
            return _instantaneous_mw(self.uuid, self.handle)
        return int(ask(f"read the power of {self.uuid}", pynvml.nvmlDeviceGetPowerUsage, self.handle))

    def power_is_instantaneous(self) -> bool:
        return self.instantaneous

    def mig_enabled(self) -> bool:
        try:
            doing = f"read the MIG mode of {self.uuid}"
            current, _pending = ask(doing, pynvml.nvmlDeviceGetMigMode, self.handle)
        except GpuError as error:
            if error.unsupported:
                return False
            raise
        return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)

    def temperature_c(self) -> float | None:
        sensor = pynvml.NVML_TEMPERATURE_GPU
        value = ask_or_none(pynvml.nvmlDeviceGetTemperature, self.handle, sensor)
        return None if value is None else float(value)

    def processes(self) -> frozenset[int] | None:
        listed = ask_or_none(pynvml.nvmlDeviceGetComputeRunningProcesses_v3, self.handle)
        return None if listed is None else frozenset(int(process.pid) for process in listed)

    def throttle_flags(self) -> frozenset[Flag] | None:
        reasons = ask_or_none(pynvml.nvmlDeviceGetCurrentClocksEventReasons, self.handle)
        return None if reasons is None else frozenset(flag for bit, flag in _CLOCK_FLAGS if reasons & bit)

    def violation_s(self) -> Mapping[str, float] | None:
        """NVML gives nanoseconds."""
        held = {
            cause: ask_or_none(pynvml.nvmlDeviceGetViolationStatus, self.handle, policy)
            for cause, policy in _VIOLATIONS.items()
        }
        return {cause: one.violationTime / 1e9 for cause, one in held.items() if one is not None} or None

    def clocks_mhz(self) -> Mapping[str, float] | None:
        clocks = {
            name: ask_or_none(pynvml.nvmlDeviceGetClockInfo, self.handle, clock)
            for name, clock in _CLOCKS.items()
        }
        return {name: float(mhz) for name, mhz in clocks.items() if mhz is not None} or None

    def power_limits_w(self) -> tuple[float | None, float | None]:
        limit_mw = ask_or_none(pynvml.nvmlDeviceGetPowerManagementLimit, self.handle)
        default_mw = ask_or_none(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, self.handle)
        return (
            None if limit_mw is None else limit_mw / 1000.0,
            None if default_mw is None else default_mw / 1000.0,
        )

    def describe(self) -> Mapping[str, Any]:
        memory = ask_or_none(pynvml.nvmlDeviceGetMemoryInfo, self.handle)
        limit_w, default_w = self.power_limits_w()
        return {
            "uuid": self.uuid,
            "name": self.name,
            "pci_bus_id": pci_bus_id(self.handle, f"describe {self.uuid}"),
            "memory_bytes": None if memory is None else int(memory.total),
            "power_limit_w": limit_w,
            "default_power_limit_w": default_w,
            "driver_version": ask_or_none(pynvml.nvmlSystemGetDriverVersion),
        }

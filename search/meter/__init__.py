"""Energy meters: a file each, a row here; `choose` takes the one a study asked for, or the best that
works."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.meter.base import Meter, MeterSpec, MeterUnavailable, Reading
from search.meter.cpu_time import CpuTimeMeter
from search.meter.simulated import PowerProfile, SimulatedMeter

if TYPE_CHECKING:  # torch stays out of processes that only look at the table
    from search.config import MeterSection
    from search.device import Device

__all__ = ["METERS", "Meter", "MeterSpec", "MeterUnavailable", "Reading", "choose"]


@dataclass(frozen=True)
class MeterRow:
    """`build` raises MeterUnavailable where the meter cannot work. `automatic`: whether meter=auto may take
    it."""

    build: Callable[[MeterSection, Device], Meter]
    automatic: bool = True


def _nvml(section: MeterSection, device: Device) -> Meter:
    from search.meter.nvml import NvmlMeter

    return NvmlMeter(nvml_uuids(device))


def nvml_uuids(device: Device) -> tuple[str, ...]:
    """The GPUs that a run is charged for: the one it trains on; on a CPU run with meter=nvml, the first
    visible."""
    from search.meter.nvml_devices import inventory, resolve_devices

    wanted = (device.gpu,) if device.gpu is not None else ("0",)
    gpus = resolve_devices(
        inventory(), os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER"), wanted
    )
    return tuple(gpu.uuid for gpu in gpus)


def _cpu_time(section: MeterSection, device: Device) -> Meter:
    return CpuTimeMeter(section.watts_per_core, section.static_w)


def _simulated(section: MeterSection, device: Device) -> Meter:
    return SimulatedMeter(PowerProfile(((0.0, section.simulated_w),)))


# In the order in which meter=auto tries them: measured first.
METERS: Mapping[str, MeterRow] = {
    "nvml": MeterRow(_nvml),
    "cpu_time": MeterRow(_cpu_time),
    "simulated": MeterRow(_simulated, automatic=False),
}


def choose(section: MeterSection, device: Device) -> tuple[Meter, str]:
    """The meter, and why it was taken. Raises MeterUnavailable where none can measure this device."""
    if section.name != "auto":
        return METERS[section.name].build(section, device), "named in the configuration"
    refused: list[str] = []
    for name, row in METERS.items():
        if not row.automatic:
            continue
        problem = _unsuitable(name, device)
        if not problem:
            try:
                meter = row.build(section, device)
                return meter, "; ".join(["the best meter that works here", *refused])
            except MeterUnavailable as error:
                problem = str(error)
        refused.append(f"{name}: {problem}")
    raise MeterUnavailable(f"no meter can measure {device.name}: {'; '.join(refused)}")


def _unsuitable(name: str, device: Device) -> str:
    if name == "nvml" and device.type != "cuda":
        return "the run does not use a GPU"
    if name == "cpu_time" and device.type == "cuda":
        return "it does not see the GPU's energy"
    return ""

"""The table of meters, a row for each file, and which of them read a study's runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search.errors import MeterUnavailable
from search.meter.base import Meter, MeteredDevice
from search.meter.settings import MeterSection
from search.record.meter_info import MeterInfo


@dataclass(frozen=True)
class MeterRow:
    """`build` raises MeterUnavailable where the meter cannot work, and imports what it needs when called.

    `device_types`: those whose energy it sees, for meter=auto; empty where auto must never take it.
    """

    build: Callable[[MeterSection, MeteredDevice], Meter]
    summary: str
    device_types: frozenset[str] = frozenset()


def _nvml(section: MeterSection, device: MeteredDevice) -> Meter:
    from search.meter.gpu.nvml import nvml_meter

    return nvml_meter(
        charged_gpus(section, device),
        gpu_energy=section.gpu_energy,
        allow_module_scope=section.allow_module_scope,
        by_processes=section.gpus is None and device.type == "cuda",
    )


def charged_gpus(section: MeterSection, device: MeteredDevice) -> tuple[str, ...]:
    """UUIDs of the GPUs that a run may be charged for: those that the section names, else those that train,
    in the order of their ranks; where the CPU trains, the first that is visible."""
    from search.meter.gpu.nvml_devices import visible_uuids

    trains = device.gpus or ("0",)
    try:
        return visible_uuids(trains if section.gpus is None else tuple(section.gpus))
    except ValueError as error:
        raise MeterUnavailable(f"meter.gpus: {error}") from error


def _rapl(section: MeterSection, device: MeteredDevice) -> Meter:
    from search.meter.cpu.load import CpuLoad
    from search.meter.cpu.rapl import RaplMeter
    from search.meter.cpu.sysfs import SysfsPowercap

    load = CpuLoad(expect_busy=device.type == "cpu", siblings=device.siblings)
    return RaplMeter(SysfsPowercap(), load=load)


def _zeus(section: MeterSection, device: MeteredDevice) -> Meter:
    from search.meter.zeus.meter import zeus_meter

    if len(device.gpus) > 1:
        raise MeterUnavailable(
            f"zeus reads one GPU, and runs of this study train on up to {len(device.gpus)}; type "
            "train.processes=1 or meter=nvml"
        )
    return zeus_meter(
        device.type, device.index, rocm=device.rocm, allow_module_scope=section.allow_module_scope
    )


def _cpu_time(section: MeterSection, device: MeteredDevice) -> Meter:
    from search.meter.cpu.cpu_time import CpuTimeMeter
    from search.meter.cpu.load import CpuLoad

    load = CpuLoad(expect_busy=device.type == "cpu", siblings=device.siblings)
    return CpuTimeMeter(section.watts_per_core, section.static_w, load=load)


def _roofline(section: MeterSection, device: MeteredDevice) -> Meter:
    from search.meter.roofline import RooflineMeter

    return RooflineMeter(section.roofline)


def _simulated(section: MeterSection, device: MeteredDevice) -> Meter:
    from search.meter.simulated.meter import simulated_meter
    from search.meter.simulated.program import Program

    return simulated_meter(Program.from_mapping(section.simulated))


CPU, GPU = frozenset({"cpu"}), frozenset({"cuda"})

# In the order in which meter=auto tries them: measured first.
METERS: Mapping[str, MeterRow] = {
    "nvml": MeterRow(_nvml, "the energy counter of NVIDIA GPUs", GPU),
    "rapl": MeterRow(_rapl, "the package counters of Intel and AMD processors", CPU),
    "zeus": MeterRow(_zeus, "AMD GPUs, Apple silicon and Jetson, by the zeus package", CPU | GPU),
    "cpu_time": MeterRow(_cpu_time, "busy core-seconds times watts", CPU),
    "roofline": MeterRow(_roofline, "operations and bytes times picojoules"),
    "simulated": MeterRow(_simulated, "a machine that is not there"),
}


@dataclass(frozen=True)
class ChosenMeter:
    """An open meter, and what the record says of it."""

    meter: Meter
    info: MeterInfo

    @staticmethod
    def of(meter: Meter, because: str) -> ChosenMeter:
        spec = meter.spec
        described = {
            "devices": list(spec.devices),
            "update_period_s": spec.counter.update_period_s,
            "gain_error": spec.gain_error,
        }
        return ChosenMeter(meter, MeterInfo(spec.name, spec.kind, because, dict(spec.settings) | described))


def choose(section: MeterSection, device: MeteredDevice) -> tuple[ChosenMeter, ...]:
    """The meters that read every run of a study: the one that ranks first, then those of `meter.also`.

    Raises MeterUnavailable where one of them cannot work, or none can measure this device.
    """
    second = (METERS[name].build(section, device) for name in section.also)
    return _ranking(section, device), *(ChosenMeter.of(meter, "named in meter.also") for meter in second)


def _ranking(section: MeterSection, device: MeteredDevice) -> ChosenMeter:
    if section.name != "auto":
        return ChosenMeter.of(METERS[section.name].build(section, device), "named in the configuration")
    refused: list[str] = []
    for name, row in METERS.items():
        if device.type not in row.device_types:
            continue
        try:
            meter = row.build(section, device)
        except MeterUnavailable as error:
            refused.append(f"{name}: {error}")
        else:
            return ChosenMeter.of(meter, "; ".join(["the best meter that works here", *refused]))
    raise MeterUnavailable(f"no meter can measure {device.name}: {'; '.join(refused)}")

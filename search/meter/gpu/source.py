"""What each GPU of a meter is read by, and which are refused because no reading stands for them alone."""

from __future__ import annotations

from dataclasses import dataclass

from search.errors import MeterUnavailable
from search.meter.gpu.library import Gpu, GpuError

GPU_ENERGY = ("auto", "counter", "power")


@dataclass(frozen=True)
class GpuSource:
    """A GPU and what it is read by."""

    gpu: Gpu
    by_counter: bool

    def read(self) -> int:
        """Millijoules of the counter, or milliwatts. Raises GpuError."""
        return self.gpu.counter_mj() if self.by_counter else self.gpu.power_mw()

    @property
    def read_by(self) -> str:
        if self.by_counter:
            return "total_energy_counter"
        return "instantaneous_power" if self.gpu.power_is_instantaneous() else "averaged_power"

    @property
    def counts_a_module(self) -> bool:
        """The counter of a superchip does, and so may its averaged power; the instantaneous one is read for
        the GPU alone."""
        return self.gpu.counts_a_module and self.read_by != "instantaneous_power"


def gpu_source(gpu: Gpu, gpu_energy: str, allow_module_scope: bool) -> GpuSource:
    """What this GPU is to be read by. Raises MeterUnavailable unless that stands for this GPU alone."""
    if gpu.mig_enabled():
        raise MeterUnavailable(
            f"{gpu.uuid} ({gpu.name}) is in MIG mode, where its energy is that of all slices: "
            "disable it (`sudo nvidia-smi -mig 0`) or use another GPU"
        )
    source = GpuSource(gpu, by_counter=gpu_energy != "power" and _has_counter(gpu, gpu_energy))
    if source.counts_a_module and not allow_module_scope:
        raise MeterUnavailable(
            f"the {source.read_by.replace('_', ' ')} of {gpu.uuid} ({gpu.name}) covers the whole module, CPU "
            "and memory included: opt in with meter.allow_module_scope=true, and compare such numbers only "
            "with each other"
        )
    if not source.by_counter and (power_mw := gpu.power_mw()) <= 0:
        raise MeterUnavailable(
            f"the power of {gpu.uuid} ({gpu.name}) reads {power_mw / 1000:g} W: choose another meter"
        )
    return source


def _has_counter(gpu: Gpu, gpu_energy: str) -> bool:
    try:
        counter_mj = gpu.counter_mj()
    except GpuError as error:
        if not error.unsupported:
            raise
        if gpu_energy == "auto":
            return False
        raise MeterUnavailable(
            f"{gpu.uuid} ({gpu.name}) has no energy counter (GPUs have one from Volta on, virtual ones "
            "mostly not): type meter.gpu_energy=auto to integrate its power, or choose another meter"
        ) from error
    if counter_mj == 0:
        raise MeterUnavailable(
            f"the energy counter of {gpu.uuid} ({gpu.name}) reads zero: type meter.gpu_energy=power to "
            "integrate its power, or choose another meter"
        )
    return True

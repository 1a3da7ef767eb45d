"""What zeus is asked for, by device: AMD GPUs, systems-on-chip of Apple and NVIDIA, behind one seam.

What is called of zeus was read in its version 0.16.0 and in zeus-apple-silicon 1.1.0.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from search.errors import MeterUnavailable
from search.record.meter_info import Kind

T = TypeVar("T")

INSTALL = "pip install 'joulesearch[zeus]'"

# In zeus' process on a Jetson: the first answer waits until that process has started.
FIRST_ANSWER_S, ANSWER_S = 60.0, 2.0

# They hide GPUs from HIP, and zeus ignores them: it would read another GPU.
HIDING_FROM_ZEUS = ("ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")

# What is summed on Apple silicon, where the chip has it. Apple documents none of it; that GPU and GPU SRAM do
# not overlap is an assumption.
APPLE_PARTS = ("cpu_total_mj", "gpu_mj", "gpu_sram_mj", "dram_mj", "ane_mj")
APPLE_NEEDS = ("cpu_total_mj", "gpu_mj")


class ZeusError(MeterUnavailable):
    """zeus, or a vendor's library below it, did not answer. The text is one line."""


@dataclass(frozen=True)
class SourceInfo:
    """What a source is, for the record. `devices` as in `MeterSpec`; `has_power`: `power_w` can be asked."""

    name: str
    devices: tuple[str, ...]
    kind: Kind
    resolution_j: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    has_power: bool = False


class CumulativeSource(Protocol):
    """What the meter asks of zeus. `total_mj` and `power_w` raise ZeusError."""

    @property
    def info(self) -> SourceInfo: ...

    def total_mj(self) -> float:
        """Millijoules since an arbitrary moment."""
        ...

    def power_w(self) -> float:
        """Watts now, from elsewhere than the counter. Asked only where `info.has_power`."""
        ...

    def temperature_c(self) -> float | None: ...


class AmdGpu:
    """An AMD GPU, by the counter of its firmware. `gpu` is zeus' AMDGPU; `owner`, its AMDGPUs, shuts AMD's
    library down when nothing holds it any more."""

    def __init__(self, gpu: Any, owner: Any, settings: Mapping[str, Any]) -> None:
        self._gpu, self._owner = gpu, owner
        self._info = SourceInfo(
            name=f"{settings['gpu']} (HIP index {gpu.gpu_index})",
            devices=(f"GPU-hip-{gpu.gpu_index}",),
            kind=Kind.MEASURED,
            resolution_j=0.001,  # zeus gives whole millijoules
            settings=settings,
            has_power=True,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def total_mj(self) -> float:
        return float(_ask("read the GPU's energy", self._gpu.get_total_energy_consumption))

    def power_w(self) -> float:
        """The current power, or the average of GPUs that give no other."""
        try:
            power_mw = _ask("read the GPU's power", self._gpu.get_instant_power_usage)
        except ZeusError:
            power_mw = _ask("read the GPU's power", self._gpu.get_average_power_usage)
        return float(power_mw) / 1000.0

    def temperature_c(self) -> float | None:
        """The temperature at the hottest spot. None for 0, which zeus gives where it takes degrees for
        thousandths."""
        try:
            return float(_ask("read its temperature", self._gpu.get_gpu_temperature)) or None
        except ZeusError:
            return None


def amd_gpu(
    amd: Any, index: int, environ: Mapping[str, str], *, allow_module_scope: bool, version: str | None
) -> AmdGpu:
    """The GPU that torch numbers `index`. `amd` is zeus.device.gpu.amd.

    Raises MeterUnavailable where there is none, zeus would take another for it, it has no counter that zeus
    trusts (within a factor of ten of its power), or the counter covers more than this GPU.
    """
    _check_visible(environ)
    if not _ask("ask for AMD GPUs", amd.amdsmi_is_available):
        raise MeterUnavailable(
            "zeus reaches no AMD GPU: it needs ROCm 6.2 or later, and an amdsmi package that is not older "
            "(compare `pip show amdsmi` with `amd-smi version`)"
        )
    owner = _ask("open the AMD GPUs", amd.AMDGPUs)
    gpus = owner.gpus
    if not 0 <= index < len(gpus):
        raise MeterUnavailable(f"zeus sees {len(gpus)} AMD GPUs, and the run uses number {index}")
    gpu = gpus[index]
    name = str(_ask("name the GPU", gpu.get_name))
    partition = _partition(amd, gpu)
    shared = "both GPUs of its board" if "MI250" in name else ""
    if partition not in (None, "N/A", "SPX"):
        shared = f"the whole GPU, which is in {partition} mode"
    if shared and not allow_module_scope:
        raise MeterUnavailable(
            f"the energy counter of {name} covers {shared}: opt in with meter.allow_module_scope=true, and "
            "compare such numbers only with each other"
        )
    if not _ask("ask for the GPU's energy counter", gpu.supports_get_total_energy_consumption):
        raise MeterUnavailable(
            f"zeus trusts no energy counter of {name}: there is none, or it does not fit the GPU's power; "
            "choose another meter, or type meter=auto"
        )
    settings = {
        "zeus_version": version,
        "gpu": name,
        "compute_partition": partition,
        "scope": "module" if shared else "gpu",
    }
    return AmdGpu(gpu, owner, settings)


def _check_visible(environ: Mapping[str, str]) -> None:
    for variable in HIDING_FROM_ZEUS:
        if variable in environ:
            raise MeterUnavailable(
                f"zeus does not look at {variable} and would read another GPU: unset it, and choose GPUs by "
                "index with HIP_VISIBLE_DEVICES"
            )
    for variable in ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        if variable in environ:
            if not all(entry.strip().isdecimal() for entry in environ[variable].split(",")):
                raise MeterUnavailable(
                    f"zeus takes GPUs by index only, and {variable} is {environ[variable]!r}: type numbers, "
                    f"as in {variable}=0"
                )
            return


def _partition(amd: Any, gpu: Any) -> str | None:
    """SPX is a whole GPU; None where the GPU does not say, as those that cannot be divided."""
    try:
        return str(_ask("read its mode", lambda: amd.amdsmi.amdsmi_get_gpu_compute_partition(gpu.handle)))
    except ZeusError:
        return None


class AppleSilicon:
    """The chip of a Mac, by macOS' "Energy Model" (IOReport). zeus-apple-silicon believes that it is computed
    from utilisation, frequency and voltage, and Apple calls its powers estimated (powermetrics(1)): so do we.

    `soc` is zeus' AppleSilicon. The display, disks and the loss of the power supply are not in it.
    """

    def __init__(self, soc: Any, version: str | None) -> None:
        self._soc = soc
        measured = self._measure()
        self._parts = tuple(part for part in APPLE_PARTS if getattr(measured, part) is not None)
        missing = [part for part in APPLE_NEEDS if part not in self._parts]
        if missing:
            raise MeterUnavailable(f"zeus finds no {' and no '.join(missing)} here: type meter=cpu_time")
        self._info = SourceInfo(
            name="Apple silicon",
            devices=("apple_silicon",),
            kind=Kind.ESTIMATED,
            resolution_j=0.001 * len(self._parts),
            settings={"zeus_version": version, "parts": list(self._parts)},
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def total_mj(self) -> float:
        measured = self._measure()
        values = {part: getattr(measured, part) for part in self._parts}
        lost = [part for part, value in values.items() if value is None]
        if lost:
            raise ZeusError(f"the energy of Apple silicon is without {' and '.join(lost)} now")
        return float(sum(values.values()))

    def power_w(self) -> float:
        raise ZeusError("zeus gives no power of Apple silicon")

    def temperature_c(self) -> float | None:
        return None

    def _measure(self) -> Any:
        return _ask("read the energy of Apple silicon", self._soc.get_total_energy_consumption)


class Jetson:
    """A Jetson module, by the power at its input, which a process of zeus' integrates ten times a second.

    `soc` is zeus' Jetson. Its process outlives a worker that is killed. An answer that comes too late would
    be taken for the next one, so after the first that is missing there are no more.
    """

    def __init__(self, soc: Any, version: str | None) -> None:
        self._soc = soc
        self._lost = ""
        sensor = soc.power_measurement.get("total_power_mw")
        if sensor is None:
            raise MeterUnavailable(
                "zeus finds no sensor of this Jetson's whole power, as on an AGX Orin: type meter=cpu_time"
            )
        self._info = SourceInfo(
            name="Jetson",
            devices=("jetson",),
            kind=Kind.MEASURED,
            resolution_j=0.0001,  # a milliwatt for 100 ms
            settings={
                "zeus_version": version,
                "sensor": {name: str(path) for name, path in vars(sensor).items()},
            },
        )
        self._answer_mj(FIRST_ANSWER_S)

    @property
    def info(self) -> SourceInfo:
        return self._info

    def total_mj(self) -> float:
        return self._answer_mj(ANSWER_S)

    def power_w(self) -> float:
        raise ZeusError("the power of a Jetson is what its counter is made of")

    def temperature_c(self) -> float | None:
        return None

    def _answer_mj(self, patience_s: float) -> float:
        if self._lost:
            raise ZeusError(self._lost)
        try:
            measured = _ask(
                "read the energy of the Jetson",
                lambda: self._soc.get_total_energy_consumption(timeout=patience_s),
            )
        except ZeusError as error:
            self._lost = f"{error}: after {patience_s:g} s zeus' own process was given up"
            raise ZeusError(self._lost) from error
        return float(measured.total_energy_mj)


SOCS: Mapping[str, Callable[[Any, str | None], CumulativeSource]] = {
    "AppleSilicon": AppleSilicon,
    "Jetson": Jetson,
}


def soc_source(soc_module: Any, version: str | None) -> CumulativeSource:
    """The system-on-chip of this machine. `soc_module` is zeus.device.soc. Raises MeterUnavailable."""
    soc = _ask(f"find a Jetson or Apple silicon (a Mac needs {INSTALL})", soc_module.get_soc)
    name = type(soc).__name__
    if name not in SOCS:
        raise MeterUnavailable(f"what zeus measures on a {name} is not known here: choose another meter")
    return SOCS[name](soc, version)


def import_zeus(module: str) -> Any:
    """A module of zeus. Raises MeterUnavailable where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MeterUnavailable(
            "the zeus package, which reads AMD GPUs, Apple silicon and Jetson, is not installed "
            f"({_one_line(error)}); type: {INSTALL}"
        ) from error


def nvidia_total_mj(index: int, load: Callable[[str], Any] = import_zeus) -> int:
    """Millijoules since driver load of the NVIDIA GPU that NVML numbers `index`, as zeus reads them: to be
    held against our own. Raises MeterUnavailable."""
    nvidia = load("zeus.device.gpu.nvidia")
    if not _ask("ask for NVIDIA GPUs", nvidia.nvml_is_available):
        raise MeterUnavailable("zeus could not start NVML: see `nvidia-smi`")
    gpu = _ask(f"open NVIDIA GPU {index}", lambda: nvidia.NVIDIAGPU(index))
    return int(_ask(f"read the energy of NVIDIA GPU {index}", gpu.get_total_energy_consumption))


def _ask(doing: str, call: Callable[[], T]) -> T:
    """The one place where zeus' errors become ours. zeus lets those of the vendors' libraries through, and
    they have no base class in common."""
    try:
        return call()
    except Exception as error:
        raise ZeusError(f"zeus could not {doing}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text.rstrip(".") or type(error).__name__

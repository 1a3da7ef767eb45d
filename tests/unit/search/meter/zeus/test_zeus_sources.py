"""What zeus is asked for by device, on objects with the names and return types of zeus 0.16.0 and
zeus-apple-silicon 1.1.0."""

from __future__ import annotations

import gc
import inspect
import json
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest

from search.errors import MeterUnavailable
from search.meter.zeus.meter import ZeusMeter, zeus_meter
from search.meter.zeus.sources import (
    APPLE_PARTS,
    AmdGpu,
    AppleSilicon,
    Jetson,
    amd_gpu,
    import_zeus,
    nvidia_total_mj,
    soc_source,
)
from search.record.meter_info import Kind


class ZeusGPUNotSupportedError(Exception):
    pass


class AMDGPU:
    """As zeus.device.gpu.amd.AMDGPU: whole millijoules, milliwatts and degrees Celsius."""

    def __init__(self, gpu_index: int, name: str = "AMD Instinct MI300X", partition: str = "SPX") -> None:
        self.gpu_index, self.handle = gpu_index, partition
        self._name = name
        self.total_mj = 7_000_000
        self.supported = True
        self.instant = True
        self.lost = False
        self.degrees = 64

    def get_name(self) -> str:
        return self._name

    def supports_get_total_energy_consumption(self) -> bool:
        return self.supported

    def get_total_energy_consumption(self) -> int:
        if self.lost:
            raise RuntimeError("\nthe GPU is lost.\nSecond line")
        self.total_mj += 9
        return self.total_mj

    def get_instant_power_usage(self) -> int:
        if not self.instant:
            raise ZeusGPUNotSupportedError("Instant power usage is not supported on this AMD GPU.")
        return 151_000

    def get_average_power_usage(self) -> int:
        return 149_000

    def get_gpu_temperature(self) -> int:
        return self.degrees


class AMDGPUs:
    def __init__(self, gpus: list[AMDGPU]) -> None:
        self.gpus = gpus


def amd_module(*gpus: AMDGPU, available: bool = True) -> Any:
    """As zeus.device.gpu.amd. A GPU's `handle` is its partition here."""

    def partition(handle: str) -> str:
        if not handle:
            raise RuntimeError("not supported")
        return handle

    return SimpleNamespace(
        amdsmi_is_available=lambda: available,
        AMDGPUs=lambda: AMDGPUs(list(gpus)),
        amdsmi=SimpleNamespace(amdsmi_get_gpu_compute_partition=partition),
    )


def open_amd(
    *gpus: AMDGPU, index: int = 0, allow: bool = False, environ: Mapping[str, str] | None = None
) -> AmdGpu:
    return amd_gpu(amd_module(*gpus), index, environ or {}, allow_module_scope=allow, version="0.16.0")


def test_an_amd_gpu_is_a_measured_counter_in_millijoules_with_a_power_in_watts() -> None:
    source = open_amd(AMDGPU(2))
    assert source.total_mj() == 7_000_009.0
    assert source.power_w() == 151.0
    assert source.temperature_c() == 64.0
    info = source.info
    assert (info.kind, info.devices, info.has_power) == (Kind.MEASURED, ("GPU-hip-2",), True)
    assert info.settings == {
        "zeus_version": "0.16.0",
        "gpu": "AMD Instinct MI300X",
        "compute_partition": "SPX",
        "scope": "gpu",
    }


def test_an_amd_gpu_without_a_current_power_gives_the_average() -> None:
    gpu = AMDGPU(0)
    gpu.instant = False
    assert open_amd(gpu).power_w() == 149.0


def test_an_amd_temperature_that_lost_its_thousandths_is_unknown() -> None:
    gpu = AMDGPU(0)
    gpu.degrees = 64 // 1000
    assert open_amd(gpu).temperature_c() is None


def test_the_run_is_charged_for_the_amd_gpu_that_torch_counts_to() -> None:
    assert open_amd(AMDGPU(3), AMDGPU(1), index=1).info.devices == ("GPU-hip-1",)
    with pytest.raises(MeterUnavailable, match="sees 1 AMD GPUs, and the run uses number 1"):
        open_amd(AMDGPU(0), index=1)


def test_amds_library_stays_open_as_long_as_the_source() -> None:
    owners: list[weakref.ref[AMDGPUs]] = []
    module = amd_module(AMDGPU(0))
    opened = module.AMDGPUs

    def remembered() -> AMDGPUs:
        owner: AMDGPUs = opened()
        owners.append(weakref.ref(owner))
        return owner

    module.AMDGPUs = remembered
    source = amd_gpu(module, 0, {}, allow_module_scope=False, version=None)
    gc.collect()
    assert owners[0]() is not None
    assert source.total_mj() > 0


@pytest.mark.parametrize("variable", ["ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"])
def test_a_choice_of_gpus_that_zeus_overlooks_is_refused(variable: str) -> None:
    with pytest.raises(MeterUnavailable, match=f"{variable} .* HIP_VISIBLE_DEVICES"):
        open_amd(AMDGPU(0), environ={variable: "1"})


@pytest.mark.parametrize("variable", ["HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"])
@pytest.mark.parametrize("value", ["GPU-4b2c1a9f", "", "-1", "0,GPU-1"])
def test_gpus_that_are_not_chosen_by_index_are_refused(variable: str, value: str) -> None:
    with pytest.raises(MeterUnavailable, match=f"type numbers, as in {variable}=0"):
        open_amd(AMDGPU(0), environ={variable: value})


def test_gpus_chosen_by_index_are_taken_and_hip_goes_before_cuda() -> None:
    environ = {"HIP_VISIBLE_DEVICES": "0, 2", "CUDA_VISIBLE_DEVICES": "GPU-4b2c1a9f"}
    assert open_amd(AMDGPU(0), environ=environ).info.devices == ("GPU-hip-0",)


def test_a_counter_of_two_amd_gpus_is_refused_unless_opted_in() -> None:
    gpu = AMDGPU(0, name="AMD Instinct MI250X")
    with pytest.raises(MeterUnavailable, match=r"both GPUs of its board: .*allow_module_scope=true"):
        open_amd(gpu)
    assert open_amd(gpu, allow=True).info.settings["scope"] == "module"


def test_a_partition_of_an_amd_gpu_is_refused_unless_opted_in() -> None:
    gpu = AMDGPU(0, partition="CPX")
    with pytest.raises(MeterUnavailable, match=r"in CPX mode: .*allow_module_scope=true"):
        open_amd(gpu)
    assert open_amd(gpu, allow=True).info.settings["scope"] == "module"


def test_an_amd_gpu_that_cannot_be_divided_is_a_whole_one() -> None:
    settings = open_amd(AMDGPU(0, partition="")).info.settings
    assert (settings["compute_partition"], settings["scope"]) == (None, "gpu")


def test_an_amd_counter_that_zeus_does_not_trust_is_refused() -> None:
    gpu = AMDGPU(0)
    gpu.supported = False
    with pytest.raises(MeterUnavailable, match="trusts no energy counter of AMD Instinct MI300X"):
        open_amd(gpu)


def test_an_amd_gpu_that_fails_later_is_one_line_in_the_reading() -> None:
    gpu = AMDGPU(0)
    meter = ZeusMeter(open_amd(gpu))
    gpu.lost = True
    reading = meter.read()
    assert reading.energy_j is None
    assert reading.problem == "zeus could not read the GPU's energy: the GPU is lost"


# ---- Apple silicon


@dataclass
class AppleSiliconMeasurement:
    """As zeus.device.soc.apple.AppleSiliconMeasurement: whole millijoules, None where the chip has none."""

    cpu_total_mj: int | None = None
    efficiency_cores_mj: list[int] | None = None
    performance_cores_mj: list[int] | None = None
    efficiency_cluster_mj: list[int] | None = None
    performance_cluster_mj: list[int] | None = None
    efficiency_core_manager_mj: int | None = None
    performance_core_manager_mj: int | None = None
    dram_mj: int | None = None
    gpu_mj: int | None = None
    gpu_sram_mj: int | None = None
    ane_mj: int | None = None


class FakeAppleSilicon:
    def __init__(self, **measured_mj: int | None) -> None:
        whole = AppleSiliconMeasurement(
            efficiency_cores_mj=[100, 100],
            performance_cores_mj=[300],
            cpu_total_mj=500,
            gpu_mj=300,
            dram_mj=20,
            ane_mj=0,
        )
        self.measured = replace(whole, **measured_mj)  # type: ignore[arg-type]

    def get_total_energy_consumption(self) -> AppleSiliconMeasurement:
        if self.measured.cpu_total_mj is not None:
            self.measured.cpu_total_mj += 1
        return self.measured


FakeAppleSilicon.__name__ = "AppleSilicon"  # by which the adapter is chosen


def test_apple_silicon_is_the_sum_of_its_parts_cores_counted_once() -> None:
    source = AppleSilicon(FakeAppleSilicon(), "0.16.0")
    assert source.total_mj() == 502 + 300 + 20 + 0
    assert source.info.settings["parts"] == ["cpu_total_mj", "gpu_mj", "dram_mj", "ane_mj"]
    assert AppleSilicon(FakeAppleSilicon(gpu_sram_mj=8), "0.16.0").total_mj() == 502 + 300 + 8 + 20


def test_apple_silicon_is_an_estimate() -> None:
    source = AppleSilicon(FakeAppleSilicon(), "0.16.0")
    assert source.info.kind is Kind.ESTIMATED
    assert source.info.resolution_j == pytest.approx(0.004)


@pytest.mark.parametrize("part", ["cpu_total_mj", "gpu_mj"])
def test_apple_silicon_without_its_cpu_or_its_gpu_is_refused(part: str) -> None:
    with pytest.raises(MeterUnavailable, match=f"no {part} here: type meter=cpu_time"):
        AppleSilicon(FakeAppleSilicon(**{part: None}), "0.16.0")


def test_a_part_of_apple_silicon_that_goes_missing_is_no_smaller_sum() -> None:
    soc = FakeAppleSilicon()
    meter = ZeusMeter(AppleSilicon(soc, "0.16.0"))
    soc.measured.dram_mj = None
    reading = meter.read()
    assert (reading.energy_j, reading.problem) == (None, "the energy of Apple silicon is without dram_mj now")


# ---- Jetson


@dataclass
class JetsonMeasurement:
    """As zeus.device.soc.jetson.JetsonMeasurement: millijoules since its process began."""

    cpu_energy_mj: float | None = None
    gpu_energy_mj: float | None = None
    total_energy_mj: float | None = None


class DirectPower:
    def __init__(self, power_path: Path) -> None:
        self.power_path = power_path


class FakeJetson:
    def __init__(self, rails: tuple[str, ...] = ("cpu_power_mw", "total_power_mw")) -> None:
        self.power_measurement = {rail: DirectPower(Path("/sys") / rail) for rail in rails}
        self.total_mj = 0.0
        self.late = 0
        self.timeouts_s: list[float] = []

    def get_total_energy_consumption(self, timeout: float = 15.0) -> JetsonMeasurement:
        self.timeouts_s.append(timeout)
        if self.late:
            self.late -= 1
            raise Empty
        self.total_mj += 0.5
        return JetsonMeasurement(1.0, None, self.total_mj)


FakeJetson.__name__ = "Jetson"


def test_a_jetson_is_the_measured_total_of_its_input() -> None:
    source = Jetson(FakeJetson(), "0.16.0")
    assert source.total_mj() == 1.0
    assert source.info.kind is Kind.MEASURED
    assert source.info.settings["sensor"] == {"power_path": "/sys/total_power_mw"}
    assert json.dumps(source.info.settings)


def test_a_jetson_without_a_sensor_of_its_whole_power_is_refused() -> None:
    with pytest.raises(MeterUnavailable, match="whole power, as on an AGX Orin: type meter=cpu_time"):
        Jetson(FakeJetson(rails=("cpu_power_mw", "gpu_power_mw")), "0.16.0")


def test_the_first_answer_of_a_jetson_is_waited_for_and_the_others_are_not() -> None:
    soc = FakeJetson()
    Jetson(soc, "0.16.0").total_mj()
    first_s, second_s = soc.timeouts_s
    assert first_s > second_s


def test_after_a_late_answer_a_jetson_gives_none_since_each_would_be_the_one_before() -> None:
    soc = FakeJetson()
    meter = ZeusMeter(Jetson(soc, "0.16.0"))
    soc.late = 1
    assert "zeus could not read the energy of the Jetson: Empty" in meter.read().problem
    asked = len(soc.timeouts_s)
    meter.start()
    assert meter.read().energy_j is None
    assert len(soc.timeouts_s) == asked


# ---- which of them


class ZeusSoCInitError(Exception):
    pass


def no_soc() -> Any:
    raise ZeusSoCInitError("No observable SoC was found on the current machine.")


def installed(soc: Callable[[], Any] = no_soc, amd: Any = None) -> Callable[[str], Any]:
    """A zeus that finds `soc`, and `amd` as its module for AMD GPUs."""
    modules = {
        "zeus": SimpleNamespace(__version__="0.16.0"),
        "zeus.device.soc": SimpleNamespace(get_soc=soc),
        "zeus.device.gpu.amd": amd or amd_module(available=False),
    }
    return modules.__getitem__


def test_a_system_on_chip_is_measured_whatever_the_run_uses_of_it() -> None:
    load = installed(soc=FakeJetson, amd=amd_module(AMDGPU(0)))
    for device_type in ("cpu", "cuda"):
        meter = zeus_meter(device_type, rocm=False, load=load, environ={})
        assert meter.spec.devices == ("jetson",)
        assert meter.spec.settings["zeus_version"] == "0.16.0"


def test_beside_a_system_on_chip_the_cpu_is_watched() -> None:
    meter = zeus_meter("cpu", rocm=False, load=installed(soc=FakeAppleSilicon), environ={})
    meter.start()
    meter.stop()
    assert "foreign_core_s" in meter.observed()


def test_a_run_on_an_amd_gpu_is_measured_there() -> None:
    load = installed(amd=amd_module(AMDGPU(0), AMDGPU(1)))
    meter = zeus_meter("cuda", 1, rocm=True, load=load, environ={})
    assert meter.spec.devices == ("GPU-hip-1",)


def test_a_run_on_a_cpu_is_not_charged_for_an_idle_gpu() -> None:
    with pytest.raises(MeterUnavailable, match="No observable SoC"):
        zeus_meter("cpu", rocm=True, load=installed(amd=amd_module(AMDGPU(0))), environ={})


def test_a_run_on_an_nvidia_gpu_is_sent_to_its_own_meter() -> None:
    with pytest.raises(MeterUnavailable, match="type meter=nvml"):
        zeus_meter("cuda", rocm=False, load=installed(amd=amd_module(AMDGPU(0))), environ={})


def test_an_amd_gpu_that_zeus_does_not_reach_is_refused_with_what_it_needs() -> None:
    with pytest.raises(MeterUnavailable, match=r"ROCm 6\.2 or later, and an amdsmi"):
        zeus_meter("cuda", rocm=True, load=installed(), environ={})


def test_a_system_on_chip_that_is_new_to_us_is_refused() -> None:
    with pytest.raises(MeterUnavailable, match="on a SimpleNamespace is not known"):
        soc_source(SimpleNamespace(get_soc=SimpleNamespace), None)


def test_a_package_that_is_missing_is_one_line_that_says_what_to_type() -> None:
    with pytest.raises(MeterUnavailable) as refused:
        import_zeus("zeus_that_nobody_installed.device")
    assert "pip install 'joulesearch[zeus]'" in str(refused.value)
    assert "\n" not in str(refused.value)


# ---- NVIDIA GPUs, beside our own meter


def nvidia_module(available: bool) -> Callable[[str], Any]:
    """As zeus.device.gpu.nvidia."""

    def nvidia_gpu(gpu_index: int) -> Any:
        if gpu_index > 1:
            raise ValueError("Invalid Argument")
        return SimpleNamespace(get_total_energy_consumption=lambda: 1000 + gpu_index)

    module = SimpleNamespace(nvml_is_available=lambda: available, NVIDIAGPU=nvidia_gpu)
    return {"zeus.device.gpu.nvidia": module}.__getitem__


def test_zeus_is_asked_for_the_nvidia_gpu_by_nvmls_index() -> None:
    assert nvidia_total_mj(1, nvidia_module(available=True)) == 1001


def test_an_nvidia_gpu_that_is_not_there_is_refused_in_one_line() -> None:
    with pytest.raises(MeterUnavailable, match="open NVIDIA GPU 4: Invalid Argument"):
        nvidia_total_mj(4, nvidia_module(available=True))
    with pytest.raises(MeterUnavailable, match="nvidia-smi"):
        nvidia_total_mj(0, nvidia_module(available=False))


# ---- the zeus that is installed, if one is


def test_the_installed_zeus_has_what_is_called_of_it_and_measures_in_the_fields_that_are_read() -> None:
    soc = pytest.importorskip("zeus.device.soc")
    amd, nvidia = import_zeus("zeus.device.gpu.amd"), import_zeus("zeus.device.gpu.nvidia")
    called = {
        soc: ["get_soc"],
        soc.AppleSilicon: ["get_total_energy_consumption"],
        soc.Jetson: ["get_total_energy_consumption"],
        amd: ["amdsmi", "amdsmi_is_available", "AMDGPUs"],
        amd.AMDGPUs: ["gpus"],
        amd.AMDGPU: [name for name in vars(AMDGPU) if not name.startswith("_")],
        nvidia: ["nvml_is_available", "NVIDIAGPU"],
        nvidia.NVIDIAGPU: ["get_total_energy_consumption"],
    }
    assert [
        (owner, name) for owner, names in called.items() for name in names if not hasattr(owner, name)
    ] == []
    apple, jetson = import_zeus("zeus.device.soc.apple"), import_zeus("zeus.device.soc.jetson")
    assert set(APPLE_PARTS) <= {one.name for one in fields(apple.AppleSiliconMeasurement)}
    assert "total_energy_mj" in {one.name for one in fields(jetson.JetsonMeasurement)}
    assert "timeout" in inspect.signature(soc.Jetson.get_total_energy_consumption).parameters
    assert vars(jetson.DirectPower(Path("/a"))) == {"power_path": Path("/a")}

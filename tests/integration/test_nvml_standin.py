"""The NVML meter against a stand-in libnvidia-ml.so.1, in processes that have it on their library path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests import nvml_standin
from tests.nvml_standin import uuid

ROOT = Path(__file__).resolve().parents[2]

PRELUDE = """
import json, os, sys, time
from search.errors import MeterUnavailable
from search.meter.gpu.nvml import nvml_meter
from search.meter.gpu.nvml_devices import inventory

def gpu(index):
    return f"GPU-{index:08d}-57a9-4d11-b000-000000000000"

def fault(name):
    os.environ["STANDIN_NVML_FAULT"] = name

def refusal(make):
    try:
        make()
    except MeterUnavailable as error:
        return str(error)

def show(**values):
    print(json.dumps(values))

def timed_read(meter):
    before_s = time.perf_counter()
    reading = meter.read()
    return reading, before_s, time.perf_counter()

class Clock:
    now_s = 100.0
    def __call__(self):
        return self.now_s
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if nvml_standin.compiler() is None:
        pytest.skip("no C compiler to build the NVML stand-in with")
    return nvml_standin.build(tmp_path_factory.mktemp("nvml"))


def run(script: str, library: Path, **settings: object) -> Any:
    """What `script` shows, run in a process of its own with the stand-in set up by STANDIN_NVML_*
    `settings`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("STANDIN_", "CUDA_", "LD_LIBRARY"))}
    env |= {f"STANDIN_NVML_{key.upper()}": str(value) for key, value in settings.items()}
    env |= {"PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": str(library)}
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_joules_are_watts_times_seconds(library: Path) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0)])
        meter.start()
        first, a, b = timed_read(meter); time.sleep(1.0); last, c, d = timed_read(meter)
        show(joules=last.energy_j - first.energy_j, least_s=c - b, most_s=d - a,
             in_time=a <= first.time_s <= b and c <= last.time_s <= d,
             problems=first.problem + last.problem, flags=meter.flags(), torch="torch" in sys.modules,
             over_power=meter.observed()["counter_over_power"])
        """,
        library,
        watts=70,
        tick_ms=20,
    )
    assert 70 * (seen["least_s"] - 0.02) <= seen["joules"] <= 70 * (seen["most_s"] + 0.02)
    assert seen["in_time"]
    assert seen["problems"] == ""
    assert seen["flags"] == []
    assert seen["over_power"] == pytest.approx(1.0, abs=0.1)
    assert not seen["torch"], "the meter must not need torch"


def test_several_gpus_are_summed_and_the_warmest_is_told(library: Path) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0), gpu(2)])
        first, a, b = timed_read(meter); time.sleep(0.3); last, c, d = timed_read(meter)
        show(joules=last.energy_j - first.energy_j, least_s=c - b, most_s=d - a,
             celsius=last.temperature_c, by_gpu=meter.observed()["energy_by_gpu_j"])
        """,
        library,
        gpus=3,
        watts=200,
        tick_ms=0,
        temperature_c=50,
    )
    millijoule = 0.001
    assert 400 * seen["least_s"] - 2 * millijoule <= seen["joules"] <= 400 * seen["most_s"] + 2 * millijoule
    assert seen["celsius"] == 52.0
    assert sorted(seen["by_gpu"]) == [uuid(0), uuid(2)]
    assert sum(seen["by_gpu"].values()) == pytest.approx(seen["joules"])


def test_the_spec_says_what_was_metered(library: Path) -> None:
    seen = run(
        """
        spec = nvml_meter([gpu(0)]).spec
        counter = spec.counter
        show(name=spec.name, kind=spec.kind, resolution_j=counter.resolution_j, devices=spec.devices,
             update_period_s=counter.update_period_s, gain_error=spec.gain_error,
             settings=dict(spec.settings))
        """,
        library,
        limit_w=250,
        default_limit_w=300,
    )
    assert seen == {
        "name": "nvml",
        "kind": "measured",
        "resolution_j": 0.001,
        "update_period_s": 0.1,
        "gain_error": 0.05,
        "devices": [uuid(0)],
        "settings": {
            "gpu_energy": "auto",
            "gpus": [
                {
                    "uuid": uuid(0),
                    "name": "Stand-in GPU",
                    "pci_bus_id": "00000000:01:00.0",
                    "memory_bytes": 8 << 30,
                    "power_limit_w": 250.0,
                    "default_power_limit_w": 300.0,
                    "driver_version": "999.00",
                    "read_by": "total_energy_counter",
                    "scope": "gpu",
                }
            ],
        },
    }


def test_the_inventory_is_nvmls_list(library: Path) -> None:
    seen = run("show(gpus=[vars(gpu) for gpu in inventory()])", library, gpus=2, names="A;B")
    assert seen["gpus"] == [
        {"uuid": uuid(0), "index": 0, "name": "A", "pci_bus_id": "00000000:01:00.0"},
        {"uuid": uuid(1), "index": 1, "name": "B", "pci_bus_id": "00000000:02:00.0"},
    ]


def test_without_the_library_the_refusal_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    script = "show(list=refusal(inventory), meter=refusal(lambda: nvml_meter([gpu(0)])))"
    seen = run(script, tmp_path)
    assert seen["list"].startswith(
        "NVML cannot be opened: libnvidia-ml.so.1 was not found: install the NVIDIA"
    )
    assert seen["meter"] == seen["list"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"fault": "no_driver"}, "NVML cannot be opened: the NVIDIA driver is not loaded"),
        ({"fault": "no_counter,no_power"}, f"NVML cannot read the power of {uuid(0)}: Not Supported"),
        ({"fault": "zero"}, "reads zero"),
        ({"fault": "mig"}, "is in MIG mode"),
        ({"fault": "lost"}, "the GPU is lost"),
        ({"names": "NVIDIA GH200 480GB"}, "covers the whole module"),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_counter_that_does_not_stand_for_this_gpu_is_refused(
    library: Path, settings: dict[str, str], says: str
) -> None:
    seen = run("show(why=refusal(lambda: nvml_meter([gpu(0)])))", library, **settings)
    assert says in seen["why"]
    assert "\n" not in seen["why"]


def test_unknown_gpus_slices_and_empty_machines_are_refused(library: Path) -> None:
    seen = run(
        """
        missing = refusal(lambda: nvml_meter([gpu(7)]))
        slice_ = refusal(lambda: nvml_meter(["MIG-41f2"]))
        os.environ["STANDIN_NVML_GPUS"] = "0"
        show(missing=missing, slice=slice_, none=refusal(inventory))
        """,
        library,
    )
    assert seen["missing"] == f"NVML cannot find {uuid(7)}: Not Found"
    assert "MIG-41f2 is a MIG slice" in seen["slice"]
    assert "lists no GPU" in seen["none"]


def test_a_module_counter_can_be_opted_in_and_says_its_scope(library: Path) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0)], allow_module_scope=True)
        show(scope=meter.spec.settings["gpus"][0]["scope"], joules=meter.read().energy_j)
        """,
        library,
        names="NVIDIA GH200 480GB",
    )
    assert seen["scope"] == "module"
    assert seen["joules"] > 0


def test_an_h200_counts_itself_only(library: Path) -> None:
    seen = run("show(why=refusal(lambda: nvml_meter([gpu(0)])))", library, names="NVIDIA H200")
    assert seen["why"] is None


def test_a_lost_gpu_gives_a_problem_and_no_joules(library: Path) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0), gpu(1)])
        fault("lost")
        lost = meter.read(); flags = meter.flags()
        fault(""); found = meter.read()
        meter.close(); meter.close(); closed = meter.read()
        show(lost=[lost.energy_j, lost.problem], found=[found.energy_j, found.problem],
             closed=[closed.energy_j, closed.problem], flags=flags)
        """,
        library,
        gpus=2,
        fault_gpu=1,
    )
    assert seen["lost"][0] is None
    assert uuid(1) in seen["lost"][1]
    assert "the GPU is lost" in seen["lost"][1]
    assert seen["flags"] == ["processes_not_identifiable", "throttling_unknown"]
    assert seen["found"][0] > 0
    assert seen["found"][1] == ""
    assert seen["closed"] == [None, "the meter is closed"]


@pytest.mark.parametrize("gpus", [1, 2])
def test_a_reset_of_one_counter_spoils_every_reading_until_the_next_start(library: Path, gpus: int) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(i) for i in range(int(os.environ["STANDIN_NVML_GPUS"]))])
        meter.start()
        before = meter.read(); after = [meter.read(), meter.read()]
        meter.start(); again = meter.read()
        show(before=before.energy_j, after=[[r.energy_j, r.problem] for r in after], again=again.energy_j)
        """,
        library,
        gpus=gpus,
        fault="reset",
        fault_gpu=gpus - 1,
        reset_after=2,
        tick_ms=0,
    )
    assert seen["before"] > 0
    for joules, problem in seen["after"]:
        assert joules is None
        assert f"the energy counter of {uuid(gpus - 1)} went back" in problem
    assert seen["again"] > 0


def test_a_run_of_two_processes_is_charged_for_two_gpus_one_by_one(library: Path) -> None:
    seen = run(
        """
        from dataclasses import dataclass
        from model.config import RunConfig, TrainConfig
        from search.meter.base import WorkDone
        from search.meter.choose import METERS, charged_gpus
        from search.meter.settings import MeterSection

        @dataclass
        class TwoGpus:
            type: str = "cuda"
            gpus: tuple = ("0", "1")

        found = {}
        meter = METERS["nvml"].build(MeterSection(), TwoGpus())
        for processes in (1, 2):
            meter.start(WorkDone(RunConfig(train=TrainConfig(processes=processes)), 60))
            first = meter.read(); time.sleep(0.5); last = meter.read()
            watts = (last.energy_j - first.energy_j) / (last.time_s - first.time_s)
            found[processes] = [watts, meter.observed()["energy_by_gpu_j"]]
            meter.stop()
        named = charged_gpus(MeterSection(gpus=["2"]), TwoGpus())
        show(found=found, devices=meter.spec.devices, named=named)
        """,
        library,
        gpus=3,
        watts=70,
        tick_ms=0,
    )
    assert seen["devices"] == [uuid(0), uuid(1)]
    assert seen["named"] == [uuid(2)]
    for processes, (watts, by_gpu_j) in seen["found"].items():
        assert watts == pytest.approx(70.0 * int(processes), rel=0.02)
        assert list(by_gpu_j) == [uuid(index) for index in range(int(processes))]
        assert all(joules == pytest.approx(35.0, rel=0.2) for joules in by_gpu_j.values())


def test_a_frozen_counter_is_seen_beside_one_that_runs(library: Path) -> None:
    seen = run(
        """
        clock = Clock()
        meter = nvml_meter([gpu(0), gpu(1)], clock=clock, in_background=False)
        meter.start(); fault("frozen")
        readings = []
        for seconds in (0, 1.9, 0.2):
            clock.now_s += seconds; time.sleep(0.002); readings.append(meter.read())
        show(joules=[r.energy_j for r in readings], problem=readings[-1].problem)
        """,
        library,
        gpus=2,
        fault_gpu=1,
        tick_ms=0,
    )
    assert seen["joules"][0] < seen["joules"][1]
    assert seen["joules"][2] is None
    assert seen["problem"] == f"the energy counter of {uuid(1)} has not moved for 2.1 s"


def test_processes_of_others_are_flagged_and_our_own_are_not(library: Path) -> None:
    seen = run(
        """
        import subprocess
        def flags(pids):
            os.environ["STANDIN_NVML_PIDS"] = pids
            meter.start()
            return meter.flags()
        meter = nvml_meter([gpu(0)])
        with subprocess.Popen(["sleep", "30"]) as child:
            ours = flags(f"self,{child.pid}")
            only_child = flags(str(child.pid))
            foreign = flags(f"self,{os.getppid()}")
            child.kill()
        show(nobody=flags(""), ours=ours, only_child=only_child, foreign=foreign,
             host_numbers=flags("4294967294,4294967295"))
        """,
        library,
    )
    assert seen == {
        "nobody": [],
        "ours": [],
        "only_child": [],
        "foreign": ["foreign_process"],
        "host_numbers": ["processes_not_identifiable"],
    }


@pytest.mark.parametrize(
    ("reasons", "flags"),
    [
        (0x01 | 0x02 | 0x10 | 0x100, []),
        (0x04, ["power_capped"]),
        (0x08, ["throttled_hardware"]),
        (0x20, ["throttled_thermal"]),
        (0x40 | 0x08, ["throttled_hardware", "throttled_thermal"]),
        (0x80 | 0x08, ["throttled_hardware", "throttled_power_brake"]),
    ],
    ids=lambda value: hex(value) if isinstance(value, int) else "+".join(value) or "none",
)
def test_reasons_for_slow_clocks_become_flags(library: Path, reasons: int, flags: list[str]) -> None:
    seen = run("show(flags=nvml_meter([gpu(0)]).flags())", library, event_reasons=reasons)
    assert seen["flags"] == flags


def test_a_lowered_power_limit_is_flagged(library: Path) -> None:
    seen = run("show(flags=nvml_meter([gpu(0)]).flags())", library, limit_w=99.5)
    assert seen["flags"] == ["power_limit_lowered"]


def test_side_readings_that_are_not_offered_are_unknown_and_the_joules_stay(library: Path) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0)])
        reading = meter.read(); of = meter.spec.settings["gpus"][0]
        show(joules=reading.energy_j, celsius=reading.temperature_c, flags=meter.flags(),
             limits=[of["power_limit_w"], of["default_power_limit_w"], of["memory_bytes"]])
        """,
        library,
        fault="no_side_readings",
    )
    assert seen["joules"] > 0
    assert seen["celsius"] is None
    assert seen["limits"] == [None, None, None]
    assert seen["flags"] == ["processes_not_identifiable", "throttling_unknown"]


def test_a_flag_seen_in_a_sample_lasts_until_the_next_start_and_is_looked_for_once_a_second(
    library: Path,
) -> None:
    seen = run(
        """
        def throttle(reasons):
            os.environ["STANDIN_NVML_EVENT_REASONS"] = str(reasons)
        clock = Clock()
        meter = nvml_meter([gpu(0)], clock=clock, in_background=False)
        meter.start()
        clock.now_s += 0.9; throttle(0x04); meter.sample(); throttle(0)
        too_soon = meter.flags()
        clock.now_s += 1.1; throttle(0x20); meter.sample(); throttle(0)
        kept = meter.flags()
        meter.start()
        show(too_soon=too_soon, kept=kept, next=meter.flags())
        """,
        library,
    )
    assert seen == {"too_soon": [], "kept": ["throttled_thermal"], "next": []}


def test_a_reading_from_another_thread_meanwhile_is_not_taken_for_a_reset(library: Path) -> None:
    seen = run(
        """
        import threading
        others = []
        def clock():  # called between a counter and its check: there, another thread reads too
            if not others:
                others.append(threading.Thread(target=lambda: readings.append(meter.read())))
                others[0].start()
                others[0].join(timeout=0.2)
            return time.perf_counter()
        meter, readings = nvml_meter([gpu(0)], clock=clock, in_background=False), []
        readings.append(meter.read())
        others[0].join()
        show(problems=[reading.problem for reading in readings])
        """,
        library,
        tick_ms=0,
    )
    assert seen["problems"] == ["", ""]


def test_one_meter_closing_leaves_another_open(library: Path) -> None:
    seen = run(
        """
        kept, closed = nvml_meter([gpu(0)]), nvml_meter([gpu(0)])
        closed.close(); inventory()
        show(joules=kept.read().energy_j)
        """,
        library,
    )
    assert seen["joules"] > 0


def test_a_refused_gpu_leaves_nvml_closed(library: Path) -> None:
    seen = run(
        """
        import pynvml
        why = refusal(lambda: nvml_meter([gpu(0), gpu(0)]))
        try:
            pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            show(why=why, after=str(error))
        """,
        library,
    )
    assert "one or more different GPUs" in seen["why"]
    assert seen["after"] == "Uninitialized"


@pytest.mark.parametrize(
    ("fault", "read_by", "period_s"),
    [("no_counter", "instantaneous_power", 0.1), ("no_counter,no_instant", "averaged_power", 1.0)],
)
def test_without_a_counter_power_is_integrated_and_the_record_says_so(
    library: Path, fault: str, read_by: str, period_s: float
) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0)])
        meter.start()
        first = meter.read(); time.sleep(1.5); last = meter.read()
        meter.stop()
        show(power_w=(last.energy_j - first.energy_j) / (last.time_s - first.time_s),
             period_s=meter.spec.counter.update_period_s, read_by=meter.spec.settings["gpus"][0]["read_by"],
             counter_refused=refusal(lambda: nvml_meter([gpu(0)], gpu_energy="counter")))
        """,
        library,
        fault=fault,
        watts=70,
    )
    assert seen["power_w"] == pytest.approx(70.0, rel=0.03)
    assert (seen["read_by"], seen["period_s"]) == (read_by, period_s)
    assert "has no energy counter" in seen["counter_refused"]


def test_power_can_be_asked_for_where_there_is_a_counter(library: Path) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0)], gpu_energy="power")
        meter.start()
        first = meter.read(); time.sleep(0.3); last = meter.read()
        fault("no_power"); failed = meter.read()
        show(power_w=(last.energy_j - first.energy_j) / (last.time_s - first.time_s),
             read_by=meter.spec.settings["gpus"][0]["read_by"], failed=[failed.energy_j, failed.problem])
        """,
        library,
        watts=70,
        power_factor=0.5,
    )
    assert seen["read_by"] == "instantaneous_power"
    assert seen["power_w"] == pytest.approx(35.0, rel=0.03)
    assert seen["failed"] == [None, f"NVML cannot read the power of {uuid(0)}: Not Supported"]


def test_what_was_observed_is_in_our_units(library: Path) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0), gpu(1)])
        meter.start()
        meter.read(); time.sleep(1.3); meter.read()
        meter.stop()
        show(flags=meter.flags(), **meter.observed())
        """,
        library,
        gpus=2,
        power_factor=0.5,
        held_thermal=0.05,
        held_power=0.002,
        sm_mhz=1234,
        limit_w=100,
        pids="self",
    )
    assert seen["flags"] == ["throttled_thermal"], "the window is too short to say that power disagrees"
    assert seen["clock_sm_mean_mhz"] == seen["clock_sm_min_mhz"] == 1234.0
    assert seen["power_limit_w"] == 200.0
    assert seen["mean_power_w"] == pytest.approx(140.0, rel=0.05)
    assert seen["violation_s"]["thermal"] == pytest.approx(0.065, rel=0.2)
    assert seen["violation_s"]["power"] == pytest.approx(0.0026, rel=0.2)
    assert seen["counter_over_power"] == pytest.approx(2.0, rel=0.1)
    assert seen["power_integral_j"] == pytest.approx(91.0, rel=0.1)
    assert seen["container_sees_processes"] is True


def test_side_readings_that_are_not_offered_are_observed_as_unknown(library: Path) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0)])
        meter.start(); meter.read(); meter.stop()
        show(**meter.observed())
        """,
        library,
        fault="no_side_readings,no_power",
    )
    assert seen == {
        "clock_sm_mean_mhz": None,
        "clock_sm_min_mhz": None,
        "power_limit_w": None,
        "violation_s": {"power": None, "thermal": None},
        "container_sees_processes": None,
        "mean_power_w": None,
        "energy_by_gpu_j": {uuid(0): 0.0},
        "power_integral_j": None,
        "counter_over_power": None,
    }


def test_a_superchip_can_be_read_by_the_power_of_its_gpu(library: Path) -> None:
    seen = run(
        """
        meter = nvml_meter([gpu(0)], gpu_energy="power")
        os.environ["STANDIN_NVML_FAULT"] = "no_instant"
        show(scope=meter.spec.settings["gpus"][0]["scope"],
             averaged=refusal(lambda: nvml_meter([gpu(0)], gpu_energy="power")))
        """,
        library,
        names="NVIDIA GH200 480GB",
    )
    assert seen["scope"] == "gpu"
    assert "the averaged power of" in seen["averaged"]

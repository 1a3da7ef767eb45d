"""A study over several GPUs of this machine, as a person runs it. Here the CPU trains, on cores of its own
for each slot, and NVML's stand-in serves the GPUs whose meters read."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from importlib.util import find_spec

import nvml_standin
import pytest
from conftest import run, run_here
from running_study import records_of

from search.config.cores import usable_cores
from search.files.paths import study_dir
from search.record.outcome import Role
from search.record.record import Record

Tiny = Callable[..., list[str]]
ON_GPUS = ("device=cpu", "meter=nvml", "noise.runs=1", "train.max_steps=400", "target_loss=2.6")
WATTS = 70.0


@pytest.fixture(scope="module")
def two_gpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a program that finds two GPUs."""
    if nvml_standin.compiler() is None:
        pytest.skip("no C compiler for the NVML stand-in")
    library = nvml_standin.build(tmp_path_factory.mktemp("nvml"))
    path = f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return {"LD_LIBRARY_PATH": path, "STANDIN_NVML_GPUS": "2", "STANDIN_NVML_WATTS": f"{WATTS:g}"}


def gpu_of(record: Record) -> int:
    """The index of the only GPU that the run was charged for."""
    (uuid,) = record.meter.settings["devices"]
    if record.gross_energy_j is not None and record.observed.get("energy_by_gpu_j"):
        assert record.observed["energy_by_gpu_j"].keys() == {uuid}
    return [nvml_standin.uuid(index) for index in range(2)].index(uuid)


def overlap(one: Record, other: Record) -> bool:
    return one.started_at < other.ended_at and other.started_at < one.ended_at


@pytest.mark.slow
@pytest.mark.skipif(usable_cores().threads < 2, reason="two slots need two cores")
def test_two_gpus_train_at_once_and_each_run_is_charged_for_its_own(
    tiny: Tiny, study_name: str, two_gpus: dict[str, str]
) -> None:
    longer = ("budget.forecast=null", "train.max_steps=800", "target_loss=0.5")
    command = tiny(*ON_GPUS, *longer, "budget.n_trials=4", "devices=[cuda:0,cuda:1]")
    done = run(command, **two_gpus)
    assert done.returncode == 1, done.stdout + done.stderr  # nothing reaches that target
    assert (study_dir(study_name) / "report.html").exists(), done.stderr
    records = records_of(study_name)
    assert len(records) == 4
    assert {gpu_of(record) for record in records if record.role is Role.SEARCH} == {0, 1}
    assert all(gpu_of(record) == 0 for record in records if record.role is not Role.SEARCH)
    for record in records:
        assert record.ledger is not None
        assert record.ledger.gross_energy_j == pytest.approx(WATTS * record.ledger.gross_time_s, rel=0.1)
    pairs = list(itertools.combinations(records, 2))
    assert any(overlap(*pair) for pair in pairs if gpu_of(pair[0]) != gpu_of(pair[1])), "never side by side"
    baseline = next(record for record in records if record.role is Role.BASELINE)
    assert not any(overlap(baseline, other) for other in records if other is not baseline)


@pytest.mark.slow
@pytest.mark.skipif(usable_cores().threads < 2, reason="two slots need two cores")
def test_a_study_over_several_gpus_goes_on_with_another_of_their_model(
    tiny: Tiny, study_name: str, two_gpus: dict[str, str]
) -> None:
    done = run(tiny(*ON_GPUS, "budget.n_trials=3", "devices=all"), **two_gpus)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(tiny(*ON_GPUS, "budget.n_trials=5", "devices=[cuda:1]"), **two_gpus)
    assert done.returncode == 0, done.stdout + done.stderr
    records = records_of(study_name)
    assert sorted(record.trial for record in records) == [0, 1, 2, 3, 4]
    assert [gpu_of(record) for record in records[3:]] == [1, 1]


@pytest.mark.slow
def test_gpus_of_two_kinds_are_no_study_and_leave_nothing_behind(
    tiny: Tiny, study_name: str, two_gpus: dict[str, str]
) -> None:
    kinds = {"STANDIN_NVML_NAMES": "Large;Small", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    done = run(tiny(*ON_GPUS, "devices=all"), **two_gpus, **kinds)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"name Small ({nvml_standin.uuid(0)}: Large)" in done.stderr
    assert "start another study for its kind" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not study_dir(study_name).exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ("[cuda:0,cuda:7]", "devices: 7 is no visible GPU"),
        (f"[cuda:1,{nvml_standin.uuid(1)}]", "devices: each GPU may be named once"),
    ],
)
def test_a_gpu_that_is_not_there_costs_one_line(
    tiny: Tiny, study_name: str, two_gpus: dict[str, str], devices: str, said: str
) -> None:
    done = run(tiny(*ON_GPUS, f"devices={devices}"), **two_gpus)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not study_dir(study_name).exists()


def test_a_mistake_in_devices_costs_one_line(tiny: Tiny, study_name: str) -> None:
    done = run_here(tiny("devices=[cuda:0,cuda:0]"))
    assert done.returncode == 2
    assert "devices names cuda:0 twice" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not study_dir(study_name).exists()


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_a_launcher_whose_package_is_missing_costs_one_line(tiny: Tiny, study_name: str) -> None:
    done = run_here(tiny("launcher=ray", "device=cpu"))
    assert done.returncode == 2
    assert "type pip install 'joulesearch[ray]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not study_dir(study_name).exists()

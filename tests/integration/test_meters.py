"""Meters as a person meets them: the command that lists and checks them, and whole studies on each."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nvml_standin
import pytest
from conftest import run, run_here
from running_study import records_of

from search.files.paths import study_dir
from search.meter.__main__ import nothing_compared
from search.record.meter_info import Kind
from search.record.outcome import Outcome

Tiny = Callable[..., list[str]]
METER = [sys.executable, "-m", "search.meter"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if nvml_standin.compiler() is None:
        pytest.skip("no C compiler for the NVML stand-in")
    return nvml_standin.build(tmp_path_factory.mktemp("nvml"))


def summary_of(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((study_dir(name) / "summary.json").read_text())
    return loaded


# ---- python -m search.meter


def test_the_list_says_what_works_here_and_what_stands_in_the_way_of_the_rest() -> None:
    done = run_here([*METER, "--idle", "0.3", "device=cpu"], COLUMNS="160")
    assert done.returncode == 0, done.stderr
    rows = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("│")}
    assert "estimated" in rows["cpu_time"]
    assert "modelled" in rows["roofline"]
    assert re.search(r"\d+ ms", rows["simulated"])
    assert " W " in rows["simulated"]
    absent = {line.split(":")[0].strip() for line in done.stdout.splitlines() if line.startswith("  ")}
    assert {"nvml", "rapl", "zeus"} <= absent | set(rows)


@pytest.mark.slow  # eleven seconds of load
def test_a_check_reads_a_load_and_an_idle_time_by_every_meter(library: Path) -> None:
    done = run(
        [*METER, "--check", "--seconds", "11", "--idle", "0.5", "device=cpu"],
        LD_LIBRARY_PATH=str(library),
        COLUMNS="160",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("they agree") == 2
    assert "J measured" in done.stdout
    assert "J estimated" in done.stdout


def test_a_check_says_when_it_compared_nothing() -> None:
    done = run_here(
        [*METER, "--check", "--seconds", "0.5", "--idle", "0.1", "device=cpu"], LD_LIBRARY_PATH=""
    )
    compared = "agree" in done.stdout or "zeus reads" in done.stdout
    assert ("nothing was compared" in done.stdout) is not compared
    assert nothing_compared(["cpu_time"]) == "nothing was compared: only cpu_time reads a device here"


@pytest.mark.slow  # half a minute; the rule itself is in test_gpu_meter.py
def test_a_check_of_a_gpu_whose_counter_and_power_disagree_fails(library: Path) -> None:
    done = run(
        [*METER, "--check", "--seconds", "11", "--idle", "0.5", "device=cpu"],
        LD_LIBRARY_PATH=str(library),
        STANDIN_NVML_POWER_FACTOR="0.8",
        COLUMNS="160",
    )
    assert done.returncode == 1
    assert "DO NOT AGREE" in done.stdout
    assert "counter_power_disagree" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--chek"], "there is no option --chek"),
        (["--seconds", "soon"], "expected seconds above 0, got 'soon'"),
        (["device=gpu"], "there is no device 'gpu'"),
        (["meter.watts_per_coer=3"], "did you mean meter.watts_per_core?"),
        (["meter.also=[watts]"], "meter.also must be one of"),
        (["meter=cpu_time", "meter.also=[cpu_time]"], "name each meter once"),
        (["meter.gpu_energy=both"], "meter.gpu_energy must be one of auto, counter, power"),
        (["meter=simulated", "+meter.simulated.wats=3"], "there is no key meter.simulated.wats"),
        (["meter=simulated", "meter.simulated.tick_s=3"], "tick_s must be from 0"),
        (["meter=roofline", "meter.roofline.pj_per_byte=0"], "meter.roofline.pj_per_byte must be"),
        (["device.temperature_band_c=[50,40]"], "device.temperature_band_c must be [low, high]"),
    ],
)
def test_a_mistake_costs_one_line(arguments: list[str], says: str) -> None:
    done = run_here([*METER, *arguments])
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# ---- studies


@pytest.mark.slow
def test_several_meters_are_read_in_one_trial_and_one_ranks(tiny: Tiny, study_name: str) -> None:
    done = run_here(tiny("meter=simulated", "meter.simulated.tick_s=0.0", "meter.also=[roofline,cpu_time]"))
    assert done.returncode == 0, done.stderr
    records = records_of(study_name)
    for record in records:
        assert (record.meter.name, record.meter.kind) == ("simulated", Kind.MODELLED)
        kinds = {side.meter: side.kind for side in record.second_meters}
        assert kinds == {"roofline": Kind.MODELLED, "cpu_time": Kind.ESTIMATED}
        if record.outcome.completes and not record.config["train"]["compile"]:
            assert all(side.counted_energy_j and side.counted_energy_j > 0 for side in record.second_meters)
    assert summary_of(study_name)["meter"] == {
        "name": "simulated",
        "kind": "modelled",
        "counted_phases": ["compile", "train"],
    }
    compared = summary_of(study_name)["meters_side_by_side"]
    assert {side[role]["name"] for side in compared for role in ("surrogate", "reference")} == {
        "simulated",
        "roofline",
        "cpu_time",
    }
    assert "Meters side by side" in (study_dir(study_name) / "report.html").read_text()


@pytest.mark.slow
def test_modelled_joules_are_the_same_to_the_last_digit(tiny: Tiny, study_name: str) -> None:
    ledgers = []
    for _ in range(2):
        assert run_here(tiny("meter=roofline", "budget.n_trials=1")).returncode == 0
        ledgers.append(records_of(study_name)[0].ledger)
        for file in study_dir(study_name).iterdir():
            file.unlink()
    assert ledgers[0] is not None
    assert ledgers[1] is not None
    assert ledgers[0].energy_j == ledgers[1].energy_j
    assert all(ledgers[0].energy_j[phase] > 0 for phase in ("setup", "train", "eval"))


@pytest.mark.slow
def test_a_counter_that_fails_leaves_runs_without_energy_and_never_with_zero(
    tiny: Tiny, study_name: str
) -> None:
    fault = ["+meter.simulated.unreadable_from_s=0.2", "+meter.simulated.unreadable_until_s=120.0"]
    done = run_here(tiny("meter=simulated", *fault))
    assert done.returncode == 1, done.stdout + done.stderr
    (record,) = records_of(study_name)
    assert record.outcome is Outcome.UNMEASURED
    assert record.counted_energy_j is None
    assert "is lost" in record.reason
    assert "is lost" in " ".join(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "read_by"),
    [
        ("", "total_energy_counter"),
        pytest.param("no_counter", "instantaneous_power", marks=pytest.mark.slow),
    ],
)
def test_a_study_on_nvml_needs_nothing_but_its_library(
    tiny: Tiny, study_name: str, library: Path, fault: str, read_by: str
) -> None:
    """The stand-in draws 70 W for ever: joules over seconds of the whole run must be that."""
    done = run(
        tiny("meter=nvml", "device=cpu", "budget.n_trials=1", "train.max_steps=4000", "target_loss=0.5"),
        LD_LIBRARY_PATH=f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        STANDIN_NVML_FAULT=fault,
    )
    assert done.returncode == 1, done.stdout + done.stderr  # nothing reached the target
    baseline = records_of(study_name)[0]
    assert baseline.meter.kind is Kind.MEASURED
    assert baseline.meter.settings["gpus"][0]["read_by"] == read_by
    assert baseline.ledger is not None
    seconds = baseline.ledger.gross_time_s
    assert baseline.ledger.gross_energy_j == pytest.approx(70.0 * seconds, abs=70.0 * 0.15)
    assert baseline.energy_error_j is not None
    assert baseline.observed["energy_by_gpu_j"].keys() == {nvml_standin.uuid(0)}


def test_a_meter_that_cannot_work_here_is_refused_before_anything_is_left_behind(
    tiny: Tiny, study_name: str
) -> None:
    done = run_here(tiny("meter=nvml", "device=cpu"), LD_LIBRARY_PATH="", CUDA_VISIBLE_DEVICES="77")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert not study_dir(study_name).exists()


@pytest.mark.slow
@pytest.mark.parametrize("serves", ["gpu", "rapl"])
def test_the_simulated_meter_measures_short_runs_as_it_ships(
    serves: str, tiny: Tiny, study_name: str
) -> None:
    done = run_here(tiny("meter=simulated", f"meter.simulated.serves={serves}", "budget.n_trials=2"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(record.outcome is not Outcome.UNMEASURED for record in records_of(study_name))


@pytest.mark.slow
def test_a_run_that_is_too_short_for_its_meter_cannot_rank(tiny: Tiny, study_name: str) -> None:
    coarse = "meter.simulated.tick_s=0.1"
    done = run_here(tiny("meter=simulated", coarse, "train.max_steps=1", "target_loss=9.0"))
    assert done.returncode == 1
    (record,) = records_of(study_name)
    assert record.outcome is Outcome.UNMEASURED
    assert re.search("too short for it|counted 0 J", record.reason)

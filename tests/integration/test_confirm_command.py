"""A study and its confirmation as a person runs them: real runs of a fraction of a second, real kills."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import run, run_here, tiny_study

from search.errors import COSTS, TIE, UNPROVEN
from search.files.paths import root
from search.files.records import read_records
from search.record.outcome import Role
from search.record.record import Record

NAME = "confirmed"
# Three seeds, one candidate, no repetition: what runs then depends on losses alone, which repeat exactly.
FEW = ("confirm.candidates=1", "confirm.seeds=3", "confirm.max_seeds=3", "confirm.repeats=0")
STATUSES = {"SAVES": 0, "TIE": TIE, "COSTS": COSTS, "UNPROVEN": UNPROVEN}


@dataclass(frozen=True)
class Study:
    """The folder of a study that was searched and not confirmed, and the text that it was trained on."""

    folder: Path
    text: Path

    def copied_to(self, reports: Path) -> Path:
        copy = reports / NAME
        shutil.copytree(self.folder, copy)
        return copy


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Study:
    """A study whose last stage was its confirmation."""
    reports = tmp_path_factory.mktemp("confirmed")
    done = run(tiny_study(text_file, NAME, f"reports={reports}", "budget.n_trials=4", *FEW))
    assert done.returncode == 0, done.stdout + done.stderr
    return Study(reports / NAME, text_file)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Study:
    """A study that was searched and not confirmed."""
    reports = tmp_path_factory.mktemp("searched")
    done = run(tiny_study(text_file, NAME, f"reports={reports}", "budget.n_trials=4"))
    assert done.returncode == 0, done.stdout + done.stderr
    return Study(reports / NAME, text_file)


def confirm(folder: Path, *settings: str) -> list[str]:
    return [sys.executable, "-m", "search.confirm", str(folder), *settings]


def records_in(folder: Path) -> list[Record]:
    return read_records(folder / "records.jsonl")[0]


def told(folder: Path) -> list[tuple[object, ...]]:
    """Of every run of the confirmation that was not cut off, what must repeat bit for bit."""
    return [
        (record.confirmation, record.seed, record.max_steps, record.curve[-1].loss, record.test_loss)
        for record in records_in(folder)
        if record.role.confirms and not record.interrupted
    ]


@pytest.mark.slow
def test_a_study_ends_with_its_confirmation_and_nothing_is_measured_twice(
    confirmed: Study, tmp_path: Path
) -> None:
    folder = confirmed.copied_to(tmp_path)
    records = records_in(folder)
    assert {record.role for record in records} == {Role.BASELINE, Role.SEARCH, Role.FIT, Role.CONFIRM}
    for record in records:
        assert (record.test_loss is not None) == record.role.confirms
        if record.role.confirms:
            assert len(record.curve) == 1
            assert record.curve[-1].step == record.max_steps
    done = run_here(confirm(folder, *FEW))
    verdict = json.loads((folder / "summary.json").read_text())["verdict"][0]
    assert done.returncode == STATUSES[verdict["verdict"]], done.stdout + done.stderr
    assert verdict["verdict"] in " ".join(done.stdout.split())
    assert len(records_in(folder)) == len(records)


@pytest.mark.slow
def test_a_study_is_confirmed_afterwards(searched: Study, tmp_path: Path) -> None:
    folder = searched.copied_to(tmp_path)
    before = (folder / "records.jsonl").read_text()
    done = run_here(confirm(folder, *FEW))
    assert done.returncode in STATUSES.values(), done.stdout + done.stderr
    assert (folder / "records.jsonl").read_text().startswith(before)
    assert told(folder)


@pytest.mark.slow
def test_best_yaml_is_the_confirmed_recipe_and_is_trained_to_its_last_step(
    confirmed: Study, tmp_path: Path
) -> None:
    folder = confirmed.folder
    summary = json.loads((folder / "summary.json").read_text())
    (first, *_), steps = (folder / "best.yaml").read_text().splitlines(), summary["verdict"][0]["steps"]
    assert first.startswith(f"# {summary['verdict'][0]['verdict']}")
    output = tmp_path / "runs.jsonl"
    command = [sys.executable, "-m", "search.train", f"recipe={folder}", "seed=77", f"output={output}"]
    done = run_here(command)
    (record,) = read_records(output)[0]
    assert done.returncode == (0 if record.feasible else 1), done.stdout + done.stderr
    assert record.steps == record.max_steps == steps
    assert [point.step for point in record.curve] == [steps]
    assert record.test_loss is not None


def test_a_folder_that_is_no_study_or_a_setting_that_is_the_studys_costs_one_line(
    tmp_path: Path,
) -> None:
    study = Path(__file__).parents[1] / "studies" / "begun_before"
    for command, words in (
        (confirm(tmp_path), "is not the report folder of a study"),
        (confirm(study, "target_loss=3"), "cannot be set here"),
        (confirm(study, "confirm.seed=3"), "did you mean confirm.seeds?"),
        (confirm(study, "confirm.seeds=two"), "confirm.seeds"),
        (confirm(study, "confirm.max_seeds=4", "confirm.seeds=5"), "confirm.max_seeds must be"),
    ):
        done = run_here(command)
        assert done.returncode == 2, command
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.many
def test_ten_kills_at_random_moments_leave_the_same_runs_and_the_same_verdict(
    searched: Study, tmp_path: Path
) -> None:
    """`kill -9` of the study and its worker together; losses are equal bit for bit."""
    whole, killed = searched.copied_to(tmp_path / "whole"), searched.copied_to(tmp_path / "killed")
    more = ("confirm.candidates=1", "confirm.seeds=7", "confirm.max_seeds=7", "confirm.repeats=0")
    undisturbed = run(confirm(whole, *more))
    began = time.monotonic()
    chance = random.Random(0)
    for _ in range(10):
        process = subprocess.Popen(
            confirm(killed, *more),
            cwd=root(),
            env=os.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        records = killed / "records.jsonl"
        size = records.stat().st_size
        while records.stat().st_size == size and process.poll() is None and time.monotonic() - began < 600:
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.2))
        assert process.poll() is None, "there was nothing left to kill"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    last = run(confirm(killed, *more))
    assert told(killed) == told(whole)
    assert any(record.interrupted for record in records_in(killed))
    verdicts = [json.loads((folder / "summary.json").read_text())["verdict"][0] for folder in (whole, killed)]
    for field in ("arm", "steps", "seeds", "misses", "mean_loss", "p_reach"):
        assert verdicts[0][field] == verdicts[1][field]
    clauses = [{one["name"]: one["holds"] for one in verdict["clauses"]} for verdict in verdicts]
    assert clauses[0]["reach"] == clauses[1]["reach"]
    assert clauses[0]["loss"] == clauses[1]["loss"]
    assert {undisturbed.returncode, last.returncode} <= set(STATUSES.values())

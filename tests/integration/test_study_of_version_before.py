"""A study that version 0.1.0 left behind: it is read, it is reported, and the same command continues it once
it names the sampler of that time.

Seven runs of bytes of the plays, on one thread of a machine with another processor than this one's, perhaps:
so the copies say that they ran here.
"""

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from conftest import run_here, tiny_study

from search.config.schema import DeviceSection
from search.files.records import read_records
from search.record.outcome import Outcome, Role
from search.worker.device import resolve

LEFT = Path(__file__).parents[1] / "studies" / "begun_before"
NAME = "begun_before"
ITS_CPU = "AMD EPYC"
# What was typed, apart from the names of the study and of the text; and what a study had unless it said so.
ITS_SAMPLER = "sampler=tpe"
TYPED = ("data.tokenizer=bytes", "target_loss=3.3", "train.max_steps=120")


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A folder of reports with a copy of the study, as if this machine had begun it."""
    folder = tmp_path / "reports" / NAME
    shutil.copytree(LEFT, folder)
    here = resolve(DeviceSection(name="cpu")).name
    records = folder / "records.jsonl"
    records.write_text(records.read_text().replace(ITS_CPU, here))
    with closing(sqlite3.connect(folder / "study.db")) as database, database:
        database.execute(
            "UPDATE study_user_attributes SET value_json = replace(value_json, ?, ?)", (ITS_CPU, here)
        )
    return folder.parent


def test_its_records_are_read_with_the_meaning_that_they_had() -> None:
    records, _ = read_records(LEFT / "records.jsonl")
    assert [record.trial for record in records] == list(range(7))
    assert [record.role for record in records] == [Role.BASELINE] + [Role.SEARCH] * 6
    before = [json.loads(line) for line in (LEFT / "records.jsonl").read_text().splitlines()]
    for record, line in zip(records, before, strict=True):
        assert dict(record.spent) == line["values"]
        assert record.counted_energy_j == line["counted_energy_j"]
        assert dict(record.values) == (line["values"] if record.feasible else {})
    assert records[-1].outcome is Outcome.DOMINATED


def test_its_report_is_drawn_with_the_numbers_that_it_had(reports: Path) -> None:
    done = run_here([sys.executable, "-m", "search.report", str(reports / NAME)])
    assert done.returncode == 0, done.stderr
    now = json.loads((reports / NAME / "summary.json").read_text())
    before = json.loads((LEFT / "summary.json").read_text())
    assert (reports / NAME / "report.html").is_file()
    assert (now["schema"], before["schema"]) == (2, 1)
    assert now["outcomes"] == before["outcomes"]
    assert now["baseline"]["values"] == before["baseline"]["values"]
    front = [(run["trial"], run["values"], run["phases_j"]) for run in now["front"]]
    assert front == [
        (run["trial"], run["values"], {**run["phases_j"], "inference": 0.0}) for run in before["front"]
    ]
    assert now["search_cost"]["energy_j"] == before["search_cost"]["energy_j"]


@pytest.mark.slow
def test_the_same_command_continues_it_with_the_sampler_of_then(reports: Path, text_file: Path) -> None:
    before = (reports / NAME / "records.jsonl").read_text()
    command = tiny_study(text_file, NAME, f"reports={reports}", *TYPED, "budget.n_trials=8")
    refused = run_here(command)
    assert refused.returncode == 2
    assert "sampler.name: 'tpe' -> 'cei'" in " ".join(refused.stderr.split())
    command.append(ITS_SAMPLER)
    done = run_here(command)
    assert done.returncode == 0, done.stdout + done.stderr
    written = (reports / NAME / "records.jsonl").read_text()
    assert written.startswith(before)
    records, _ = read_records(reports / NAME / "records.jsonl")
    assert [record.trial for record in records] == list(range(8))
    assert records[7].role is Role.SEARCH
    assert "continuing after 7 finished trials" in done.stdout
    # It told Optuna that a dominated run was COMPLETE, where its joules could win.
    assert "trial 6 is COMPLETE there" in " ".join(done.stdout.split())


def test_another_target_is_refused_with_what_it_was_begun_with(reports: Path, text_file: Path) -> None:
    typed = [one for one in TYPED if not one.startswith("target_loss")]
    done = run_here(tiny_study(text_file, NAME, f"reports={reports}", *typed, ITS_SAMPLER, "target_loss=3.2"))
    assert done.returncode == 2
    assert "target_loss" in done.stderr
    assert "3.3" in done.stderr

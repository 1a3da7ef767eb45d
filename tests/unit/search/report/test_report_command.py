from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from records_factory import (
    BASELINE,
    CHEAP,
    METER,
)

from search.files.records import append_record
from search.report.__main__ import main


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    folder.mkdir()
    for record in (BASELINE, CHEAP):
        append_record(folder / "records.jsonl", record)
    return folder


def test_the_command_draws_the_report_of_a_folder_with_its_configuration(
    study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (study_folder / "config.yaml").write_text(
        "names: [time_to_target_s]\nobjective:\n  names: ${names}\nrun: ${nowhere:x}\n"
    )
    assert main([str(study_folder)]) == 0
    assert "Report: " in capsys.readouterr().out
    assert (study_folder / "report.html").is_file()
    assert json.loads((study_folder / "summary.json").read_text())["objectives"] == ["time_to_target_s"]


def test_the_command_tolerates_a_torn_last_line_and_a_missing_configuration(study_folder: Path) -> None:
    with (study_folder / "records.jsonl").open("a") as file:
        file.write('{"schema": 1, "stu')
    assert main([str(study_folder)]) == 0
    assert json.loads((study_folder / "summary.json").read_text())["search_cost"]["runs"] == 2


def mistyped(study_folder: Path, mistake: str) -> list[str]:
    if mistake == "no argument":
        return []
    if mistake == "no folder":
        return [str(study_folder / "nowhere")]
    if mistake == "no records":
        (study_folder / "records.jsonl").unlink()
    if mistake == "corrupt line":
        text = (study_folder / "records.jsonl").read_text()
        (study_folder / "records.jsonl").write_text("garbage\n" + text)
    if mistake == "mixed meters":
        other = dataclasses.replace(CHEAP, meter=dataclasses.replace(METER, name="nvml"), run_id="other")
        append_record(study_folder / "records.jsonl", other)
    if mistake == "broken configuration":
        (study_folder / "config.yaml").write_text("a: [1\nb: }")
    return [str(study_folder)]


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("no argument", "arguments are required: folder"),
        ("no folder", "no folder"),
        ("no records", "no records.jsonl in"),
        ("corrupt line", "line 1"),
        ("mixed meters", "2 meters"),
        ("broken configuration", "config.yaml: expected a YAML mapping"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_exit_status_2_and_creates_nothing(
    study_folder: Path, capsys: pytest.CaptureFixture[str], mistake: str, says: str
) -> None:
    arguments = mistyped(study_folder, mistake)
    before = sorted(study_folder.parent.rglob("*"))
    try:
        status = main(arguments)
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert says in err
    assert sorted(study_folder.parent.rglob("*")) == before


def test_the_command_runs_as_a_module(study_folder: Path) -> None:
    shutil.rmtree(study_folder)
    ran = subprocess.run(
        [sys.executable, "-m", "search.report", str(study_folder)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[4],
        check=False,
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "python -m search.report: no folder" in ran.stderr

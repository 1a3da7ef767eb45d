"""What is typed for an exam: its own settings, its study, and mistakes in one line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from model.config import ConfigError
from search.config.schema import StudyConfig
from search.errors import UserError
from search.exam.commands import meter_overrides, study_overrides
from search.exam.loop import comparable
from search.exam.plan import StepName
from search.exam.settings import ExamSettings, parted
from search.files.paths import root


def test_the_exams_own_settings_are_told_from_the_studys() -> None:
    settings, rest = parted(["exam.minutes=5", "+study=demo", "device=cpu", "exam.skip=[tests,variants]"])
    assert (settings.minutes, settings.skip) == (5.0, ["tests", "variants"])
    assert rest == ["+study=demo", "device=cpu"]
    left = (StepName.ENVIRONMENT, StepName.METER, StepName.PROFILES, StepName.STUDY, StepName.REPORT)
    assert settings.wanted == left


def test_without_a_study_it_is_nanogpts_for_a_gpu() -> None:
    assert parted([])[1] == ["+study=shakespeare_char_gpu"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("exam.minuts=3", "did you mean exam.minutes?"),
        ("exam.minutes=soon", "must be a number"),
        ("exam.minutes=0", "more than 0"),
        ("exam.minutes", "takes a value"),
        ("exam.slice_minutes=1", "more than exam.let_end_s and exam.stop_s together"),
        ("exam.skip=[test]", "environment, meter, tests"),
        ("exam.let_end_s=1", "exam.stop_s=20 or more"),
        ("-m", "an exam has one study"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_type(typed: str, says: str) -> None:
    with pytest.raises((UserError, ConfigError)) as refused:
        parted([typed])
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_study_gets_minutes_and_a_short_confirmation_unless_they_were_typed() -> None:
    config, settings = StudyConfig(), ExamSettings(minutes=10, search_share=0.5)
    ours = study_overrides(config, [], settings, Path("/x"))
    assert ours == [
        "reports=/x",
        "budget.study_time_s=300.0",
        "confirm.candidates=1",
        "confirm.seeds=3",
        "confirm.max_seeds=5",
    ]
    typed = ["budget.study_time_s=9", "confirm.seeds=4", "confirm.max_seeds=8"]
    assert study_overrides(config, typed, settings, Path("/x")) == ["reports=/x", "confirm.candidates=1"]
    config.confirm.candidates = 0
    assert "confirm.candidates=1" not in study_overrides(config, typed, settings, Path("/x"))


def test_the_check_of_the_meter_gets_the_studys_device_and_meter() -> None:
    config = StudyConfig()
    config.device.name, config.meter.name, config.meter.gpus = "cuda", "nvml", ["0", "1"]
    config.meter.allow_module_scope = True
    assert meter_overrides(config) == [
        "device.name=cuda",
        "meter.name=nvml",
        "meter.gpus=[0,1]",
        "meter.allow_module_scope=true",
    ]


def test_where_things_lie_may_differ_when_an_exam_goes_on() -> None:
    here = ["--config-dir", "/a", "+study=tiny", "data.path=/a/text", "seed=3"]
    there = ["seed=3", "+study=tiny", "--config-dir", "/b", "data.path=/b/text"]
    assert comparable(here) == comparable(there) == ("+study=tiny", "seed=3")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_hands_on_what_is_typed(tmp_path: Path) -> None:
    typed = ["exam.plan=true", "+study=demo", "exam.skip=[tests,variants]", "study.name=a b"]
    (tmp_path / "python").write_text('#!/bin/sh\nshift 2\nprintf "%s\\n" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    stamp = tmp_path / "stamp"
    stamp.touch()
    command = ["make", "-s", "exam", "ARGS=device=cpu", f"BIN={tmp_path}", f"STAMP={stamp}", "-o", str(stamp)]
    done = subprocess.run([*command, *typed], cwd=root(), capture_output=True, text=True, check=True)
    given = done.stdout.splitlines()
    assert given[0] == "device=cpu"
    assert set(typed) <= set(given)

"""The trials of other studies that teach this one, and their copy in its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from records_factory import PROVENANCE, make_record

from search.config.schema import StudyConfig
from search.files.prior import keep_prior
from search.files.records import append_record
from search.record.meter_info import Kind
from search.record.outcome import Role
from search.record.prior import PriorStudy
from search.record.record import Record
from search.space.parse import parse_space
from search.study.search_settings import SearchSettings
from search.study.teaching import teaching_trials

CONFIG = StudyConfig(target_loss=2.3)
SPACE = parse_space({"train.batch_size": {"type": "int", "low": 1, "high": 64}}, CONFIG.run_values())
SETTINGS = SearchSettings(CONFIG, SPACE, vocab_size=65, provenance=PROVENANCE)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A study with three trials, of which one lies outside the space."""
    folder = tmp_path / "other"
    folder.mkdir()
    for number, batch_size in enumerate((8, 16, 128)):
        add_trial(folder, number, batch_size)
    return folder


def add_trial(folder: Path, number: int, batch_size: int) -> None:
    config = SPACE.config({"train.batch_size": batch_size})
    made = replace(make_record(number, role=Role.SEARCH), run_id=f"run-{number}", config=config)
    append_record(folder / "records.jsonl", made)


def taught(folder: Path, *names: Path, notes: list[str] | None = None) -> tuple[Record, ...]:
    """As a study does it when it starts."""
    folder.mkdir(exist_ok=True)
    prior = {str(name): PriorStudy(name.name, 10.0, Kind.ESTIMATED) for name in names}
    heard: list[str] = [] if notes is None else notes
    found = teaching_trials(folder, prior, SETTINGS, "estimated", heard.append)
    keep_prior(folder, prior)
    return found


def test_trials_in_this_space_teach_and_their_number_is_said(tmp_path: Path, other: Path) -> None:
    notes: list[str] = []
    found = taught(tmp_path / "own", other, notes=notes)
    assert [record.params for record in found] == [{"train.batch_size": 8}, {"train.batch_size": 16}]
    assert notes == [f"study.prior: 2 of 3 trials of {other} lie in this space and teach the sampler"]


def test_a_study_that_continues_is_taught_what_it_was_when_it_began(tmp_path: Path, other: Path) -> None:
    own, notes = tmp_path / "own", list[str]()
    first = taught(own, other)
    add_trial(other, 3, 32)
    assert taught(own, other, notes=notes) == first
    assert notes == []


def test_a_folder_that_is_added_teaches_too_and_one_that_is_dropped_no_more(
    tmp_path: Path, other: Path
) -> None:
    own, third = tmp_path / "own", tmp_path / "third"
    third.mkdir()
    add_trial(third, 7, 4)
    taught(own, other)
    assert [record.trial for record in taught(own, other, third)] == [0, 1, 7]
    assert [record.trial for record in taught(own, third)] == [7]


def test_a_study_that_cannot_teach_says_why(tmp_path: Path, other: Path) -> None:
    notes: list[str] = []
    settings = replace(SETTINGS, config=StudyConfig(target_loss=1.5))
    prior = {str(other): PriorStudy("other", 10.0, Kind.ESTIMATED)}
    (tmp_path / "own").mkdir()
    assert teaching_trials(tmp_path / "own", prior, settings, "estimated", notes.append) == ()
    assert notes == [
        f"study.prior: {other} teaches the sampler nothing: its target is 2.30 nats per token, "
        "and this study's 1.50 nats per token"
    ]
    assert not (tmp_path / "own" / "prior-trials.jsonl").exists()

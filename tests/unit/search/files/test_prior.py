"""What the studies cost by which a space was narrowed: read from their folders, kept in this study's."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from records_factory import BASELINE, CHEAP, NVML, unmeasured

from search.errors import UserError
from search.files.prior import FILE, check_kind, keep_prior, kept_prior, read_prior
from search.files.records import append_record
from search.record.meter_info import Kind
from search.record.prior import PriorStudy
from search.record.record import Record

SUMMARY = {
    "schema": 1,
    "study": "before",
    "meter": {"name": "cpu_time", "kind": "estimated"},
    "search_cost": {"energy_j": 320.0},
}
BEFORE = PriorStudy("before", 320.0, Kind.ESTIMATED)


def with_summary(folder: Path, **changes: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(SUMMARY | changes))
    return str(folder)


def with_records(folder: Path, *records: Record) -> str:
    folder.mkdir()
    for number, record in enumerate(records):
        append_record(folder / "records.jsonl", dataclasses.replace(record, run_id=f"run-{number}"))
    return str(folder)


@pytest.mark.parametrize("schema", [1, 2])
def test_a_summary_of_either_schema_says_what_a_study_cost(tmp_path: Path, schema: int) -> None:
    name = with_summary(tmp_path / "before", schema=schema)
    assert read_prior([name], tmp_path / "own") == {name: BEFORE}


def test_without_a_summary_the_records_say_it(tmp_path: Path) -> None:
    name = with_records(tmp_path / "before", BASELINE, CHEAP, unmeasured(2, "stood still"))
    (found,) = read_prior([name], tmp_path / "own").values()
    assert found.energy_j == pytest.approx((BASELINE.gross_energy_j or 0) + (CHEAP.gross_energy_j or 0))
    assert (found.study, found.kind) == ("demo", Kind.ESTIMATED)


def refusal(names: list[str], own: Path) -> str:
    with pytest.raises(UserError) as refused:
        read_prior(names, own)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_that_is_no_studys_is_refused(tmp_path: Path) -> None:
    assert "not the report folder of a study" in refusal([str(tmp_path / "none")], tmp_path / "own")


@pytest.mark.parametrize("changes", [{"schema": 3}, {"meter": {"kind": None}}, {"search_cost": {}}])
def test_a_summary_that_does_not_say_it_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    name = with_summary(tmp_path / "before", **changes)
    assert "does not say what it cost" in refusal([name], tmp_path / "own")


def test_unknown_joules_are_not_none_spent(tmp_path: Path) -> None:
    of_records = with_records(tmp_path / "a", unmeasured(1, "stood still"))
    of_summary = with_summary(tmp_path / "b", search_cost={"energy_j": 0.0})
    for name in (of_records, of_summary):
        assert "no run has joules that are known" in refusal([name], tmp_path / "own")


def test_records_of_several_kinds_are_refused(tmp_path: Path) -> None:
    name = with_records(tmp_path / "a", BASELINE, dataclasses.replace(CHEAP, meter=NVML))
    assert "several kinds" in refusal([name], tmp_path / "own")


def test_no_study_is_counted_twice_nor_itself(tmp_path: Path) -> None:
    name = with_summary(tmp_path / "before")
    assert f"which is {name}" in refusal([name, f"{name}/../before"], tmp_path / "own")
    assert f"which is {name}" in refusal([name, name], tmp_path / "own")
    assert "this study itself" in refusal([name], tmp_path / "before")


def test_joules_of_another_kind_do_not_add_up() -> None:
    check_kind({"a": BEFORE}, Kind.ESTIMATED)
    with pytest.raises(UserError, match=r"a, whose joules are estimated, and this study's are measured"):
        check_kind({"a": BEFORE}, Kind.MEASURED)


# --- what is kept


def test_what_is_kept_is_read_again_without_the_folders(tmp_path: Path) -> None:
    own, name = tmp_path / "own", with_summary(tmp_path / "before")
    own.mkdir()
    prior = read_prior([name], own)
    keep_prior(own, prior)
    shutil.rmtree(name)
    assert kept_prior(own) == prior
    assert read_prior([name], own) == prior


def test_a_folder_that_is_there_says_what_it_costs_by_now(tmp_path: Path) -> None:
    own, name = tmp_path / "own", with_summary(tmp_path / "before")
    own.mkdir()
    keep_prior(own, read_prior([name], own))
    with_summary(tmp_path / "before", search_cost={"energy_j": 400.0})
    assert read_prior([name], own)[name].energy_j == 400.0


def test_without_studies_before_nothing_is_kept(tmp_path: Path) -> None:
    keep_prior(tmp_path, {})
    assert kept_prior(tmp_path) == {}
    keep_prior(tmp_path, {"reports/before": BEFORE})
    keep_prior(tmp_path, {})
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("text", ["", "[1]", '{"a": {}}', '{"a": {"kind": "guessed"}}'])
def test_a_file_that_says_something_else_is_not_taken_for_no_cost(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=FILE):
        kept_prior(tmp_path)

"""What scripts may rely on: the schema of `summary.json` and the columns of `trials.csv`, as shipped."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from records_factory import (
    PROVENANCE,
    make_confirmed_study,
    make_lookup_study,
    make_metered_study,
    make_record,
    make_study,
    study_config,
)

from search.record.outcome import Outcome
from search.record.record import Record
from search.report.csv_columns import ColumnFamily, documented, trials_frame
from search.report.schema import documents, main, summary_schema
from search.report.summary_json import summary
from search.report.view.data import StudyView, study_view

DOCS = Path(__file__).parents[4] / "docs"
BEFORE = Path(__file__).parents[3] / "studies" / "begun_before"
STUDIES = {
    "whole": make_study(),
    "lookup-like": make_lookup_study(),
    "metered": make_metered_study(),
    "confirmed": make_confirmed_study(),
    "nothing": [],
}


def view_of(*records: Record) -> StudyView:
    return study_view(records, study_config())


@pytest.mark.parametrize("name", documents())
def test_what_is_shipped_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == documents()[name], (
        "type: python -m search.report.schema docs"
    )


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(summary_schema())


def test_a_summary_of_the_first_version_is_valid_by_the_schema_that_is_kept_for_it() -> None:
    schema = json.loads((DOCS / "summary-1.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads((BEFORE / "summary.json").read_text(encoding="utf-8")), schema)


def test_a_reader_of_one_schema_is_told_by_the_number_that_a_file_is_of_another() -> None:
    first = json.loads((DOCS / "summary-1.schema.json").read_text(encoding="utf-8"))
    content = summary(view_of(*make_study()))
    assert content["schema"] == summary_schema()["properties"]["schema"]["const"] == 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, first)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"schema": 1}, summary_schema())


def described(schema: dict[str, Any], path: str = "") -> list[str]:
    """Paths of properties that neither a description nor a definition explains."""
    missing = []
    for name, item in schema.get("properties", {}).items():
        if "description" not in item and "$ref" not in item:
            missing.append(f"{path}.{name}")
    for name, item in schema.get("$defs", {}).items():
        missing += described(item, name)
    return missing


def test_every_field_has_a_meaning() -> None:
    assert described(summary_schema()) == []


def test_a_file_of_a_later_version_with_a_further_field_is_valid_still() -> None:
    content = summary(view_of(*make_study())) | {"weather": {"rain": 1.02}}
    jsonschema.validate(content, summary_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, summary_schema(closed=True))


@pytest.mark.parametrize("broken", [{"best": "trial 7"}, {"outcomes": {"WON": 1}}, {"device": {"name": 3}}])
def test_what_is_of_another_type_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(summary(view_of(*make_study())) | broken, summary_schema())


@pytest.mark.parametrize("records", STUDIES.values(), ids=STUDIES)
def test_every_column_of_a_table_is_in_the_dictionary(records: list[Record]) -> None:
    columns = trials_frame(view_of(*records)).columns
    names = {column.name for column in documented()}
    families = [column for column in documented() if isinstance(column, ColumnFamily)]
    unknown = [c for c in columns if c not in names and not any(f.covers(c) for f in families)]
    assert unknown == []


def test_every_column_of_the_dictionary_that_is_there_for_every_study_is_in_each_table() -> None:
    columns = set(trials_frame(view_of(make_record(1))).columns)
    always = {c.name for c in documented() if not isinstance(c, ColumnFamily) and not c.optional}
    assert always <= columns


def test_the_parameters_of_a_run_that_missed_are_known_though_they_are_an_objective() -> None:
    missed = make_record(2, outcome=Outcome.DOMINATED, parameters=7)
    frame = trials_frame(
        study_view([make_record(1), missed], study_config("energy_to_target_j", "parameters"))
    )
    assert list(frame.run_parameters) == [804_096, 7]


def test_the_summary_names_device_versions_and_dates() -> None:
    hardware = {"device": "NVIDIA H100", "device_uuid": "GPU-1", "cpu": "Xeon", "cores": 8, "threads": 1}
    known = PROVENANCE | {"hardware": hardware | {"system": "Linux 6.1"}}
    content = summary(view_of(*(dataclasses.replace(record, provenance=known) for record in make_study())))
    assert content["device"]["name"] == "NVIDIA H100"
    assert content["versions"]["joulesearch"] == "0.1.0"
    assert content["versions"]["software"]["torch"] == "2.11.0"
    assert content["dates"] == {
        "first_started": "2026-03-01T10:00:00+00:00",
        "last_ended": "2026-03-01T10:15:40+00:00",
    }
    assert content["problem"]["bytes_per_token"] == 1.0


def test_without_provenance_what_is_not_known_is_null() -> None:
    record = dataclasses.replace(make_record(1), provenance={}, started_at="", ended_at="")
    content = summary(view_of(record))
    assert set(content["device"].values()) == {None}
    assert content["dates"] == {"first_started": None, "last_ended": None}
    assert content["versions"]["software"] == {}


def test_both_files_are_written_into_the_folder_that_is_named(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(documents())
    assert json.loads((tmp_path / "summary.schema.json").read_text()) == summary_schema()


def test_without_a_folder_it_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "for example docs" in capsys.readouterr().err

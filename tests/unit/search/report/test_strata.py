"""The report of a study that several kinds of device worked on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from records_factory import make_study, study_config

from search.record.record import Record
from search.report.view.mixed import ReportError
from search.report.write import write_reports

SHARED = study_config() | {"storage": "postgresql+psycopg://here/db"}


def on_another(records: list[Record], device: str) -> list[Record]:
    def moved(record: Record) -> Record:
        hardware = {**record.provenance.get("hardware", {}), "device": device}
        settings = {"gpus": [{"name": device}]}
        return replace(
            record,
            run_id=f"{record.run_id}-{device}",
            trial=record.trial + 100,
            provenance={**record.provenance, "hardware": hardware},
            meter=replace(record.meter, settings=settings),
        )

    return [moved(record) for record in records]


def summary_in(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "summary.json").read_text()))


def test_each_kind_of_device_has_a_report_with_its_own_baseline(tmp_path: Path) -> None:
    most = make_study()
    fewer = on_another(most, "H100")[:-1]
    page, view = write_reports(tmp_path, [*fewer, *most], SHARED)
    assert len(view.runs) == len(most)
    (other,) = tmp_path.glob("stratum-2-*")
    assert other.name == "stratum-2-h100"
    main, second = page.read_text(), (other / "report.html").read_text()
    assert "2 kinds of device" in main
    assert "2 kinds of device" in second
    assert f"{other.name}/report.html" in main
    assert "../report.html" in second
    assert summary_in(tmp_path)["baseline"] != summary_in(other)["baseline"]
    assert [one["runs"] for one in summary_in(tmp_path)["other_strata"]] == [len(fewer)]  # type: ignore[attr-defined]


def test_a_study_on_one_kind_of_device_says_nothing_of_others(tmp_path: Path) -> None:
    page, _ = write_reports(tmp_path, make_study(), SHARED)
    assert "kinds of device" not in page.read_text()
    assert "other_strata" not in summary_in(tmp_path)


def test_records_of_a_study_on_one_machine_that_mix_meters_are_refused(tmp_path: Path) -> None:
    records = make_study()
    with pytest.raises(ReportError):
        write_reports(tmp_path, [*records, *on_another(records, "H100")], study_config())

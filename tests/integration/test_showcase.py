"""The studies that are kept as showcases: real records, which the code of now reads and comes to the same
verdict by."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from search.files.paths import root
from search.files.prior import kept_prior
from search.files.records import read_records
from search.files.study_config import read_config
from search.report.schema import summary_schema
from search.report.summary_json import summary
from search.report.view.data import study_view

SHOWCASES = sorted((root() / "reports").glob("showcase-*/"))
LARGEST_BYTES = 10_000_000

every_showcase = pytest.mark.parametrize("folder", SHOWCASES, ids=lambda folder: folder.name)


def test_there_is_one() -> None:
    assert SHOWCASES


@every_showcase
def test_it_is_whole_and_not_large(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names >= {"report.html", "summary.json", "trials.csv", "records.jsonl", "best.yaml", "config.yaml"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < LARGEST_BYTES


@every_showcase
def test_no_path_of_a_machine_is_in_it(folder: Path) -> None:
    for path in folder.iterdir():
        found = [place for place in (b"/home/", b"/root/", b"/tmp/") if place in path.read_bytes()]
        assert not found, path.name


@every_showcase
def test_its_summary_is_what_its_records_say(folder: Path) -> None:
    records, _ = read_records(folder / "records.jsonl")
    config = read_config(folder / "config.yaml")
    found = summary(study_view(records, config, tuple(kept_prior(folder).values())))
    kept = json.loads((folder / "summary.json").read_text())
    jsonschema.validate(kept, summary_schema())
    assert found["verdict"] == kept["verdict"]
    assert found["verdict"][0]["verdict"] == "SAVES"
    assert found["search_cost"] == kept["search_cost"]

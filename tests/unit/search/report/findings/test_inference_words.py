"""What a generated token takes, in words."""

from __future__ import annotations

import dataclasses

from records_factory import BASELINE, CHEAP, study_config
from report_page import view_of

from search.record.inference import BatchInference, Inference
from search.record.record import Record
from search.report.csv_columns import documented, trials_frame
from search.report.findings.inference import inference_findings, inference_words
from search.report.summary_json import summary
from search.report.view.data import study_view


def generating(record: Record, single_j: float, **fields: object) -> Record:
    batches = (
        BatchInference(
            1, generations=10, tokens=500, energy_j=500 * single_j, energy_error_j=0.0, time_s=2.0
        ),
        BatchInference(64, reason="a batch of 64 does not fit the device's memory"),
    )
    return dataclasses.replace(record, inference=Inference(16, 50, batches, **fields))


VIEW = study_view([generating(BASELINE, 0.002), generating(CHEAP, 0.003)], study_config())


def test_every_run_that_is_shown_stands_beside_the_baseline() -> None:
    found = inference_findings(VIEW)
    assert [(row.batch, row.energy, row.ratio, row.speed) for row in found.rows if row.batch == "1"] == [
        ("1", "2.00 mJ", "", "250"),
        ("1", "3.00 mJ", "1.50", "250"),
    ]
    too_large = next(row for row in found.rows if row.batch == "64")
    assert (too_large.energy, too_large.ratio, too_large.speed) == (
        "unknown: a batch of 64 does not fit the device's memory",
        "",
        "unknown",
    )
    assert "pass over all of it" not in found.note


def test_what_was_computed_again_is_said() -> None:
    slid = BatchInference(1, generations=1, tokens=50, recomputed=2, energy_j=1.0, time_s=1.0)
    why = "model.attention=mine has no attention over kept keys and values"
    record = dataclasses.replace(BASELINE, inference=Inference(16, 50, (slid,), why))
    note = inference_findings(view_of(record)).note
    assert "pass over all of it" in note
    assert why in note


def test_a_study_that_generated_nothing_has_no_section() -> None:
    assert inference_findings(view_of(BASELINE, CHEAP)).rows == ()


def test_the_error_is_shown_where_it_can_be_seen() -> None:
    one = BatchInference(1, generations=1, tokens=100, energy_j=1.0, energy_error_j=0.02, time_s=1.0)
    assert inference_words(one) == "10.0 mJ ± 2 % a token at a batch of 1 (100 tokens in 1.00 s)"


def test_scripts_read_it_too() -> None:
    front = {run["trial"]: run for run in summary(VIEW)["front"]}
    single, large = front[CHEAP.trial]["inference"]["batches"]
    assert (single["energy_j_per_token"], single["tokens"]) == (0.003, 500)
    assert (large["energy_j_per_token"], large["energy_j"]) == (None, None)
    frame = trials_frame(VIEW)
    assert list(frame.inference_1_j_per_token) == [0.002, 0.003]
    assert frame.inference_64_j.isna().all()
    assert all(any(_covers(one, name) for one in documented()) for name in frame.columns)


def _covers(column: object, name: str) -> bool:
    return column.covers(name) if hasattr(column, "covers") else getattr(column, "name", "") == name

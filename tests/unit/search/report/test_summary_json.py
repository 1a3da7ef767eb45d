from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import jsonschema
import numpy as np
import pytest
from records_factory import (
    BASELINE,
    CHEAP,
    NVML,
    SHORT_BASELINE,
    make_lookup_study,
    make_metered_study,
    make_misranked_study,
    make_record,
    make_study,
    read_beside,
    study_config,
    unmeasured,
)
from report_page import view_of

from search.record.outcome import Outcome
from search.record.record import Record
from search.report.schema import summary_schema
from search.report.summary_json import summary
from search.report.view.data import study_view


def only_builtin(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and only_builtin(item) for key, item in value.items())
    if isinstance(value, list):
        return all(only_builtin(item) for item in value)
    return value is None or type(value) in (bool, int, float, str)


STUDIES = {
    "whole": make_study(),
    "nothing yet": [],
    "baseline only": [BASELINE],
    "no baseline": [CHEAP],
    "baseline short of the target": [SHORT_BASELINE, CHEAP],
    "nothing reached": [SHORT_BASELINE, make_record(2, outcome=Outcome.DOMINATED)],
    "nothing measured": [unmeasured(3, "the counter stood still")],
    "killed baseline": [make_record(0, outcome=Outcome.CRASHED, interrupted=True)],
    "no provenance": [dataclasses.replace(CHEAP, provenance={})],
    "lookup-like trials": make_lookup_study(),
    "a modelled meter beside a measured one": make_metered_study(),
    "a measured meter beside a modelled one": make_misranked_study(),
    "a meter beside a single run": [read_beside(CHEAP, NVML, 3.0)],
    "a meter beside it that could not be read": [read_beside(CHEAP, NVML, 3.0, counted_energy_j=None)],
}


@pytest.mark.parametrize("records", STUDIES.values(), ids=STUDIES)
def test_every_study_has_a_summary_of_the_schema_in_strict_json_and_builtin_types(
    records: list[Record],
) -> None:
    content = summary(study_view(records, study_config()))
    jsonschema.validate(content, summary_schema(closed=True))
    assert only_builtin(content)
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_a_baseline_that_fell_short_has_spent_and_has_no_value() -> None:
    content = summary(view_of(make_record(0, outcome=Outcome.OUT_OF_BUDGET, energy_j=50.0), make_record(1)))
    assert content["baseline"]["values"] == {}
    assert content["baseline"]["spent"]["energy_to_target_j"] == 50.0


def test_numpy_values_become_builtin_ones() -> None:
    record = dataclasses.replace(
        CHEAP,
        params={
            "optimizer.lr": np.float64(0.1),
            "model.n_layer": np.int64(2),
            "x": np.bool_(True),
            "y": math.inf,
        },
        values={"energy_to_target_j": np.float64(1.0), "time_to_target_s": np.float64(2.0)},
    )
    content = summary(view_of(record))
    assert only_builtin(content)
    assert content["front"][0]["params"] == {"optimizer.lr": 0.1, "model.n_layer": 2, "x": True, "y": "inf"}


def test_a_study_without_records_takes_its_name_and_target_from_the_configuration() -> None:
    content = summary(study_view([], study_config() | {"target_loss": 1.9}))
    assert (content["study"], content["problem"]["target_loss"]) == ("demo", 1.9)


def test_a_study_with_one_meter_compares_none_and_its_summary_has_no_key_for_it() -> None:
    view = study_view(make_study(), study_config())
    assert (view.meters.comparisons, view.meters.unreadable) == ((), ())
    assert "meters_side_by_side" not in summary(view)


def test_the_summary_says_how_meters_agree() -> None:
    (entry,) = summary(study_view(make_misranked_study(), study_config()))["meters_side_by_side"]
    assert entry["surrogate"] == {"name": "roofline", "kind": "modelled", "ranks": True}
    assert entry["reference"] == {"name": "nvml", "kind": "measured", "ranks": False}
    assert (entry["runs"], entry["runs_of_any_outcome"]) == (9, 14)
    assert (entry["chosen"], entry["cheapest"], entry["verdict"]) == (12, 7, "DISAGREES")
    assert entry["regret"] == pytest.approx(15.9 / 12.3)


def test_errors_are_in_the_summary_and_unknown_ones_are_null() -> None:
    records = [dataclasses.replace(BASELINE, energy_error_j=0.5), CHEAP]
    content = summary(view_of(*records))
    assert content["baseline"]["energy_error_j"] == 0.5
    assert content["front"][0]["energy_error_j"] is None

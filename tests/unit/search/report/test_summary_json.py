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
    confirmed_config,
    make_confirmed_study,
    make_lookup_study,
    make_metered_study,
    make_misranked_study,
    make_record,
    make_searched_study,
    make_study,
    read_beside,
    study_config,
    unmeasured,
)
from report_page import confirmed_view, view_of

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


CONFIRMED = {
    **{kind: make_confirmed_study(kind) for kind in ("SAVES", "TIE", "COSTS", "UNPROVEN")},
    "nothing confirmed": make_searched_study(),
    "lengths being fitted": make_confirmed_study(most=4),
    "no whole round": make_confirmed_study(most=10),
    "two rounds": make_confirmed_study(most=17),
}


@pytest.mark.parametrize("records", CONFIRMED.values(), ids=CONFIRMED)
def test_a_confirmation_at_every_stage_has_a_summary_of_the_schema(records: list[Record]) -> None:
    content = summary(study_view(records, confirmed_config()))
    jsonschema.validate(content, summary_schema(closed=True))
    assert only_builtin(content)
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_the_summary_has_a_verdict_on_each_candidate_the_leader_first() -> None:
    content = summary(confirmed_view("SAVES"))
    first, second = content["verdict"]
    assert (first["trial"], first["arm"], first["verdict"], first["steps"]) == (1, "trial 1", "SAVES", 405)
    assert (first["seeds"], first["replicates"], first["misses"]) == ([5000, 5001, 5002, 5003, 5004], 5, 0)
    assert first["energy_ratio"]["low"] < 0.21 < first["energy_ratio"]["high"] < 0.22
    assert first["energy_ratio_fitted"]["estimate"] > first["energy_ratio"]["estimate"]
    assert {clause["holds"] for clause in first["clauses"]} == {True}
    assert (second["trial"], second["verdict"], second["replicates"]) == (2, "UNPROVEN", 3)
    assert second["left"].startswith("after 3 seeds trial 1")
    assert [(run["trial"], run["confirmed"]) for run in content["front"]] == [(1, True)]


def test_the_summary_says_how_lengths_were_fitted_and_what_the_confirmation_took() -> None:
    content = summary(confirmed_view("SAVES"))
    found = content["confirmation"]
    assert (found["baseline_steps"], found["baseline_fitted_steps"]) == (1600, 1531)
    assert found["baseline_fitted"] == "measured"
    assert [(fit["arm"], fit["steps"], fit["runs"]) for fit in found["fits"]] == [
        ("fitted", 1531, 3),
        ("trial 1", 405, 3),
        ("trial 2", 430, 3),
    ]
    assert (found["runs"], found["ended"]) == (27, True)
    assert found["why"] == "the leading candidate is decided after 5 seeds: SAVES"
    assert 0 < found["energy_j"] < content["search_cost"]["energy_j"]
    assert [arm["reached"] for arm in found["arms"]] == [5, 5, 5, 3]


def test_before_a_whole_round_there_is_no_verdict_and_nothing_on_the_front_is_confirmed() -> None:
    content = summary(confirmed_view("SAVES", most=10))
    assert (content["verdict"], content["confirmation"]["ended"], content["confirmation"]["why"]) == (
        [],
        False,
        "",
    )
    assert [run["confirmed"] for run in content["front"]] == [False]
    assert summary(view_of(BASELINE, CHEAP))["confirmation"] is None


def test_a_recipe_that_ties_is_not_confirmed() -> None:
    content = summary(confirmed_view("TIE"))
    assert [run["confirmed"] for run in content["front"]] == [False]
    assert content["search_cost"]["break_even_runs"] is None


def test_an_end_loss_that_is_no_number_is_null() -> None:
    records = make_confirmed_study("SAVES", repeats=0)
    place = max(n for n, r in enumerate(records) if r.test_loss is not None and r.trial and n > 4)
    records[place] = dataclasses.replace(records[place], outcome=Outcome.DIVERGED, values={})
    arm = records[place].confirmation
    assert arm is not None
    content = summary(study_view(records, confirmed_config(repeats=0)))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    (of_arm,) = [one for one in content["confirmation"]["arms"] if one["arm"] == arm.arm]
    assert of_arm["mean_loss"] is None

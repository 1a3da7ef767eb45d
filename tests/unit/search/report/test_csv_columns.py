from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from pathlib import Path

import pandas as pd
import pytest
from records_factory import (
    CHEAP,
    make_confirmed_study,
    make_lookup_study,
    make_metered_study,
    make_record,
    make_study,
    study_config,
)
from report_page import view_of

from search.record.outcome import Outcome, Role
from search.report.csv_columns import trials_frame
from search.report.findings.runs_table import runs_table
from search.report.view.data import study_view


def test_the_cheapest_row_of_the_csv_reached_the_target() -> None:
    """What a run had spent when it missed is no cost of reaching: a reader who takes the minimum is right."""
    records = [
        make_record(0),
        make_record(1, energy_j=9.0),
        make_record(2, energy_j=1.0, outcome=Outcome.DOMINATED),
    ]
    frame = trials_frame(view_of(*records))
    cheapest = frame.loc[frame.energy_to_target_j.astype(float).idxmin()]
    assert cheapest.trial == 1
    assert math.isnan(frame.energy_to_target_j.astype(float)[2])
    assert frame.counted_energy_j[2] == 1.0


def test_the_csv_has_a_row_a_record_and_its_values_round_trip(demo_folder: Path) -> None:
    with (demo_folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    records = make_study()
    assert [row["run_id"] for row in rows] == [record.run_id for record in records]
    for row, record in zip(rows, records, strict=True):
        for column, value in (
            ("gross_energy_j", record.gross_energy_j),
            ("net_energy_j", record.net_energy_j),
            ("energy_to_target_j", record.values.get("energy_to_target_j")),
            ("energy_train_j", None if record.ledger is None else record.ledger.energy_j["train"]),
            ("best_loss", record.best_loss),
            ("params.optimizer.lr", record.params["optimizer.lr"]),
        ):
            assert (float(row[column]) if row[column] else None) == value, (record.trial, column)
    assert [row["gross_energy_j"] for row in rows if row["outcome"] == "UNMEASURED"] == [""]


def test_texts_with_commas_quotes_and_newlines_survive_the_csv() -> None:
    reason = 'RuntimeError: "a", b\nand c'
    frame = trials_frame(study_view([dataclasses.replace(CHEAP, reason=reason, params={"l": [1, 2]})], {}))
    back = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    assert back["reason"][0] == reason
    assert json.loads(back["params.l"][0]) == [1, 2]


def test_a_csv_without_runs_has_its_heading() -> None:
    assert (
        trials_frame(study_view([], study_config()))
        .to_csv(index=False)
        .startswith("trial,run_id,role,outcome")
    )


def test_the_runs_table_and_the_csv_say_which_runs_are_lookup_like() -> None:
    view = study_view(make_lookup_study(), study_config())
    table = runs_table(view)
    index = [column.heading for column in table.columns].index("lookup-like")
    assert [row.trial for row in table.rows if row.cells[index].text] == [16, 17, 18]
    frame = trials_frame(view)
    assert list(frame["trial"][frame["lookup_like"].astype(bool)]) == [16, 17, 18]


def test_the_csv_has_side_readings_with_their_kind_errors_and_temperatures() -> None:
    frame = trials_frame(study_view(make_metered_study(), study_config()))
    rows = {row["run_id"]: row for row in frame.to_dict("records") if not row["interrupted"]}
    best = rows["run-0007"]
    assert best["also_roofline_j"] == pytest.approx(0.24 * 12.3)
    assert (best["also_roofline_kind"], best["also_rapl_kind"]) == ("modelled", "measured")
    assert (best["energy_error_j"], best["temperature_rise_k"]) == (0.3, 15.0)
    assert pd.isna(best["also_rapl_j"])
    assert pd.isna(rows["run-0009"]["temperature_rise_k"])


def test_only_where_a_run_was_scored_on_the_test_part_is_there_a_column_of_it() -> None:
    assert "test_loss" not in trials_frame(view_of(CHEAP))
    frame = trials_frame(view_of(CHEAP, make_record(2, test_loss=2.25)))
    assert frame["test_loss"].tolist()[1] == 2.25
    assert pd.isna(frame["test_loss"][0])


def test_runs_of_a_confirmation_say_beside_which_they_stand() -> None:
    assert not {"arm", "round", "attempt"} & set(trials_frame(view_of(CHEAP)))
    view = view_of(*make_confirmed_study())
    frame = trials_frame(view)
    assert list(frame.columns).index("arm") == list(frame.columns).index("test_loss") + 1
    assert frame.loc[frame.role == "search", ["arm", "round", "attempt"]].isna().all(axis=None)
    last = frame.loc[(frame.role == "confirm") & (frame["round"] == 4)]
    assert sorted(last.arm) == ["documented", "fitted", "trial 1"]
    assert list(last.attempt) == [0, 0, 0]
    table = runs_table(view)
    assert table.columns[0].heading == "recipe"
    cells = [row.cells[0].text for row in table.rows]
    assert cells[:5] == ["", "", "", "", "trial 1, run 1"]
    assert cells[-1].endswith("round 5")


def test_a_replicate_names_the_first_trial_of_its_recipe() -> None:
    assert "replicate_of" not in trials_frame(view_of(make_record(1), make_record(2)))
    first = make_record(1)
    again = dataclasses.replace(make_record(2), config=first.config, seed=first.seed + 1)
    frame = trials_frame(view_of(first, again, make_record(3)))
    assert list(frame.columns).index("replicate_of") == list(frame.columns).index("seed") + 1
    assert frame.replicate_of.tolist()[1] == 1
    assert frame.replicate_of.isna().tolist() == [True, False, True]


def test_the_row_of_the_run_that_finds_the_target_has_no_target_and_no_gap() -> None:
    finds = make_record(0, role=Role.TARGET, outcome=Outcome.OUT_OF_BUDGET, target_loss=0.0, final_loss=2.2)
    view = view_of(finds, make_record(1, energy_j=60.0, role=Role.BASELINE))
    frame = trials_frame(view)
    assert frame["target_loss"].dropna().tolist() == [2.3]
    assert frame["loss_gap"].count() == 1
    table = runs_table(view)
    energy = next(n for n, column in enumerate(table.columns) if column.heading.startswith("energy"))
    assert [row.cells[energy].text for row in table.rows] == ["", "60.0"]


def test_the_least_of_a_count_is_not_that_of_a_run_that_missed() -> None:
    missed = make_record(1, outcome=Outcome.OUT_OF_BUDGET, parameters=100, spent={"parameters": 100.0})
    reached = make_record(2, parameters=200, values={"parameters": 200.0}, spent={"parameters": 200.0})
    ranked = trials_frame(view_of(missed, reached, names=("parameters",)))
    assert ranked.loc[ranked["parameters"].idxmin(), "trial"] == 2
    assert ranked["run_parameters"].tolist() == [100, 200]
    assert trials_frame(view_of(missed, reached))["parameters"].tolist() == [100, 200]


def test_a_row_names_the_gpu_and_the_node_that_trained_it() -> None:
    hardware = {"device_uuid": "GPU-8932f937", "node": "rack-7"}
    on_a_node = dataclasses.replace(make_record(1), provenance={"hardware": hardware})
    on_a_cpu = dataclasses.replace(make_record(2), provenance={"hardware": {"device_uuid": "cpu"}})
    frame = trials_frame(view_of(make_record(0), on_a_node, on_a_cpu))
    assert list(frame.gpu_uuid.dropna()) == ["GPU-8932f937"]
    assert list(frame.node.dropna()) == ["rack-7"]
    assert "node" not in trials_frame(view_of(make_record(0), on_a_cpu)).columns

from __future__ import annotations

import dataclasses
import math

import pytest
from records_factory import (
    heated,
    make_metered_study,
    make_record,
    study_config,
    unmeasured,
)
from report_page import view_of

from search.record.ledger import Ledger, Phase
from search.report.figures.captions import temperature_caption
from search.report.figures.temperature import temperature_figure, temperature_info
from search.report.view.data import study_view
from search.report.view.warming import Warming, warming


@pytest.mark.parametrize(
    ("observed", "seen"),
    [
        ({"temperature_start_c": 40, "temperature_max_c": 62.0}, Warming(40.0, 62.0)),
        ({"temperature_start_c": 40.0, "temperature_end_c": 38.0}, Warming(40.0, 38.0)),
        ({"temperature_max_c": 62.0}, None),
        ({"temperature_start_c": 40.0}, None),
        ({"temperature_start_c": None, "temperature_max_c": 62.0}, None),
        ({"temperature_start_c": 40.0, "temperature_max_c": math.nan}, None),
        ({"temperature_start_c": 40.0, "temperature_max_c": "hot"}, None),
        ({}, None),
    ],
)
def test_warming_is_from_the_start_to_the_highest_and_unknown_where_either_is(
    observed: dict[str, object], seen: Warming | None
) -> None:
    assert warming(make_record(1, observed=observed)) == seen


def test_a_run_that_cooled_has_a_negative_rise() -> None:
    assert Warming(50.0, 44.0).rise_k == -6.0


def test_warming_stands_against_the_power_of_the_meter_that_ranks() -> None:
    record = heated(make_record(1, energy_j=20.0, time_s=8.0))
    (run,) = temperature_info(view_of(record)).parts["front"]
    assert run.power_w == pytest.approx(20.0 / 8.0)
    assert run.warming.rise_k == 15.0
    assert "41 °C to 56 °C: +15 K" in run.lines


def test_runs_without_temperatures_or_energy_are_not_in_the_figure() -> None:
    at_once = Ledger(energy_j=dict.fromkeys(Phase, 1.0), time_s=dict.fromkeys(Phase, 0.0))
    instant = dataclasses.replace(heated(make_record(4)), ledger=at_once)
    records = [heated(make_record(1)), make_record(2), heated(unmeasured(3, "x")), instant]
    assert temperature_info(view_of(*records)).runs == 1


def test_the_temperature_figure_names_the_kind_of_its_watts_and_its_note_the_correlation() -> None:
    info = temperature_info(study_view(make_metered_study(), study_config()))
    assert temperature_figure(info).layout.xaxis.title.text == "mean power (W), measured by nvml"
    assert "Over 16 runs, Spearman's ρ of temperature rise and mean power is 0.99 [" in temperature_caption(
        info
    )

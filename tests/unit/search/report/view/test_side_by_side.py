from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
from records_factory import (
    CHEAP,
    METER,
    NVML,
    ROOFLINE,
    make_record,
    read_beside,
    side,
    study_config,
)
from report_page import view_of

from search.record.meter_info import Kind, MeterInfo
from search.record.outcome import Outcome
from search.record.record import Record
from search.report.summary_json import summary
from search.report.view.data import study_view
from search.report.view.side_by_side import Comparison


def test_the_reason_why_a_meter_was_chosen_may_differ() -> None:
    other = dataclasses.replace(CHEAP, trial=2, meter=dataclasses.replace(METER, chosen_because="asked for"))
    assert len(view_of(CHEAP, other).records) == 2


def test_the_parameters_of_a_baseline_that_was_not_sampled_are_those_of_its_configuration() -> None:
    baseline = make_record(0, energy_j=60.0, params={}, config={"optimizer": {"lr": 0.001, "beta1": 0.9}})
    view = view_of(baseline, make_record(1, params={"optimizer.lr": 0.01, "model.new": 3}))
    assert summary(view)["baseline"]["params"] == {"optimizer.lr": 0.001}


def trials_at(ratios: Sequence[float], meter: MeterInfo = NVML, **fields: Any) -> list[Record]:
    """Trials of 10, 11, ... J by `cpu_time`, and of so many times that by the meter beside it."""
    return [
        read_beside(make_record(n, energy_j=9.0 + n, **fields), meter, ratio)
        for n, ratio in enumerate(ratios, start=1)
    ]


def only_comparison(records: Sequence[Record]) -> Comparison:
    (found,) = study_view(records, study_config()).meters.comparisons
    return found


@pytest.mark.parametrize(
    ("ranking", "beside", "reference", "surrogate"),
    [
        (Kind.MEASURED, Kind.MODELLED, "cpu_time", "other"),
        (Kind.ESTIMATED, Kind.MEASURED, "other", "cpu_time"),
        (Kind.MODELLED, Kind.ESTIMATED, "other", "cpu_time"),
        (Kind.MEASURED, Kind.MEASURED, "cpu_time", "other"),
        (Kind.MODELLED, Kind.MODELLED, "cpu_time", "other"),
    ],
)
def test_measured_is_trusted_over_estimated_over_modelled_and_of_equals_the_one_that_ranks(
    ranking: Kind, beside: Kind, reference: str, surrogate: str
) -> None:
    ours = dataclasses.replace(METER, kind=ranking)
    other = dataclasses.replace(METER, name="other", kind=beside)
    found = only_comparison([read_beside(make_record(1, meter=ours), other, 2.0)])
    assert (found.reference.name, found.surrogate.name) == (reference, surrogate)


def test_every_meter_is_compared_with_the_most_trustworthy_of_all() -> None:
    records = [read_beside(read_beside(CHEAP, ROOFLINE, 0.2), NVML, 3.0)]
    found = study_view(records, study_config()).meters.comparisons
    assert [(each.reference.name, each.surrogate.name) for each in found] == [
        ("nvml", "cpu_time"),
        ("nvml", "roofline"),
    ]


def test_a_meter_that_was_never_readable_is_no_reference() -> None:
    records = [read_beside(read_beside(CHEAP, NVML, 1.0, counted_energy_j=None), ROOFLINE, 0.2)]
    assert only_comparison(records).reference.name == "cpu_time"


def test_meters_are_compared_at_the_crossing_and_not_at_the_end_of_the_run() -> None:
    record = dataclasses.replace(CHEAP, counted_energy_j=99.0)
    assert record.crossing is not None
    (pair,) = only_comparison([read_beside(record, ROOFLINE, 0.5)]).agreement.pairs
    assert (pair.reference_j, pair.surrogate_j) == (record.crossing.energy_j, 0.5 * record.crossing.energy_j)


def test_runs_short_of_the_target_set_the_scale_and_do_not_rank() -> None:
    short = [make_record(n, outcome=Outcome.DOMINATED) for n in (2, 3)]
    found = only_comparison([read_beside(record, ROOFLINE, 0.5) for record in (CHEAP, *short)])
    assert (found.agreement.runs, len(found.agreement.pairs)) == (1, 3)


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": Outcome.CRASHED},
        {"outcome": Outcome.DOMINATED, "interrupted": True},
        {"outcome": Outcome.UNMEASURED},
    ],
)
def test_runs_that_crashed_or_were_killed_or_have_no_energy_compare_no_meters(fields: dict[str, Any]) -> None:
    broken = dataclasses.replace(make_record(2, **fields), second_meters=(side(ROOFLINE, 5.0),))
    found = only_comparison([read_beside(CHEAP, ROOFLINE, 0.5), broken])
    assert [record.trial for record in found.records] == [1]


def test_side_readings_that_could_not_be_had_are_counted_by_their_reason() -> None:
    records = [
        *(read_beside(make_record(n), NVML, 1.0, counted_energy_j=None, reason="denied") for n in (1, 2)),
        read_beside(make_record(3), NVML, 0.0, reason="it stood still"),
        read_beside(make_record(5), NVML, math.inf),
        read_beside(make_record(4), NVML, 2.0, reason="not a reason where there are joules"),
    ]
    view = study_view(records, study_config())
    assert [(t.text, t.runs) for t in view.meters.unreadable] == [
        ("denied", 2),
        ("it stood still", 1),
        ("the meter gave no energy and no reason", 1),
    ]
    assert view.meters.comparisons[0].agreement.runs == 1


def test_flags_of_the_meters_beside_are_counted() -> None:
    records = [read_beside(make_record(n), NVML, 1.0, flags=("power_capped",)) for n in (1, 2)]
    (flagged,) = study_view(records, study_config()).meters.flagged
    assert (flagged.meter.name, flagged.text, flagged.runs) == ("nvml", "power_capped", 2)

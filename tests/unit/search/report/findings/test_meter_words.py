from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from records_factory import (
    METER,
    NVML,
    ROOFLINE,
    make_metered_study,
    make_misranked_study,
    make_record,
    make_study,
    read_beside,
    side,
    study_config,
)

from search.energy.agreement import Verdict
from search.record.meter_info import Kind, MeterInfo
from search.record.record import Record
from search.report.findings.headline import headline
from search.report.findings.meters import measured_hint, meter_caveat, meter_warning, verdict_words
from search.report.view.data import study_view
from search.report.view.side_by_side import Comparison


def trials_at(ratios: Sequence[float], meter: MeterInfo = NVML, **fields: Any) -> list[Record]:
    """Trials of 10, 11, ... J by `cpu_time`, and of so many times that by the meter beside it."""
    return [
        read_beside(make_record(n, energy_j=9.0 + n, **fields), meter, ratio)
        for n, ratio in enumerate(ratios, start=1)
    ]


def only_comparison(records: Sequence[Record]) -> Comparison:
    (found,) = study_view(records, study_config()).meters.comparisons
    return found


def test_a_measured_meter_that_disagrees_with_the_one_that_ranks_is_warned_of_with_numbers_and_kinds() -> (
    None
):
    warning = meter_warning(study_view(make_misranked_study(), study_config()))
    assert "nvml (measured), read beside roofline (modelled)" in warning
    assert "trial 12, the cheapest by roofline, costs 1.29 times what trial 7 costs by nvml" in warning
    assert "(15.9 J against 12.3 J, measured)" in warning
    assert "Spearman's ρ is 0.90 [0.48, 0.98] over 9 runs" in warning
    assert "meter=nvml" in warning


@pytest.mark.parametrize(
    "records",
    [make_study(), make_metered_study(), trials_at([2.0] * 12), [], trials_at([2.0, 1.0, 3.0], ROOFLINE)],
    ids=["one meter", "the measured one ranks", "they agree", "nothing", "a modelled one beside"],
)
def test_where_the_ranking_stands_there_is_no_warning(records: list[Record]) -> None:
    view = study_view(records, study_config())
    assert (meter_warning(view), meter_caveat(view)) == ("", "")


def test_of_two_measured_meters_none_is_the_better_one() -> None:
    ours = dataclasses.replace(METER, kind=Kind.MEASURED)
    records = [dataclasses.replace(record, meter=ours) for record in trials_at([3.0, 2.0, 1.0])]
    view = study_view(records, study_config())
    assert view.meters.comparisons[0].agreement.verdict is Verdict.DISAGREES
    assert meter_warning(view) == ""


@pytest.mark.parametrize(
    ("runs", "says"), [(3, "3 of the 5 runs that it takes"), (6, "not shown to agree: the interval reaches")]
)
def test_too_few_runs_to_trust_the_ranking_meter_are_a_caveat(runs: int, says: str) -> None:
    view = study_view(trials_at([2.0] * runs), study_config())
    (caveat,) = [caveat for caveat in headline(view).caveats if "read beside it" in caveat]
    assert caveat.startswith("Ranked by cpu_time (estimated), with nvml (measured) read beside it")
    assert says in caveat
    assert meter_warning(view) == ""


@pytest.mark.parametrize(
    ("ratios", "says"),
    [
        ([2.0] * 12, "agrees"),
        ([2.0] * 6, "not shown to agree"),
        ([2.0] * 4, "unknown: 4 of the 5 runs"),
        ([2.0, 2.0, 1.0], "does not agree: its winner, trial 1, costs 1.67 times what trial 3 costs"),
        (
            [0.5, *((30.0 - n) / n for n in range(11, 23))],
            "does not agree: the interval of its rank correlation lies below 0.9",
        ),
    ],
    ids=["agrees", "undecided", "few", "regret", "order"],
)
def test_the_verdict_says_why(ratios: list[float], says: str) -> None:
    found = only_comparison(trials_at(ratios))
    assert verdict_words(found.agreement).startswith(says)


def test_a_meter_that_reads_all_runs_alike_has_an_unknown_verdict() -> None:
    records = [read_beside(make_record(n, energy_j=10.0 + n / 100), ROOFLINE, 1.0) for n in range(1, 6)]
    flat = [dataclasses.replace(record, second_meters=(side(ROOFLINE, 3.0),)) for record in records]
    assert "reads every run the same" in verdict_words(only_comparison(flat).agreement)


@pytest.mark.parametrize(
    ("records", "hints"),
    [
        (make_study(), True),
        (trials_at([2.0], ROOFLINE), True),
        (trials_at([2.0]), False),
        (make_metered_study(), False),
        ([], False),
    ],
    ids=["estimated alone", "modelled beside", "measured beside", "measured", "nothing"],
)
def test_where_no_measured_meter_ran_it_says_how_to_add_one(records: list[Record], hints: bool) -> None:
    assert ("meter.also=[nvml]" in measured_hint(study_view(records, study_config()))) is hints

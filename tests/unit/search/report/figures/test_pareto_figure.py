from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import plotly.graph_objects as go
import pytest
from records_factory import (
    looking_up,
    make_lookup_study,
    make_record,
    make_study,
    study_config,
)
from report_page import view_of

from search.record.outcome import Outcome
from search.record.record import Record
from search.report.figures.captions import pareto_caption
from search.report.figures.curves import curves_figure, curves_info
from search.report.figures.pareto import pareto_figure, pareto_info
from search.report.figures.phases import phases_figure, phases_info
from search.report.view.data import StudyView, study_view

QUICK_BASELINE = make_record(0, energy_j=60.0, time_s=1.0)


def marks(view: StudyView) -> list[go.Scatter]:
    return [trace for trace in pareto_figure(pareto_info(view)).data if "markers" in trace.mode]


def staircases(view: StudyView) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in pareto_figure(pareto_info(view)).data if trace.mode == "lines"}


@pytest.fixture(scope="module")
def lookup_view() -> StudyView:
    return study_view(make_lookup_study(), study_config())


@pytest.fixture(scope="module")
def view() -> StudyView:
    return study_view(make_study(), study_config())


def test_runs_that_reached_the_target_are_apart_from_those_that_did_not(view: StudyView) -> None:
    info = pareto_info(view)
    assert {name: [mark.trial for mark in marks] for name, marks in info.reached.items()} == {
        "baseline": [0],
        "front": [7, 10, 12],
        "feasible": [14, 6, 13, 4, 1],
    }
    assert {name: [mark.trial for mark in marks] for name, marks in info.missed.items()} == {
        "DIVERGED": [3],
        "DOMINATED": [11, 5],
        "OUT_OF_BUDGET": [2],
    }


def test_a_cheap_run_that_missed_is_in_a_strip_below_and_not_lower_left_of_the_front(view: StudyView) -> None:
    figure = pareto_figure(pareto_info(view))
    (diverged,) = [trace for trace in figure.data if trace.name == "did not reach: diverged"]
    (front,) = [trace for trace in figure.data if trace.name == "Pareto front"]
    assert min(diverged.x) < min(front.x)
    assert (diverged.yaxis, front.yaxis) == ("y2", "y")
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]
    assert figure.layout.yaxis2.ticktext == ("missed",)


def test_legends_of_runs_that_missed_say_so_and_come_after_those_that_reached(
    view: StudyView,
) -> None:
    ranks = {trace.name: trace.legendrank for trace in marks(view)}
    assert min(ranks, key=lambda name: ranks[name]) == "Pareto front"
    order = sorted(ranks, key=lambda name: ranks[name])
    assert [name.startswith("did not reach") for name in order] == [False] * 3 + [True] * 3


def test_the_caption_says_what_is_better_only_of_runs_that_reached_the_target(view: StudyView) -> None:
    caption = pareto_caption(pareto_info(view))
    assert caption.startswith("Every run in the plane reached the target, and lower left is better.")
    assert "did not reach the target are in the strip below" in caption
    assert "3 runs are not drawn" in caption


def test_where_no_run_missed_there_is_no_strip_and_no_word_of_one() -> None:
    info = pareto_info(view_of(QUICK_BASELINE, make_record(1)))
    assert "strip" not in pareto_caption(info)
    assert "yaxis2" not in pareto_figure(info).layout.to_plotly_json()


def test_where_no_run_reached_the_target_none_is_said_to_be_better() -> None:
    info = pareto_info(view_of(make_record(1, outcome=Outcome.DOMINATED)))
    assert "none of them is better" in pareto_caption(info)
    assert "lower left" not in pareto_caption(info).lower()
    (trace,) = pareto_figure(info).data
    assert trace.yaxis == "y"


def test_a_study_without_marks_has_no_caption() -> None:
    assert pareto_caption(pareto_info(view_of())) == ""


def test_a_run_short_of_the_target_is_drawn_at_what_it_had_spent() -> None:
    dominated = make_record(2, energy_j=14.0, time_s=6.0, outcome=Outcome.DOMINATED)
    (mark,) = pareto_info(view_of(make_record(1), dominated)).missed["DOMINATED"]
    assert dict(mark.values) == {"energy_to_target_j": 14.0, "time_to_target_s": 6.0}


def test_the_interval_of_a_crossing_reaches_down_to_the_evaluation_before_it() -> None:
    record = make_record(1)
    assert record.crossing is not None
    (mark,) = pareto_info(view_of(record)).reached["front"]
    assert list(mark.lows.values()) == [record.crossing.energy_low_j, record.crossing.time_low_s]


def test_groups_are_told_apart_without_colour(view: StudyView) -> None:
    symbols = [trace.marker.symbol for trace in marks(view)]
    assert len(symbols) == 6
    assert len(set(symbols)) == len(symbols)


def test_lookup_like_runs_are_groups_of_their_own_and_what_joins_the_front_without_them_is_on_it(
    lookup_view: StudyView,
) -> None:
    groups = pareto_info(lookup_view).reached
    assert {name: [mark.trial for mark in groups[name]] for name in groups if "front" in name} == {
        "front": [7, 10, 12],
        "lookup_front": [17, 16],
    }
    assert [mark.trial for mark in groups["lookup_feasible"]] == [18]


def test_lookup_like_marks_have_symbols_and_legends_of_their_own(lookup_view: StudyView) -> None:
    found = {trace.name: trace.marker.symbol for trace in marks(lookup_view)}
    assert found["Pareto front, lookup-like"] == "diamond"
    assert found["lookup-like, beaten"] == "diamond-open"
    assert len(set(found.values())) == len(found)


def test_the_fronts_with_and_without_lookup_like_runs_are_lines_told_apart_without_colour(
    lookup_view: StudyView,
) -> None:
    lines = staircases(lookup_view)
    without = lines["front without lookup-like runs"]
    with_them = lines["front with lookup-like runs"]
    assert (list(without.x), list(without.y)) == ([12.3, 12.9, 15.9], [4.9, 4.2, 3.6])
    assert (list(with_them.x), list(with_them.y)) == ([4.4, 5.2, 15.9], [4.1, 3.8, 3.6])
    assert without.line.dash != with_them.line.dash
    assert without.showlegend
    assert with_them.showlegend


def test_the_front_without_a_single_lookup_like_winner_is_a_line_that_says_so() -> None:
    (line,) = staircases(
        view_of(*make_study(), looking_up(make_record(16, energy_j=2.0, time_s=1.0)))
    ).values()
    assert (line.name, line.showlegend) == ("front without lookup-like runs", True)


@pytest.mark.parametrize("lookup", [[], [looking_up(make_record(16, energy_j=13.0, time_s=5.0))]])
def test_where_no_lookup_like_run_is_on_the_front_there_is_one_line_and_no_legend_for_it(
    lookup: list[Record],
) -> None:
    (line,) = staircases(view_of(*make_study(), *lookup)).values()
    assert list(line.x) == [12.3, 12.9, 15.9]
    assert not line.showlegend


def test_the_line_of_the_front_passes_through_a_baseline_that_is_on_it() -> None:
    (line,) = staircases(view_of(QUICK_BASELINE, make_record(1, energy_j=12.0, time_s=5.0))).values()
    assert list(line.x) == [12.0, 60.0]


def test_a_baseline_short_of_the_target_is_drawn_open_and_says_so() -> None:
    short = make_record(0, outcome=Outcome.OUT_OF_BUDGET)
    (trace,) = pareto_figure(pareto_info(view_of(short))).data
    assert trace.marker.symbol == "star-open"
    assert trace.name == "did not reach: the baseline"


@pytest.mark.parametrize(("dearest_j", "kind"), [(19.0, None), (21.0, "log")])
def test_both_axes_are_logarithmic_where_one_spans_a_decade(dearest_j: float, kind: str | None) -> None:
    records = (make_record(1, energy_j=2.0, time_s=5.0), make_record(2, energy_j=dearest_j, time_s=6.0))
    layout = pareto_figure(pareto_info(view_of(*records))).layout
    assert (layout.xaxis.type, layout.yaxis.type) == (kind, kind)


def test_energy_axes_name_the_kind_of_energy(view: StudyView) -> None:
    titles = [
        pareto_figure(pareto_info(view)).layout.xaxis.title.text,
        curves_figure(curves_info(view)).layout.xaxis.title.text,
        phases_figure(phases_info(view)).layout.xaxis.title.text,
    ]
    assert all("estimated by cpu_time" in title for title in titles)


def with_counts(record: Record, **counts: float) -> Record:
    """The record with further objectives, as far as it has any."""

    def more(values: Mapping[str, float]) -> dict[str, float]:
        return dict(values) | (counts if values else {})

    return dataclasses.replace(record, values=more(record.values), spent=more(record.spent))


@pytest.mark.parametrize(("count", "planes"), [(3, 3), (4, 6)])
def test_with_more_than_two_objectives_every_pair_of_them_has_a_panel(count: int, planes: int) -> None:
    names = ("energy_to_target_j", "time_to_target_s", "parameters", "tokens_to_target")[:count]
    records = [
        with_counts(record, parameters=100.0 + record.trial, tokens_to_target=7.0)
        for record in (
            make_record(1),
            make_record(2, energy_j=30.0),
            make_record(3, outcome=Outcome.DIVERGED),
        )
    ]
    info = pareto_info(view_of(*records, names=names))
    figure = pareto_figure(info)
    titles = {
        str(axis.title.text).split(" (")[0] for axis in (*figure.select_xaxes(), *figure.select_yaxes())
    }
    assert len(info.planes) == planes
    assert titles >= {"energy", "time", "parameters"}
    assert all("lines" not in trace.mode for trace in figure.data)
    fronts = [trace for trace in figure.data if trace.name == "Pareto front"]
    assert [trace.showlegend for trace in fronts] == [True] + [False] * (planes - 1)
    assert len({(trace.xaxis, trace.yaxis) for trace in fronts}) == planes


def test_a_front_point_that_looks_beaten_in_one_panel_is_explained() -> None:
    names = ("energy_to_target_j", "time_to_target_s", "parameters")
    small = with_counts(make_record(1, energy_j=30.0, time_s=9.0), parameters=10.0)
    quick = with_counts(make_record(2, energy_j=20.0, time_s=8.0), parameters=90.0)
    info = pareto_info(view_of(small, quick, names=names))
    assert [mark.trial for mark in info.reached["front"]] == [2, 1]
    assert "it is better in what that panel does not show" in pareto_caption(info)
    assert "3 objectives (energy, time, parameters)" in pareto_caption(info)


def test_with_one_objective_seconds_stand_beside_it_and_the_caption_says_that_they_rank_nothing() -> None:
    info = pareto_info(view_of(make_record(1), names=("energy_to_target_j",)))
    assert info.axes == ("energy_to_target_j", "time_to_target_s")
    assert [mark.values["time_to_target_s"] for mark in info.reached["front"]] == [8.0]
    assert "Further left is better; energy is the only objective, and time ranks nothing" in (
        pareto_caption(info)
    )

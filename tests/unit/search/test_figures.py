from __future__ import annotations

import dataclasses
import math

import pytest
from records_factory import TARGET, make_curve, make_record, make_study, study_config, unmeasured

from search.report import style
from search.report.data import StudyView, study_view
from search.report.figures import (
    curves_figure,
    curves_info,
    importance_figure,
    outcomes_figure,
    outcomes_info,
    phases_figure,
    phases_info,
)
from search.report.importance import Importance
from search.report.pareto import pareto_figure, pareto_info
from search.trial import PHASES, Outcome, Record

INJECTED = "<b>x</b>"


def view_of(*records: Record, names: tuple[str, ...] = ()) -> StudyView:
    return study_view(records, study_config(*names))


@pytest.fixture(scope="module")
def view() -> StudyView:
    return study_view(make_study(), study_config())


def test_the_plane_holds_every_run_with_values_in_its_group(view: StudyView) -> None:
    groups = pareto_info(view).groups
    assert {name: [mark.trial for mark in marks] for name, marks in groups.items()} == {
        "baseline": [0],
        "front": [7, 10, 12],
        "feasible": [14, 6, 13, 4, 1],
        "replicate": [15],
        "DIVERGED": [3],
        "DOMINATED": [11, 5],
        "OUT_OF_BUDGET": [2],
    }


def test_runs_that_are_not_drawn_are_counted_in_the_note(view: StudyView) -> None:
    assert "3 runs are not drawn" in pareto_info(view).note


def test_a_run_short_of_the_target_is_drawn_at_what_it_had_spent() -> None:
    dominated = make_record(2, energy_j=14.0, time_s=6.0, outcome=Outcome.DOMINATED)
    (mark,) = pareto_info(view_of(make_record(1), dominated)).groups["DOMINATED"]
    assert (mark.x, mark.y) == (14.0, 6.0)


def test_the_interval_of_a_crossing_reaches_down_to_the_evaluation_before_it() -> None:
    record = make_record(1)
    assert record.crossing is not None
    (mark,) = pareto_info(view_of(record)).groups["front"]
    assert (mark.x_low, mark.y_low) == (record.crossing.energy_low_j, record.crossing.time_low_s)


def test_groups_are_told_apart_without_colour(view: StudyView) -> None:
    symbols = [trace.marker.symbol for trace in pareto_figure(pareto_info(view)).data]
    assert len(symbols) == 7
    assert len(set(symbols)) == len(symbols)


def test_a_baseline_short_of_the_target_is_drawn_open_and_says_so() -> None:
    short = make_record(0, outcome=Outcome.OUT_OF_BUDGET)
    (trace,) = pareto_figure(pareto_info(view_of(short))).data
    assert trace.marker.symbol == "star-open"
    assert "not reached" in trace.name


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


def test_with_three_objectives_the_first_two_are_drawn_without_a_staircase_and_it_says_so() -> None:
    names = ("energy_to_target_j", "time_to_target_s", "parameters")
    records = [
        dataclasses.replace(record, values=dict(record.values) | {"parameters": 100.0 + record.trial})
        for record in (make_record(1), make_record(2, energy_j=30.0))
    ]
    info = pareto_info(view_of(*records, names=names))
    assert "3 objectives (energy, time, parameters)" in info.note
    assert all("lines" not in trace.mode for trace in pareto_figure(info).data)


def test_with_one_objective_seconds_stand_beside_it() -> None:
    info = pareto_info(view_of(make_record(1), names=("energy_to_target_j",)))
    assert (info.x_objective, info.y_objective) == ("energy_to_target_j", "time_to_target_s")
    assert [mark.y for mark in info.groups["front"]] == [8.0]


def test_hover_texts_show_parameters_as_text_and_not_as_markup() -> None:
    record = make_record(1, params={INJECTED: "</script>"})
    (trace,) = pareto_figure(pareto_info(view_of(record))).data
    assert "&lt;b&gt;x&lt;/b&gt; = &lt;/script&gt;" in trace.hovertext[0]


def test_text_is_escaped_and_cut_at_a_readable_length() -> None:
    assert style.text('<a href="x">&') == '&lt;a href="x"&gt;&amp;'
    assert len(style.text("x" * 500)) == 60


def test_front_and_baseline_have_curves_of_their_own_and_the_rest_share_a_thin_one(view: StudyView) -> None:
    figure = curves_figure(curves_info(view))
    named = [trace for trace in figure.data if trace.showlegend]
    assert [trace.name for trace in named] == [
        "other runs",
        "trial 7",
        "trial 10",
        "trial 12",
        "the baseline",
    ]
    assert named[0].line.width < min(trace.line.width for trace in named[1:])
    assert [trace.line.dash for trace in named[1:]] == ["solid", "solid", "solid", "dash"]


def test_target_and_ngram_are_lines_with_names(view: StudyView) -> None:
    layout = curves_figure(curves_info(view)).layout
    assert {annotation.text for annotation in layout.annotations} == {"n-gram 2.41", "target 2.30"}
    assert sorted({shape.y0 for shape in layout.shapes}) == [TARGET, 2.41]


def test_a_point_without_energy_is_missing_from_the_joules_and_not_drawn_at_zero() -> None:
    points = make_curve(steps=100, final_loss=2.2, power_w=2.0, seconds=5.0, evaluations=4)
    broken = (*points[:2], dataclasses.replace(points[2], energy_j=None), *points[3:])
    figure = curves_figure(curves_info(view_of(make_record(1, curve=broken))))
    joules, seconds = figure.data
    assert (len(joules.x), len(seconds.x)) == (4, 5)


def test_a_diverging_loss_does_not_set_the_range() -> None:
    wild = [dataclasses.replace(point, loss=1000.0) for point in make_record(1).curve]
    records = (make_record(1), make_record(2, outcome=Outcome.DIVERGED, curve=tuple(wild)))
    low, high = curves_figure(curves_info(view_of(*records))).layout.yaxis.range
    assert low < TARGET
    assert high < 10.0


def test_a_loss_that_is_no_number_is_left_out() -> None:
    points = make_record(1).curve
    broken = (*points[:-1], dataclasses.replace(points[-1], loss=math.nan))
    (curve,) = curves_info(view_of(make_record(1, curve=broken))).curves
    assert curve.points == points[:-1]


def test_phases_add_up_to_the_gross_energy(view: StudyView) -> None:
    info = phases_info(view)
    assert info.names == ("the baseline", "trial 7", "trial 10", "trial 12")
    for index, record in enumerate(view.shown):
        assert math.fsum(info.energy_j[phase][index] for phase in PHASES) == record.gross_energy_j


def test_phases_that_count_are_filled_and_named_and_all_have_patterns(view: StudyView) -> None:
    traces = {trace.name: trace.marker.pattern for trace in phases_figure(phases_info(view)).data}
    assert [name for name in traces if name.endswith("(counted)")] == ["compile (counted)", "train (counted)"]
    assert {name for name, pattern in traces.items() if pattern.fillmode == "overlay"} == {
        "compile (counted)",
        "train (counted)",
    }
    assert len({pattern.shape for pattern in traces.values()}) == len(PHASES)


def test_outcomes_that_happened_are_counted_with_their_joules(view: StudyView) -> None:
    info = outcomes_info(view)
    assert dict(info.runs) == {
        "REACHED": 10, "OUT_OF_BUDGET": 1, "DOMINATED": 2, "DIVERGED": 1, "CRASHED": 2, "UNMEASURED": 1,
    }  # fmt: skip
    (trace,) = outcomes_figure(info).data
    assert trace.text[-1] == "1 run, unknown"


def test_an_outcome_that_did_not_happen_has_no_bar() -> None:
    assert list(outcomes_info(view_of(unmeasured(1, "x"))).runs) == ["UNMEASURED"]


def test_importance_bars_escape_the_names_of_parameters() -> None:
    (trace,) = importance_figure(Importance({INJECTED: 0.7, "lr": 0.3}, 9)).data
    assert trace.y == ("&lt;b&gt;x&lt;/b&gt;", "lr")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(1.0, 12.0, [1, 2, 5, 10]), (0.3, 0.6, [0.5]), (1.0, 2e2, [1, 10, 100])],
)
def test_log_axes_are_ticked_at_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert style.log_ticks(low, high) == ticks

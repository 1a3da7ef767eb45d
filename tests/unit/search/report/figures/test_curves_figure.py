from __future__ import annotations

import dataclasses
import math

import pytest
from records_factory import (
    TARGET,
    ended_early,
    make_curve,
    make_lookup_study,
    make_record,
    make_study,
    study_config,
)
from report_page import view_of

from search.record.outcome import Outcome
from search.report.figures.curves import curves_figure, curves_info
from search.report.figures.phases import phases_info
from search.report.view.data import StudyView, study_view


@pytest.fixture(scope="module")
def lookup_view() -> StudyView:
    return study_view(make_lookup_study(), study_config())


@pytest.fixture(scope="module")
def view() -> StudyView:
    return study_view(make_study(), study_config())


def test_curves_and_phases_of_lookup_like_runs_say_so_in_their_names(lookup_view: StudyView) -> None:
    named = {curve.name for curve in curves_info(lookup_view).curves if curve.part == "front"}
    assert named == {"trial 17 (lookup-like)", "trial 16 (lookup-like)", "trial 12", "trial 7", "trial 10"}
    assert set(phases_info(lookup_view).names) == named | {"the baseline"}


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


def test_an_evaluation_that_ended_early_is_drawn_small_and_hollow_and_not_as_a_mark_of_its_curve() -> None:
    record = make_record(1)
    partial = ended_early(record.curve)
    figure = curves_figure(curves_info(view_of(dataclasses.replace(record, curve=partial))))
    hollow = [trace for trace in figure.data if trace.legendgroup == "partial"]
    whole = [trace for trace in figure.data if trace.legendgroup == "trial 1"]
    drawn = [point for point in partial if not point.whole]
    assert len(drawn) > 2
    for trace, which in zip(hollow, ("energy_j", "time_s"), strict=True):
        assert trace.name == "evaluation ended early: plainly above the target"
        assert list(trace.x) == [getattr(point, which) for point in drawn]
        assert trace.marker.symbol == "circle-open"
        assert max(trace.marker.size) < max(whole[0].marker.size)
    assert [size == 0 for size in whole[0].marker.size] == [not point.whole for point in partial]


def test_without_evaluations_that_ended_early_the_legend_does_not_name_them(view: StudyView) -> None:
    assert all("early" not in (trace.name or "") for trace in curves_figure(curves_info(view)).data)

from __future__ import annotations

import dataclasses
import math
from functools import cache

import pytest
from records_factory import TRUTHS
from report_page import confirmed_view

from search.report.figures.drawings import drawings
from search.report.figures.verdict import (
    LossRow,
    VerdictInfo,
    verdict_caption,
    verdict_figure,
    verdict_info,
)
from search.report.view.importance import parameter_importance

decided = cache(confirmed_view)


@pytest.fixture(scope="module")
def info() -> VerdictInfo:
    found = verdict_info(decided("SAVES"))
    assert found is not None
    return found


def test_there_is_a_row_for_each_candidate_against_each_baseline_the_leader_first(info: VerdictInfo) -> None:
    assert [(row.candidate, row.baseline, len(row.pairs)) for row in info.ratios] == [
        ("trial 1", "documented", 5),
        ("trial 1", "fitted", 5),
        ("trial 2", "documented", 3),
        ("trial 2", "fitted", 3),
    ]


def test_the_mean_of_the_pairs_is_the_ratio_of_the_verdict(info: VerdictInfo) -> None:
    for row in info.ratios:
        assert row.ratio is not None
        mean = math.exp(sum(math.log(pair.ratio) for pair in row.pairs) / len(row.pairs))
        assert row.ratio.estimate == pytest.approx(mean)
        assert row.ratio.low < mean < row.ratio.high


def test_every_arm_has_the_losses_of_its_seeds(info: VerdictInfo) -> None:
    assert [(row.arm, len(row.losses)) for row in info.losses] == [
        ("documented", 5),
        ("fitted", 5),
        ("trial 1", 5),
        ("trial 2", 3),
    ]
    assert all(mark.loss <= info.target_loss for row in info.losses for mark in row.losses)


def test_ratios_have_a_logarithmic_axis_and_both_panels_a_marked_limit(info: VerdictInfo) -> None:
    layout = verdict_figure(info).layout
    assert layout.xaxis.type == "log"
    assert layout.xaxis.title.text == "energy ratio, estimated by cpu_time"
    assert [shape.x0 for shape in layout.shapes] == [1.0, info.target_loss]
    assert [note.text for note in layout.annotations] == ["1: the baseline", "target 2.30"]
    assert layout.annotations[0].x == 0.0  # a note on a logarithmic axis stands at the logarithm


def test_on_a_narrow_screen_the_panels_lie_one_above_the_other(info: VerdictInfo) -> None:
    meta = verdict_figure(info).layout.meta
    assert meta["wide"]["xaxis.domain"][1] < meta["wide"]["xaxis2.domain"][0]
    assert meta["narrow"]["xaxis.domain"] == meta["narrow"]["xaxis2.domain"] == [0, 1]
    assert meta["narrow"]["height"] > meta["wide"]["height"]


def test_marks_are_told_apart_without_colour() -> None:
    flagged = {1: dataclasses.replace(TRUTHS["SAVES"][1], flags=("foreign_cpu_load",))}
    found = verdict_info(confirmed_view("SAVES", truths=flagged))
    assert found is not None
    assert found.doubtful == 10
    traces = verdict_figure(found).data
    assert len({trace.marker.symbol for trace in traces}) == len(traces) == 5
    assert {pair.doubt for pair in found.ratios[0].pairs} == {"only one side saw other load"}
    assert "Crosses are rounds with a flag" in verdict_caption(found)


def test_a_run_that_diverged_is_named_and_not_drawn(info: VerdictInfo) -> None:
    lost = LossRow("trial 1", info.losses[2].losses[1:], None, 1)
    found = dataclasses.replace(info, losses=(*info.losses[:2], lost))
    figure = verdict_figure(found)
    assert figure.layout.yaxis3.ticktext[2] == "trial 1<br>(1 diverged)"
    assert "1 that diverged" in verdict_caption(found)


def test_names_are_text_and_not_markup(info: VerdictInfo) -> None:
    row = dataclasses.replace(info.ratios[0], candidate="<b>x</b>")
    figure = verdict_figure(dataclasses.replace(info, ratios=(row,)))
    assert figure.layout.yaxis.ticktext[0].startswith("&lt;b&gt;x")


@pytest.mark.parametrize(("most", "drawn"), [(0, False), (10, False), (17, True)])
def test_it_is_drawn_from_the_first_whole_round_on(most: int, drawn: bool) -> None:
    view = decided("SAVES", most=most)
    assert ("verdict" in drawings(view, parameter_importance(view))) is drawn

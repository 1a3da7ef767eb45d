"""The waterfall: bars from the baseline's joules to the winner's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ablated_study import World, ablated_view
from records_factory import make_study, study_config

from search.report.figures import style
from search.report.figures.ablation import (
    AblationInfo,
    Fall,
    ablation_caption,
    ablation_figure,
    ablation_info,
)
from search.report.view.data import study_view

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

DEARER = Fall("batch", 10.0, 12.0, 11.0, 13.0, "÷ 0.833", open=False)


@pytest.fixture(scope="module")
def info() -> AblationInfo:
    found = ablation_info(ablated_view(World()))
    assert found is not None
    return found


def test_the_bars_lead_from_the_baseline_to_the_winner_without_a_gap(info: AblationInfo) -> None:
    starts = [fall.start_j for fall in info.falls]
    ends = [fall.end_j for fall in info.falls]
    assert starts == [info.baseline_j, *ends[:-1]]
    assert ends[-1] == pytest.approx(info.winner_j)
    assert [fall.name for fall in info.falls] == [
        "the baseline's length",
        "shape",
        "optimizer",
        "interactions",
    ]


def test_an_interval_lies_around_the_end_of_its_bar(info: AblationInfo) -> None:
    for fall in info.falls:
        assert fall.low_j is not None
        assert fall.high_j is not None
        assert fall.low_j < fall.end_j < fall.high_j


def test_the_axis_is_logarithmic_and_every_bar_and_whisker_lies_on_it(info: AblationInfo) -> None:
    figure = ablation_figure(info)
    axis = figure.layout.xaxis
    assert axis.type == "log"
    assert axis.title.text == "counted energy (J), estimated"
    low, high = (10**end for end in axis.range)
    for trace in figure.data:
        if trace.type == "bar":
            assert low <= trace.base[0] <= trace.base[0] + trace.x[0] <= high
        else:
            assert all(low <= x <= high for x in trace.x)


def test_a_wild_interval_does_not_stretch_the_axis(info: AblationInfo) -> None:
    first, *others = info.falls
    wild = replace(info, falls=(replace(first, low_j=1e-9, high_j=1e9), *others))
    assert ablation_figure(wild).layout.xaxis.range == ablation_figure(info).layout.xaxis.range


def test_the_winner_and_the_baseline_have_bars_with_their_joules(info: AblationInfo) -> None:
    bars = [trace for trace in ablation_figure(info).data if trace.type == "bar"]
    assert (bars[0].y[0], bars[-1].y[0]) == ("the baseline", "trial 4")
    texts = ablation_figure(info).data[-1]
    assert [text.strip() for text in texts.text][:2] == ["39.0 J", "9.16 J"]
    assert " ÷ 2.02" in texts.text


def test_what_makes_the_winner_dearer_has_its_colour_and_the_caption_says_so(info: AblationInfo) -> None:
    dearer = replace(info, falls=(*info.falls, DEARER))
    colours = {
        trace.y[0]: trace.marker.color for trace in ablation_figure(dearer).data if trace.type == "bar"
    }
    assert colours["batch"] == style.ORANGE
    assert colours["interactions"] == style.GREY
    assert "Orange" in ablation_caption(dearer)
    assert "Orange" not in ablation_caption(info)


def test_a_bound_is_hatched_and_its_text_says_so() -> None:
    found = ablation_info(ablated_view(World(never=20.0)))
    assert found is not None
    bound = next(fall for fall in found.falls if fall.name == "optimizer")
    assert bound.text.startswith("÷ ≥ 3.9")
    assert found.falls[-1].text.startswith("÷ ≤ ")
    hatched = {
        trace.y[0]
        for trace in ablation_figure(found).data
        if trace.type == "bar" and trace.marker.pattern.shape
    }
    assert hatched == {"optimizer", "interactions"}
    assert "Hatched" in ablation_caption(found)


def test_there_is_no_figure_without_an_ablation_or_before_its_first_round() -> None:
    assert ablation_info(study_view(make_study(), study_config())) is None
    assert ablation_info(ablated_view(World(), loss_margin=0.0)) is None
    assert ablation_info(ablated_view(World(), at=-14)) is None

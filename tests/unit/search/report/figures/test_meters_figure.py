from __future__ import annotations

import pytest
from records_factory import (
    NVML,
    ROOFLINE,
    make_misranked_study,
    make_record,
    make_study,
    read_beside,
    study_config,
)
from report_page import view_of

from search.report.figures.meters import MetersInfo, meters_figure, meters_info
from search.report.view.data import StudyView, study_view


@pytest.fixture(scope="module")
def view() -> StudyView:
    return study_view(make_study(), study_config())


def both_of(view: StudyView) -> MetersInfo:
    (comparison,) = view.meters.comparisons
    info = meters_info(view, comparison)
    assert info is not None
    return info


@pytest.fixture(scope="module")
def misranked() -> StudyView:
    return study_view(make_misranked_study(), study_config())


def test_every_run_that_both_meters_read_is_in_the_plane_of_the_two(misranked: StudyView) -> None:
    groups = both_of(misranked).groups
    assert {name: len(runs) for name, runs in groups.items()} == {
        "baseline": 1,
        "again": 1,
        "ranks": 8,
        "short": 4,
    }


def test_the_runs_farthest_from_the_median_ratio_have_labels_and_so_has_the_baseline(
    misranked: StudyView,
) -> None:
    labels = {run.label for runs in both_of(misranked).groups.values() for run in runs} - {""}
    assert labels == {"12", "2", "7", "baseline"}


def test_both_axes_are_logarithmic_and_name_meter_and_kind(misranked: StudyView) -> None:
    layout = meters_figure(both_of(misranked)).layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "log")
    assert layout.xaxis.title.text == "energy (J), nvml (measured)"
    assert layout.yaxis.title.text == "energy (J), roofline (modelled)"


def test_the_line_goes_through_the_median_ratio_and_past_every_run(misranked: StudyView) -> None:
    info = both_of(misranked)
    line = meters_figure(info).data[0]
    assert [y / x for x, y in zip(line.x, line.y, strict=True)] == pytest.approx([info.scale] * 2)
    assert line.x[0] < min(info.values("reference_j")) < max(info.values("reference_j")) < line.x[1]


def test_marks_of_two_meters_are_told_apart_without_colour_and_hover_with_both_numbers(
    misranked: StudyView,
) -> None:
    traces = meters_figure(both_of(misranked)).data[1:]
    assert len({trace.marker.symbol for trace in traces}) == len(traces)
    (baseline,) = [trace for trace in traces if trace.name == "baseline"]
    assert "nvml (measured): 58.1 J<br>roofline (modelled): 19.2 J" in baseline.hovertext[0]
    assert "optimizer.lr = 0.001" in baseline.hovertext[0]


def test_meters_without_a_run_in_common_have_no_figure() -> None:
    first = read_beside(read_beside(make_record(1), NVML, 2.0, counted_energy_j=None), ROOFLINE, 2.0)
    second = read_beside(read_beside(make_record(2), NVML, 2.0), ROOFLINE, 2.0, counted_energy_j=None)
    view = view_of(first, second)
    found = {each.surrogate.name: meters_info(view, each) for each in view.meters.comparisons}
    assert found["cpu_time"] is not None
    assert found["roofline"] is None

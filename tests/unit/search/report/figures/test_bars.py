from __future__ import annotations

import dataclasses
import math

import pytest
from records_factory import (
    make_study,
    study_config,
    unmeasured,
)
from report_page import view_of

from search.record.ledger import Phase
from search.report.figures.importance import importance_figure
from search.report.figures.outcomes import outcomes_figure, outcomes_info
from search.report.figures.phases import phases_figure, phases_info
from search.report.view.data import StudyView, study_view
from search.report.view.importance import Importance

INJECTED = "<b>x</b>"


@pytest.fixture(scope="module")
def view() -> StudyView:
    return study_view(make_study(), study_config())


def test_phases_add_up_to_the_gross_energy(view: StudyView) -> None:
    info = phases_info(view)
    assert info.names == ("the baseline", "trial 7", "trial 10", "trial 12")
    for index, record in enumerate(view.shown):
        assert math.fsum(joules[index] for joules in info.energy_j.values()) == record.gross_energy_j


def test_phases_that_count_are_plainly_filled_and_the_others_only_hatched(view: StudyView) -> None:
    traces = {trace.name: trace for trace in phases_figure(phases_info(view)).data}
    assert [name for name in traces if name.endswith("(counted)")] == ["compile (counted)", "train (counted)"]
    plain = [name for name, trace in traces.items() if not trace.marker.pattern.shape]
    assert plain == ["compile (counted)", "train (counted)"]
    hatched = [trace.marker.pattern.shape for name, trace in traces.items() if name not in plain]
    assert len(set(hatched)) == len(hatched) == 3


def test_neighbours_that_count_are_told_apart_by_a_gap_and_their_names(
    view: StudyView,
) -> None:
    info = dataclasses.replace(phases_info(view), counted=tuple(Phase))
    for trace, phase in zip(phases_figure(info).data, info.energy_j, strict=True):
        assert not trace.marker.pattern.shape
        assert (trace.marker.line.color, set(trace.text)) == ("white", {phase})


def test_bars_of_outcomes_are_joules_on_a_labelled_axis_with_the_number_of_runs_as_labels(
    view: StudyView,
) -> None:
    info = outcomes_info(view)
    assert dict(info.runs) == {
        "REACHED": 10, "OUT_OF_BUDGET": 1, "DOMINATED": 2, "DIVERGED": 1, "CRASHED": 2, "UNMEASURED": 1,
    }  # fmt: skip
    figure = outcomes_figure(info)
    (trace,) = figure.data
    assert figure.layout.xaxis.title.text == "gross energy (J), estimated by cpu_time"
    assert list(trace.x) == [info.energy_j[name] or 0.0 for name in info.runs]
    assert trace.y[:2] == ("REACHED<br>10 runs", "OUT_OF_BUDGET<br>1 run")
    assert trace.text[-1] == "energy unknown"


def test_an_outcome_that_did_not_happen_has_no_bar() -> None:
    assert list(outcomes_info(view_of(unmeasured(1, "x"))).runs) == ["UNMEASURED"]


def test_importance_bars_escape_the_names_of_parameters() -> None:
    (trace,) = importance_figure(Importance({INJECTED: 0.7, "lr": 0.3}, 9)).data
    assert trace.y == ("&lt;b&gt;x&lt;/b&gt;", "lr")

"""The runs by each parameter, where there are too few to say which parameters mattered."""

from __future__ import annotations

import dataclasses

import pytest
from records_factory import make_record, make_study, study_config, unmeasured

from search.record.outcome import Outcome
from search.record.record import Record
from search.report.figures.captions import raw_runs_caption
from search.report.figures.raw_runs import MOST_PANELS, raw_runs_figure, raw_runs_info
from search.report.view.data import StudyView, study_view


def view_of(*records: Record) -> StudyView:
    return study_view(records, study_config())


FEW = make_study()[:6]  # a killed baseline, the baseline, two that reached and two that missed


def test_every_parameter_that_varies_has_a_panel_and_no_other_has() -> None:
    info = raw_runs_info(view_of(*FEW))
    assert list(info.names) == [
        "optimizer.name", "optimizer.lr", "model.n_layer", "model.norm", "train.batch_size",
    ]  # fmt: skip
    titles = [axis.title.text for axis in raw_runs_figure(info).select_xaxes()]
    assert titles == ["optimizer.name", "lr", "n_layer", "norm", "batch_size"]


def test_runs_that_missed_are_in_the_strip_and_have_no_energy_there() -> None:
    info = raw_runs_info(view_of(*FEW))
    assert [run.value for run in info.runs if run.part == "missed"] == [None, None]
    figure = raw_runs_figure(info)
    strips = {trace.yaxis for trace in figure.data if trace.name == "did not reach"}
    planes = {trace.yaxis for trace in figure.data if trace.name != "did not reach"}
    assert strips == {"y2", "y4", "y6", "y8", "y10"}
    assert not strips & planes


def test_the_caption_says_that_these_are_runs_and_not_importance() -> None:
    caption = raw_runs_caption(raw_runs_info(view_of(*FEW)))
    assert caption.startswith("Raw runs, not importance")
    assert "lower is less energy (estimated by cpu_time)" in caption


def test_further_parameters_are_counted_and_not_drawn() -> None:
    records = [
        make_record(n, energy_j=30.0 - n, params={f"model.p{i}": i + n for i in range(MOST_PANELS + 3)})
        for n in (1, 2)
    ]
    info = raw_runs_info(view_of(*records))
    assert (len(info.names), info.left_out) == (MOST_PANELS, 3)
    assert "3 more vary: trials.csv has them." in raw_runs_caption(info)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [make_record(1)],
        [make_record(1), make_record(2, energy_j=9.0)],
        [make_record(1), make_record(2, outcome=Outcome.DOMINATED, params={"model.n_layer": 2})],
        [unmeasured(1, "x"), make_record(2)],
    ],
    ids=["nothing", "one run", "nothing varies", "one that reached", "unmeasured"],
)
def test_what_cannot_be_set_side_by_side_is_not_drawn(records: list[Record]) -> None:
    assert not raw_runs_info(view_of(*records)).worth_drawing


def test_values_of_any_type_are_drawn_as_text_where_they_are_no_numbers() -> None:
    params = [{"a": "<b>"}, {"a": None}, {"a": [1, 2]}, {"a": True}]
    records = [make_record(n, energy_j=20.0 + n, params=p) for n, p in enumerate(params, start=1)]
    figure = raw_runs_figure(raw_runs_info(view_of(*records)))
    assert {x for trace in figure.data for x in trace.x} == {"&lt;b&gt;", "None", "[1, 2]", "True"}
    assert figure.layout.xaxis.type == "category"


def test_a_parameter_that_only_some_runs_have_is_drawn_for_these() -> None:
    records = [make_record(1, params={"a": 1}), make_record(2, energy_j=9.0, params={"a": 2, "b": 3})]
    info = raw_runs_info(view_of(*records))
    figure = raw_runs_figure(info)
    assert sum(len(trace.x) for trace in figure.data if trace.xaxis == "x2") == 1


def test_a_killed_run_is_not_drawn() -> None:
    killed = dataclasses.replace(make_record(3), interrupted=True)
    assert len(raw_runs_info(view_of(make_record(1), killed)).runs) == 1

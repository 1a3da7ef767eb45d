from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from records_factory import (
    BASELINE,
    CHEAP,
    METER,
    PROVENANCE,
    make_record,
    make_study,
    study_config,
)
from report_page import view_of

from search.record.ledger import CountedPhases
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.report.findings.names import name_of
from search.report.findings.notes import notes
from search.report.view.data import StudyView, study_view
from search.report.view.mixed import ReportError


def again(trial: int, energy_j: float) -> Record:
    """One more run of the baseline."""
    return make_record(trial, energy_j=energy_j, time_s=20.0, role=Role.BASELINE)


def front_trials(view: StudyView) -> list[int]:
    return [record.trial for record in view.front]


def test_the_front_is_what_reached_the_target_and_is_not_dominated() -> None:
    assert front_trials(study_view(make_study(), study_config())) == [7, 10, 12]


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.REACHED])
def test_a_run_that_did_not_reach_the_target_is_never_on_the_front(outcome: Outcome) -> None:
    cheaper = make_record(2, energy_j=1.0, time_s=1.0, outcome=outcome)
    values = {"energy_to_target_j": 1.0, "time_to_target_s": 1.0}
    assert front_trials(view_of(CHEAP, dataclasses.replace(cheaper, values=values))) == [1]


def test_the_baseline_may_be_on_the_front() -> None:
    quick = make_record(0, energy_j=60.0, time_s=1.0)
    assert front_trials(view_of(quick, CHEAP)) == [1, 0]


def test_a_run_of_the_confirmation_is_not_ranked_however_cheap_it_was() -> None:
    assert front_trials(view_of(CHEAP, make_record(2, energy_j=1.0, time_s=1.0, role=Role.CONFIRM))) == [1]


def test_a_run_that_lacks_an_objective_is_not_ranked_and_the_notes_say_so() -> None:
    lacking = dataclasses.replace(make_record(2, energy_j=1.0), values={"energy_to_target_j": 1.0})
    view = view_of(CHEAP, lacking)
    assert front_trials(view) == [1]
    assert any("cannot rank: trial 2" in note for note in notes(view))


def test_the_objectives_of_the_configuration_decide_the_front() -> None:
    slow = make_record(2, energy_j=10.0, time_s=50.0)
    assert front_trials(view_of(CHEAP, slow)) == [2, 1]
    assert front_trials(view_of(CHEAP, slow, names=("energy_to_target_j",))) == [2]


def test_without_a_configuration_the_objectives_are_those_of_the_records() -> None:
    assert study_view([CHEAP], {}).objectives == ("energy_to_target_j", "time_to_target_s")


def test_the_baseline_is_the_run_that_completed_and_not_the_one_that_was_killed_before_it() -> None:
    killed = make_record(0, outcome=Outcome.CRASHED, interrupted=True)
    crashed = make_record(0, outcome=Outcome.CRASHED)
    assert view_of(killed, crashed, BASELINE).baseline is BASELINE
    assert view_of(killed, crashed).baseline is crashed
    assert view_of(killed).baseline is None


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("meters", {"meter": dataclasses.replace(METER, name="nvml")}),
        ("meters", {"meter": dataclasses.replace(METER, settings={"watts_per_core": 7.0})}),
        ("meters", {"counted_phases": CountedPhases.GROSS}),
        ("targets", {"target_loss": 2.31}),
        ("data sets", {"provenance": {"data": {"sha256": "other"}}}),
        (
            "ways to divide what is held out",
            {"provenance": {"data": PROVENANCE["data"] | {"held_out": "halves"}}},
        ),
    ],
)
def test_records_that_cannot_share_a_front_are_refused_in_one_line(what: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ReportError, match=f"2 {what}") as caught:
        view_of(CHEAP, dataclasses.replace(CHEAP, trial=2, **fields))
    assert "\n" not in str(caught.value)


def test_records_that_do_not_say_how_they_divided_what_was_held_out_left_it_whole() -> None:
    data = PROVENANCE["data"] | {"held_out": "whole"}
    later = dataclasses.replace(CHEAP, trial=2, provenance=PROVENANCE | {"data": data})
    assert len(view_of(CHEAP, later).records) == 2


@pytest.mark.parametrize(("ngram", "warns"), [(2.41, False), (2.30, True), (1.9, True), (None, False)])
def test_a_target_that_counting_reaches_is_noticed(ngram: float | None, warns: bool) -> None:
    provenance = PROVENANCE | {"data": PROVENANCE["data"] | {"ngram_loss": ngram}}
    view = view_of(dataclasses.replace(CHEAP, provenance=provenance))
    assert view.problem.counting_reaches_target is warns


def test_the_run_that_sets_the_target_is_neither_ranked_nor_the_closest() -> None:
    sets = make_record(0, role=Role.TARGET, outcome=Outcome.OUT_OF_BUDGET, target_loss=0.0, final_loss=2.2)
    view = view_of(sets, again(1, 60.0), make_record(2, energy_j=12.0))
    assert view.problem.target_loss == 2.3
    assert view.baseline is view.records[1]
    assert view.closest is not sets
    assert view.cost.runs == 3
    assert "sets the target" in name_of(view, sets)


def test_the_best_is_that_on_average_and_stands_there_with_its_dearest_run() -> None:
    lucky, steady = make_record(1, energy_j=8.0), make_record(2, energy_j=10.0)
    replicates = (
        dataclasses.replace(make_record(trial, energy_j=energy_j), config=of.config)
        for trial, energy_j, of in ((3, 18.0, lucky), (4, 11.0, steady))
    )
    view = view_of(BASELINE, lucky, steady, *replicates)
    assert view.best is not None
    assert (view.best.trial, dict(view.replicates)) == (4, {3: 1, 4: 2})
    saved_j = (BASELINE.counted_energy_j or 0.0) - 11.0
    assert view.cost.saved_per_run_j == pytest.approx(saved_j)
    assert lucky in view.front

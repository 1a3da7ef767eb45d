"""What the search cost, in words."""

from __future__ import annotations

import dataclasses

from records_factory import BASELINE, CHEAP, make_record, make_study, study_config

from search.record.limits import Rival
from search.record.meter_info import Kind
from search.record.outcome import Outcome, Role
from search.record.prior import PriorStudy
from search.report.findings.cost import cost_line, cost_tiles
from search.report.view.data import StudyView, study_view

PRIOR = (PriorStudy("A", 100.0, Kind.ESTIMATED), PriorStudy("B", 220.0, Kind.ESTIMATED))


def tiles(view: StudyView) -> str:
    return "\n".join(f"{tile.value} | {tile.meaning}" for tile in cost_tiles(view))


def ended_for(rival: Rival | None) -> StudyView:
    dominated = make_record(2, outcome=Outcome.DOMINATED, ended_by=rival)
    return study_view([BASELINE, CHEAP, dominated], study_config())


def test_the_joules_are_split_by_what_they_were_spent_on() -> None:
    fit = make_record(2, energy_j=10.0, role=Role.FIT)
    view = study_view([BASELINE, CHEAP, fit], study_config())
    parts = ", ".join(f"{name} {joules:.1f} J" for name, joules in view.cost.by_part_j.items())
    assert f"gross energy of 3 runs: {parts}" in tiles(view)
    assert list(view.cost.by_part_j) == ["baseline", "search", "fitting"]


def test_the_studies_before_are_named_with_their_joules_and_kind() -> None:
    view = study_view(make_study(), study_config(), PRIOR)
    words = "(estimated) of 2 studies by which the space was narrowed: A, B"
    assert f"plus 320 J {words}" in cost_line(view)
    assert f"+ 320 J | {words}" in tiles(view)
    assert "until the search, with the studies before it, has paid for itself" in tiles(view)


def test_without_studies_before_nothing_is_said_of_them() -> None:
    assert "narrowed" not in cost_line(study_view(make_study(), study_config()))
    assert "before it" not in tiles(study_view(make_study(), study_config()))


def test_the_margin_is_said_once_where_runs_were_ended_beyond_one() -> None:
    said = tiles(ended_for(Rival(1, (12.0, 5.0), 0.1)))
    assert said.count("they had to spend 10 % more") == 1
    for without in (None, Rival(1, (12.0, 5.0), 0.0), Rival(1, (12.0, 5.0), confirmed_seeds=5)):
        assert "had to spend" not in tiles(ended_for(without))


def test_who_pays_for_the_search_is_the_confirmed_recipe_once_there_is_one() -> None:
    view = study_view([BASELINE, CHEAP], study_config())
    assert "runs of the best trial" in cost_line(view)
    confirmed = dataclasses.replace(view, cost=dataclasses.replace(view.cost, saving_confirmed=True))
    assert "runs of the confirmed recipe" in cost_line(confirmed)
    nothing = dataclasses.replace(confirmed.cost, break_even_runs=None, saved_per_run_j=None)
    assert "no recipe that reaches the target saves energy" in tiles(
        dataclasses.replace(confirmed, cost=nothing)
    )

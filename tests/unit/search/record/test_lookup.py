from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import (
    BASELINE,
    SHORT_BASELINE,
    looking_up,
    make_lookup_study,
    make_record,
    make_study,
    study_config,
)

from search.record.front import dominates
from search.record.lookup import is_lookup_like
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.report.findings.headline import headline
from search.report.summary_json import summary
from search.report.view.data import StudyView, study_view

PLAIN = make_record(1, energy_j=12.0, time_s=5.0)
TABLE = looking_up(make_record(2, energy_j=4.0, time_s=2.0))


def view_of(*records: Record, names: tuple[str, ...] = ()) -> StudyView:
    return study_view(records, study_config(*names))


def trials(records: tuple[Record, ...]) -> list[int]:
    return [record.trial for record in records]


@st.composite
def studies(draw: st.DrawFn, lookup: tuple[bool, ...] = (False, True)) -> StudyView:
    """A baseline that may look up too, and trials; few distinct values, so that ties are common."""
    costs = st.integers(min_value=1, max_value=6).map(float)
    outcomes = st.sampled_from((*[Outcome.REACHED] * 4, Outcome.DOMINATED, Outcome.CRASHED))
    rows = st.tuples(
        costs, costs, outcomes, st.sampled_from(lookup), st.sampled_from((Role.SEARCH, Role.SINGLE))
    )
    records = []
    for trial, (energy_j, time_s, outcome, looks_up, role) in enumerate(draw(st.lists(rows, max_size=10))):
        record = make_record(trial, energy_j=energy_j, time_s=time_s, outcome=outcome)
        record = record if trial == 0 else dataclasses.replace(record, role=role)
        records.append(looking_up(record, value=looks_up))
    return view_of(*records)


@pytest.mark.parametrize("setting", ["lookup_table", "smear"])
@pytest.mark.parametrize("value", [True, False])
def test_a_run_is_lookup_like_where_its_model_is(setting: str, value: bool) -> None:
    assert is_lookup_like(looking_up(PLAIN, setting, value)) is value


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, False),
        ({"model": None}, False),
        ({"model": "gpt"}, False),
        ({"model": {}}, False),
        ({"model": {"smear": None}}, False),
        ({"model": {"lookup_table": "trigram"}}, True),
        ({"model": {"lookup_table": "none", "gone": 1}}, False),
        ({"model": {"bigram_table": True}}, True),
        ({"model": {"bigram_table": False, "table_order": 3}}, False),
        ({"model": {"bigram_table": True, "gone": 1}}, True),
        ({"model": {"bigram_table": True, "attention": "gone", "n_embd": 7, "n_head": 2}}, True),
    ],
    ids=str,
)
def test_a_configuration_of_another_version_or_a_part_of_one_is_read_as_far_as_it_goes(
    config: dict[str, Any], found: bool
) -> None:
    assert is_lookup_like(dataclasses.replace(PLAIN, config=config)) is found


@given(studies())
def test_the_front_without_lookup_holds_no_lookup_like_run(view: StudyView) -> None:
    assert not any(map(is_lookup_like, view.front_without_lookup))


@given(studies())
def test_every_run_of_the_front_that_is_not_lookup_like_is_on_the_front_without_lookup(
    view: StudyView,
) -> None:
    plain = [record for record in view.front if not is_lookup_like(record)]
    assert all(any(record is other for other in view.front_without_lookup) for record in plain)


@given(studies(lookup=(False,)))
def test_without_lookup_like_runs_the_two_fronts_and_the_two_best_are_the_same(view: StudyView) -> None:
    assert view.front_without_lookup == view.front
    assert view.best_without_lookup is view.best
    assert view.lookup == ()


@given(studies())
def test_the_fronts_differ_exactly_where_a_lookup_like_run_is_on_the_front(view: StudyView) -> None:
    assert view.fronts_differ == (trials(view.front) != trials(view.front_without_lookup))


@given(studies())
def test_only_lookup_like_runs_dominate_what_joins_the_front_without_them(view: StudyView) -> None:
    for record in view.front_without_lookup:
        above = [each for each in view.feasible if dominates(view.values(each), view.values(record))]
        assert all(map(view.is_lookup, above))


@given(studies())
def test_the_best_without_lookup_is_the_cheapest_trial_that_is_not_lookup_like(view: StudyView) -> None:
    costs = [
        view.values(record)[0]
        for record in view.feasible
        if record is not view.baseline and not is_lookup_like(record)
    ]
    best = view.best_without_lookup
    assert (None if best is None else view.values(best)[0]) == min(costs, default=None)
    assert best is None or not is_lookup_like(best)


@given(studies())
def test_every_run_of_both_fronts_is_shown_once_and_the_baseline_first(view: StudyView) -> None:
    both = {id(record) for record in (*view.front, *view.front_without_lookup)}
    shown = [id(record) for record in view.shown]
    assert len(shown) == len(set(shown))
    assert set(shown) - {id(view.baseline)} == both - {id(view.baseline)}
    assert view.baseline is None or view.shown[0] is view.baseline


def test_the_baseline_is_on_the_front_without_lookup_as_on_the_other() -> None:
    quick = make_record(0, energy_j=60.0, time_s=1.0)
    view = view_of(quick, PLAIN, TABLE)
    assert trials(view.front) == [2, 0]
    assert trials(view.front_without_lookup) == [1, 0]


def test_a_lookup_like_run_short_of_the_target_sets_nothing_apart() -> None:
    short = looking_up(make_record(2, energy_j=4.0, time_s=2.0, outcome=Outcome.DOMINATED))
    view = view_of(BASELINE, PLAIN, short)
    assert view.lookup == ()
    assert not view.fronts_differ


def test_the_summary_marks_the_rows_and_holds_the_front_and_the_best_without_lookup() -> None:
    content = summary(study_view(make_lookup_study(), study_config()))
    assert {row["trial"]: row["lookup_like"] for row in content["front"]} == {17: True, 16: True, 12: False}
    assert [row["trial"] for row in content["front_without_lookup"]] == [7, 10, 12]
    assert content["front_without_lookup"][-1] == content["front"][-1]
    assert (content["best"], content["best_without_lookup"]) == (17, 7)
    assert content["baseline"]["lookup_like"] is False


def test_without_lookup_like_runs_the_summary_holds_the_front_and_the_best_twice() -> None:
    content = summary(study_view(make_study(), study_config()))
    assert content["front_without_lookup"] == content["front"]
    assert content["best_without_lookup"] == content["best"] == 7


def test_with_lookup_like_runs_alone_there_is_no_best_without_them() -> None:
    content = summary(view_of(BASELINE, TABLE))
    assert (content["best"], content["best_without_lookup"]) == (2, None)
    assert [row["trial"] for row in content["front_without_lookup"]] == [0]


def test_a_lookup_like_winner_is_named_as_such_in_the_headline() -> None:
    assert headline(view_of(BASELINE, PLAIN, TABLE)).text.startswith("Trial 2 (lookup-like) reached 2.30")


@pytest.mark.parametrize(
    ("baseline", "says"),
    [
        (
            BASELINE,
            "trial 1, reached the target with 0.20 of the baseline's energy (12.0 J against 60.0 J, "
            "estimated by cpu_time) and 0.25 of its time (5.00 s against 20.0 s).",
        ),
        (SHORT_BASELINE, "trial 1, reached the target for 12.0 J and 5.00 s (estimated by cpu_time)."),
        (None, "trial 1, reached the target for 12.0 J and 5.00 s (estimated by cpu_time)."),
    ],
    ids=["baseline", "baseline short of the target", "no baseline"],
)
def test_the_first_caveat_of_a_lookup_like_winner_is_that_and_what_the_best_of_the_others_costs(
    baseline: Record | None, says: str
) -> None:
    records = [PLAIN, TABLE] if baseline is None else [baseline, PLAIN, TABLE]
    first = headline(view_of(*records)).caveats[0]
    assert first.startswith("Trial 2 is lookup-like: it maps the last tokens to the next by looking them up")
    assert says in first


def test_where_only_lookup_like_trials_reached_the_target_the_caveat_says_so() -> None:
    assert "No trial that is not reached the target." in headline(view_of(BASELINE, TABLE)).caveats[0]


def test_flags_of_the_best_of_the_others_are_caveats_beside_those_of_a_lookup_like_winner() -> None:
    flagged = dataclasses.replace(PLAIN, flags=("own_flag",))
    assert "Trial 1 is flagged: own_flag." in headline(view_of(BASELINE, flagged, TABLE)).caveats


@pytest.mark.parametrize("dominated", [[], [looking_up(make_record(2, energy_j=13.0, time_s=6.0))]])
def test_a_winner_that_is_not_lookup_like_has_no_such_caveat(dominated: list[Record]) -> None:
    found = headline(view_of(BASELINE, PLAIN, *dominated))
    assert "lookup" not in " ".join((found.text, *found.caveats))

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from records_factory import (
    BASELINE,
    CHEAP,
    SHORT_BASELINE,
    make_record,
    unmeasured,
)
from report_page import view_of

from search.record.ledger import CountedPhases
from search.record.limits import Rival
from search.record.meter_info import Kind
from search.record.outcome import Outcome, Role
from search.record.prior import PriorStudy
from search.record.record import Record
from search.report.view.cost import search_cost


def test_the_search_cost_counts_killed_and_crashed_runs_and_the_baseline() -> None:
    killed = make_record(0, energy_j=7.0, outcome=Outcome.CRASHED, interrupted=True)
    view = view_of(killed, BASELINE, CHEAP)
    gross = [record.gross_energy_j for record in (killed, BASELINE, CHEAP)]
    assert view.cost.energy_j == math.fsum(g for g in gross if g is not None)
    assert view.cost.by_outcome_j == {
        "REACHED": math.fsum(g for g in gross[1:] if g is not None),
        "CRASHED": killed.gross_energy_j,
    }
    assert view.cost.interrupted_runs == 1


def test_an_unknown_energy_is_counted_as_unknown_and_never_as_zero() -> None:
    cost = view_of(CHEAP, unmeasured(2, "stood still")).cost
    assert cost.runs_without_energy == 1
    assert cost.runs_without_time == 1
    assert cost.energy_j == CHEAP.gross_energy_j
    assert "UNMEASURED" not in cost.by_outcome_j


def test_ending_a_dominated_run_saves_at_most_the_train_joules_of_the_steps_not_taken() -> None:
    dominated = make_record(2, energy_j=10.0, steps=400, outcome=Outcome.DOMINATED)
    dominated.config["train"]["max_steps"] = 1000
    assert view_of(CHEAP, dominated).cost.saved_by_stopping_j == pytest.approx(600 * 10.0 / 400)


@pytest.mark.parametrize("fields", [{"steps": 0}, {"config": {}}, {"ledger": None}])
def test_nothing_is_saved_where_it_cannot_be_estimated(fields: dict[str, Any]) -> None:
    dominated = dataclasses.replace(make_record(2, outcome=Outcome.DOMINATED), **fields)
    assert view_of(CHEAP, dominated).cost.saved_by_stopping_j == 0.0


def test_the_search_breaks_even_after_its_energy_over_the_saving_of_one_run() -> None:
    view = view_of(BASELINE, CHEAP)
    assert view.cost.break_even_runs == pytest.approx(view.cost.energy_j / (60.0 - 12.0))


@pytest.mark.parametrize(
    "records", [[BASELINE], [CHEAP], [SHORT_BASELINE, CHEAP], [BASELINE, make_record(1, energy_j=60.0)]]
)
def test_without_a_known_saving_the_search_never_breaks_even(records: list[Record]) -> None:
    assert view_of(*records).cost.break_even_runs is None


def test_the_three_accountings_differ_by_the_phases_that_they_count() -> None:
    compiled = make_record(1, energy_j=12.0, time_s=5.0, compile_j=3.0)
    accounting = view_of(BASELINE, compiled).accountings[1]
    assert accounting.energy_j[CountedPhases.COMPILE_TRAIN] == pytest.approx(12.0)
    assert accounting.energy_j[CountedPhases.TRAIN] == pytest.approx(9.0)
    assert accounting.energy_j[CountedPhases.GROSS] == compiled.gross_energy_j
    assert accounting.energy_ratio[CountedPhases.TRAIN] == pytest.approx(9.0 / 60.0)


def test_a_compile_pays_after_its_joules_over_the_train_joules_saved_per_run() -> None:
    compiled = make_record(1, energy_j=50.0, compile_j=30.0)
    assert view_of(BASELINE, compiled).accountings[1].compile_pays_after_runs == pytest.approx(
        30.0 / (60.0 - 20.0)
    )


@pytest.mark.parametrize(
    ("baseline", "candidate"),
    [
        (BASELINE, CHEAP),
        (make_record(0, energy_j=60.0, compile_j=1.0), make_record(1, compile_j=2.0)),
        (make_record(0, energy_j=3.0, time_s=9.0), make_record(1, energy_j=9.0, time_s=3.0, compile_j=2.0)),
        (SHORT_BASELINE, make_record(1, compile_j=2.0)),
    ],
    ids=["not compiled", "baseline compiled too", "nothing saved", "baseline short of the target"],
)
def test_where_a_compile_cannot_be_compared_it_has_no_pay_off(baseline: Record, candidate: Record) -> None:
    assert view_of(baseline, candidate).accountings[1].compile_pays_after_runs is None


# --- the parts of the cost, studies before, and what is saved by a decided verdict


def test_the_parts_are_told_apart_by_what_their_runs_are_for_and_add_up() -> None:
    by_role = {role: make_record(n, energy_j=10.0 * (n + 1), role=role) for n, role in enumerate(Role)}
    cost = search_cost(list(by_role.values()), None, None)
    joules = {role: record.gross_energy_j or 0.0 for role, record in by_role.items()}
    assert cost.by_part_j == {
        "baseline": joules[Role.TARGET] + joules[Role.BASELINE],
        "search": joules[Role.SEARCH] + joules[Role.SINGLE],
        "fitting": joules[Role.FIT],
        "confirming": joules[Role.CONFIRM],
    }
    assert math.fsum(cost.by_part_j.values()) == pytest.approx(cost.energy_j)


def test_a_part_of_unknown_joules_is_absent_and_not_zero() -> None:
    assert search_cost([unmeasured(2, "stood still")], None, None).by_part_j == {}


def test_the_studies_before_count_in_break_even_and_not_in_the_studys_own_joules() -> None:
    prior = [PriorStudy("a", 100.0, Kind.ESTIMATED), PriorStudy("b", 220.0, Kind.ESTIMATED)]
    alone, with_prior = (search_cost([BASELINE, CHEAP], BASELINE, CHEAP, None, p) for p in ([], prior))
    assert with_prior.energy_j == alone.energy_j
    assert with_prior.prior_j == 320.0
    assert with_prior.break_even_runs == pytest.approx((alone.energy_j + 320.0) / (60.0 - 12.0))


@pytest.mark.parametrize(("saving_j", "saves"), [(24.0, True), (0.0, False), (-3.0, False)])
def test_a_decided_verdict_says_what_a_run_saves_whatever_single_runs_took(
    saving_j: float, saves: bool
) -> None:
    cost = search_cost([BASELINE, CHEAP], BASELINE, CHEAP, saving_j)
    assert cost.saving_confirmed
    assert cost.saved_per_run_j == (saving_j if saves else None)
    assert cost.break_even_runs == (pytest.approx(cost.energy_j / saving_j) if saves else None)


def test_without_one_it_is_what_the_best_trial_saved() -> None:
    cost = search_cost([BASELINE, CHEAP], BASELINE, CHEAP)
    assert not cost.saving_confirmed
    assert cost.saved_per_run_j == 48.0


def test_the_margins_are_those_of_the_runs_that_were_ended_for_a_trial_measured_once() -> None:
    def ended(trial: int, rival: Rival | None) -> Record:
        return make_record(trial, outcome=Outcome.DOMINATED, ended_by=rival)

    once, confirmed = Rival(1, (1.0, 1.0), 0.1), Rival(2, (1.0, 1.0), confirmed_seeds=5)
    records = [ended(3, once), ended(4, confirmed), ended(5, once), ended(6, Rival(1, (1.0, 1.0), 0.07))]
    assert search_cost(records, None, None).rival_margins == [0.07, 0.1]
    assert search_cost([ended(3, None)], None, None).rival_margins == [0.0]
    assert search_cost([CHEAP], None, None).rival_margins == []

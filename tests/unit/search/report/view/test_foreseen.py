"""How the forecast of losses did."""

from __future__ import annotations

from dataclasses import replace

import pytest
from records_factory import make_record

from search.record.forecast import Foreseen
from search.record.ledger import Phase
from search.record.outcome import Outcome
from search.record.record import Record
from search.report.view.foreseen import forecast_stops


def run(number: int, *, audited: bool, reached: bool = False, until: int = 200) -> Record:
    """Foreseen at step 100."""
    outcome = Outcome.REACHED if reached else Outcome.DOMINATED
    foreseen = Foreseen(100, 5.0, 2.9, until, 0.01, 0.02, audited)
    return replace(make_record(number, outcome=outcome, steps=100), foreseen=foreseen)


def test_a_study_without_forecasts_says_nothing_of_them() -> None:
    assert forecast_stops([make_record(0), make_record(1)]) is None


def test_audited_runs_that_reached_the_target_say_how_often_it_is_wrong() -> None:
    audited = [run(number, audited=True, reached=number < 1) for number in range(8)]
    found = forecast_stops([*audited, run(20, audited=False), make_record(21)])
    assert found is not None
    assert (found.ended, found.audited, found.wrong) == (1, 8, 1)
    assert found.wrong_low is not None
    assert found.wrong_high is not None
    assert found.wrong_low < 1 / 8 < found.wrong_high


def test_without_an_audit_nobody_knows_how_often_it_is_wrong() -> None:
    found = forecast_stops([run(1, audited=False)])
    assert found is not None
    assert (found.wrong_low, found.wrong_high) == (None, None)


def test_what_it_saved_are_the_steps_that_were_left() -> None:
    ended = run(1, audited=False, until=150)
    assert ended.ledger is not None
    found = forecast_stops([ended, run(2, audited=True)])
    assert found is not None
    assert found.saved_j == pytest.approx(0.5 * ended.ledger.energy_j[Phase.TRAIN])

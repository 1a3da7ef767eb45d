"""Records of runs that are under way, or never began."""

from __future__ import annotations

import json

from scripted_run import INFO, REQUEST, TO_THE_TARGET, ran

from search.record.outcome import Outcome
from search.record.record import Record
from search.run.record_builder import to_record, unmetered_record
from search.run.state import RunState
from search.run.stopping import Ending


def test_every_instant_of_a_run_can_be_turned_into_a_record_that_crosses_a_process() -> None:
    instants: list[Record] = []

    def report(seen: RunState) -> None:
        partial = to_record(seen, Ending(Outcome.CRASHED, "interrupted"), interrupted=True)
        instants.append(Record.from_dict(json.loads(json.dumps(partial.to_dict()))))

    record = ran(TO_THE_TARGET, report=report)
    assert len(instants) == 8
    assert all(instant.interrupted and instant.outcome is Outcome.CRASHED for instant in instants)
    spent = [instant.gross_energy_j for instant in instants if instant.gross_energy_j is not None]
    assert spent == sorted(spent)
    assert spent[-1] == record.gross_energy_j
    assert instants[-1].curve == record.curve


def test_a_run_that_died_before_its_first_look_has_no_energy_rather_than_zero() -> None:
    record = unmetered_record(REQUEST, INFO, "the worker was killed", interrupted=True)
    assert (record.outcome, record.reason) == (Outcome.CRASHED, "the worker was killed")
    assert record.interrupted
    assert (record.gross_energy_j, record.net_energy_j, record.counted_energy_j) == (None, None, None)
    assert (record.ledger, record.crossing, record.curve) == (None, None, ())
    assert dict(record.values) == {}
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record

"""Runs whose lease ran out, and results that came after all."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_record

from search.record.flags import Flag
from search.record.late import cut_off_by_expiry, each_run_once, late
from search.record.outcome import Outcome
from search.record.record import Record


def test_what_a_lost_run_had_spent_counts_and_ranks_nowhere() -> None:
    lost = cut_off_by_expiry(make_record(0))
    assert (lost.outcome, lost.interrupted, lost.values) == (Outcome.CRASHED, True, {})
    assert lost.gross_energy_j == make_record(0).gross_energy_j


def test_a_late_result_is_kept_whole_and_ranks_nowhere() -> None:
    record = make_record(0)
    result = late(record)
    assert (result.curve, result.ledger, result.late_of) == (record.curve, record.ledger, record.run_id)
    assert result.run_id != record.run_id
    assert not result.feasible
    assert not result.values
    assert Flag.LATE in result.flags
    assert Record.from_dict(result.to_dict()) == result


@given(st.lists(st.sampled_from(["whole", "lost", "late"]), max_size=8))
def test_the_joules_of_every_run_are_counted_once(kinds: list[str]) -> None:
    records = []
    for number, kind in enumerate(kinds):
        run = replace(make_record(number), run_id=f"run-{number}", gross_energy_j=10.0)
        lost = replace(cut_off_by_expiry(run), gross_energy_j=4.0)
        records += {"whole": [run], "lost": [lost], "late": [lost, late(run)]}[kind]
    spent = sum(record.gross_energy_j or 0.0 for record in each_run_once(records))
    assert spent == sum({"whole": 10.0, "lost": 4.0, "late": 10.0}[kind] for kind in kinds)

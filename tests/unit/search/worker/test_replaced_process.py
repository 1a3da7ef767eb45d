"""When a process that trains is replaced because it keeps memory of its runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from records_factory import make_record
from scripted_run import REQUEST

from search.record.outcome import Role
from search.worker.handle import MOST_RUNS, needs_new

LONG = make_record(1, time_s=1_000.0)
SHORT = make_record(1, time_s=4.0)
START_S = 5.0


def test_short_runs_share_a_process_and_after_long_ones_it_is_new() -> None:
    assert not needs_new(REQUEST, SHORT, 1, START_S)
    assert needs_new(REQUEST, LONG, 1, START_S)
    assert not needs_new(REQUEST, replace(LONG, ledger=None), 1, START_S), "how long it took is not known"


@pytest.mark.parametrize("role", Role)
def test_a_peak_that_is_an_objective_is_known_of_every_run(role: Role) -> None:
    ranked = replace(REQUEST, role=role, objectives=("energy_to_target_j", "peak_memory_bytes"))
    assert needs_new(ranked, SHORT, 1, START_S)


def test_a_confirmation_does_without_other_peaks() -> None:
    assert not needs_new(replace(REQUEST, role=Role.CONFIRM), LONG, 1, START_S)


def test_what_is_kept_does_not_grow_for_ever() -> None:
    assert needs_new(REQUEST, SHORT, MOST_RUNS, START_S)

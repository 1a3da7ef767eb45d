"""What a person reads on the line of a finished run."""

from __future__ import annotations

import dataclasses
import io

import pytest
from records_factory import make_record
from rich.console import Console

from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.study.progress import Watcher

COUNT = {"parameters": 16_480.0}


def line_of(record: Record) -> str:
    output = io.StringIO()
    Watcher(Console(file=output, width=400), "demo", 5).finished(record)
    return output.getvalue().strip()


def test_a_run_that_missed_says_how_near_it_came_and_what_it_spent() -> None:
    missed = make_record(1, energy_j=20.0, time_s=8.0, outcome=Outcome.OUT_OF_BUDGET, final_loss=2.4512)
    assert line_of(missed).endswith("; best loss 2.4512, spent 20.0 J, 8.00 s (estimated)")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_kind_of_energy_stands_only_beside_joules(outcome: Outcome) -> None:
    record = make_record(1, outcome=outcome, reason="why")
    counted = dataclasses.replace(
        record, values=COUNT if record.values else {}, spent=COUNT if record.spent else {}
    )
    assert "(estimated)" not in line_of(counted)


def test_the_live_line_counts_what_the_budget_counts() -> None:
    output = io.StringIO()
    watcher = Watcher(Console(file=output, width=200, force_terminal=True), "demo", 3)
    records = [
        make_record(0, role=Role.TARGET, outcome=Outcome.OUT_OF_BUDGET),
        make_record(1, role=Role.BASELINE),
    ]
    with watcher.watching(records):
        for record in (make_record(2), make_record(3), make_record(4, role=Role.BASELINE)):
            watcher.finished(record)
    assert "3/3" in output.getvalue()
    assert "4/3" not in output.getvalue()
    assert "5/3" not in output.getvalue()


def test_a_replicate_says_whose_recipe_it_ran() -> None:
    output = io.StringIO()
    watcher = Watcher(Console(file=output, width=400), "demo", 5)
    first = make_record(1)
    cut_off = dataclasses.replace(make_record(2), config=first.config, interrupted=True)
    for record in (first, cut_off, dataclasses.replace(make_record(3), config=first.config), make_record(4)):
        watcher.finished(record)
    roles = [line.split("(")[1].split(")")[0] for line in output.getvalue().splitlines()]
    assert roles == ["search", "search", "trial 1 again, another seed", "search"]

from __future__ import annotations

import dataclasses
import json
import math
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_record

from search.record.record import (
    PHASES,
    CountedPhases,
    Crossing,
    CurvePoint,
    Kind,
    Ledger,
    MeterInfo,
    Outcome,
    Record,
    find_crossing,
)

JOULES = {"setup": 1.0, "compile": 20.0, "train": 300.0, "eval": 4000.0, "checkpoint": 50000.0}
SECONDS = {"setup": 0.1, "compile": 0.2, "train": 0.4, "eval": 0.8, "checkpoint": 1.6}

amounts = st.floats(min_value=0, max_value=1e9)
losses = st.floats(min_value=0.1, max_value=12)


def point(loss: float, energy_j: float | None, time_s: float = 0.0, step: int = 0) -> CurvePoint:
    return CurvePoint(
        step=step, tokens=100 * step, loss=loss, loss_stderr=0.01, energy_j=energy_j, time_s=time_s
    )


@st.composite
def curves(draw: st.DrawFn) -> list[CurvePoint]:
    """Evaluations at growing energies and times, with any losses."""
    values = draw(st.lists(losses, min_size=1, max_size=8))
    energies = accumulate(draw(amounts) for _ in values)
    times = accumulate(draw(amounts) for _ in values)
    return [
        point(loss, energy_j, time_s, step)
        for step, (loss, energy_j, time_s) in enumerate(zip(values, energies, times, strict=True))
    ]


# ---- ledger


@pytest.mark.parametrize("phases", [PHASES[:-1], (*PHASES, "evaluation"), ()])
def test_a_ledger_refuses_anything_but_exactly_the_phases(phases: tuple[str, ...]) -> None:
    other = dict.fromkeys(phases, 1.0)
    with pytest.raises(ValueError, match="energy_j needs exactly the phases"):
        Ledger(energy_j=other, time_s=SECONDS)
    with pytest.raises(ValueError, match="time_s needs exactly the phases"):
        Ledger(energy_j=JOULES, time_s=other)


def test_gross_is_the_sum_of_all_phases() -> None:
    ledger = Ledger(JOULES, SECONDS)
    assert ledger.gross_energy_j == 54321.0
    assert ledger.gross_time_s == pytest.approx(3.1)


@pytest.mark.parametrize(
    ("policy", "energy_j", "time_s"),
    [
        (CountedPhases.COMPILE_TRAIN, 320.0, 0.6),
        (CountedPhases.TRAIN, 300.0, 0.4),
        (CountedPhases.GROSS, 54321.0, 3.1),
    ],
)
def test_a_policy_counts_its_own_phases(policy: CountedPhases, energy_j: float, time_s: float) -> None:
    ledger = Ledger(JOULES, SECONDS)
    assert ledger.counted_energy_j(policy) == energy_j
    assert ledger.counted_time_s(policy) == pytest.approx(time_s)


@given(st.lists(amounts, min_size=len(PHASES), max_size=len(PHASES)))
def test_no_policy_counts_more_than_gross(joules: list[float]) -> None:
    ledger = Ledger(dict(zip(PHASES, joules, strict=True)), SECONDS)
    assert ledger.counted_energy_j(CountedPhases.GROSS) == ledger.gross_energy_j
    assert all(ledger.counted_energy_j(policy) <= ledger.gross_energy_j for policy in CountedPhases)


# ---- outcome


def test_every_outcome_has_advice_of_its_own_on_one_line() -> None:
    advice = [outcome.advice for outcome in Outcome]
    assert all(text and "\n" not in text for text in advice)
    assert len(set(advice)) == len(advice)


def test_only_a_crashed_or_unmeasured_run_does_not_complete() -> None:
    assert {outcome for outcome in Outcome if not outcome.completes} == {
        Outcome.CRASHED,
        Outcome.UNMEASURED,
    }


# ---- crossing


def test_the_target_is_reached_at_the_first_evaluation_at_or_below_it() -> None:
    curve = [
        point(3.0, 10.0, 1.0, 1),
        point(2.5, 20.0, 2.0, 2),
        point(2.9, 25.0, 3.0, 3),
        point(2.0, 30.0, 4.0, 4),
    ]
    at = find_crossing(curve, 2.5)
    below = find_crossing(curve, 2.4)
    assert at is not None
    assert below is not None
    assert (at.step, at.tokens, at.loss, at.energy_j, at.time_s) == (2, 200, 2.5, 20.0, 2.0)
    assert (below.step, below.tokens, below.loss, below.energy_j, below.time_s) == (4, 400, 2.0, 30.0, 4.0)


def test_the_interval_goes_down_to_the_evaluation_before() -> None:
    crossing = find_crossing([point(3.0, 10.0, 1.0), point(2.8, 40.0, 3.0), point(2.0, 50.0, 7.0)], 2.5)
    assert crossing is not None
    assert (crossing.energy_low_j, crossing.time_low_s) == (40.0, 3.0)
    assert crossing.relative_interval == pytest.approx(0.2)


def test_where_the_first_evaluation_reaches_the_target_the_interval_starts_at_nothing_spent() -> None:
    crossing = find_crossing([point(2.0, 50.0, 7.0)], 2.5)
    assert crossing is not None
    assert (crossing.energy_low_j, crossing.time_low_s) == (0.0, 0.0)
    assert crossing.relative_interval == 1.0


def test_the_interpolated_estimate_is_linear_in_the_loss() -> None:
    crossing = find_crossing([point(3.0, 100.0, 10.0), point(2.0, 200.0, 30.0)], 2.75)
    assert crossing is not None
    assert crossing.energy_interpolated_j == pytest.approx(125.0)
    assert crossing.time_interpolated_s == pytest.approx(15.0)


def test_a_curve_that_stays_above_the_target_has_no_crossing() -> None:
    assert find_crossing([point(3.0, 10.0), point(2.51, 20.0)], 2.5) is None
    assert find_crossing([], 2.5) is None


@pytest.mark.parametrize(("before_j", "at_j"), [(None, 20.0), (10.0, None), (None, None)])
def test_an_unknown_energy_on_either_side_gives_no_crossing(
    before_j: float | None, at_j: float | None
) -> None:
    assert find_crossing([point(3.0, before_j), point(2.0, at_j)], 2.5) is None


@given(curves(), losses)
def test_the_estimate_lies_within_the_interval_and_the_interval_below_what_was_spent(
    curve: list[CurvePoint], target: float
) -> None:
    crossing = find_crossing(curve, target)
    if crossing is None:
        assert all(point.loss > target for point in curve)
        return
    assert crossing.loss <= target
    assert all(point.loss > target for point in curve[: crossing.step])
    for low, estimate, high in (
        (crossing.energy_low_j, crossing.energy_interpolated_j, crossing.energy_j),
        (crossing.time_low_s, crossing.time_interpolated_s, crossing.time_s),
    ):
        assert low <= high
        assert low <= estimate <= high or math.isclose(estimate, high, rel_tol=1e-12)
    assert 0 <= crossing.relative_interval <= 1


# ---- record

plain = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e12, 1e12) | st.text(max_size=8)
)
mappings = st.dictionaries(
    st.text(max_size=8), plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=4), plain)
)
phase_amounts = st.fixed_dictionaries(dict.fromkeys(PHASES, amounts))
records = st.builds(
    Record,
    study=st.text(max_size=10),
    trial=st.integers(0, 10**6),
    run_id=st.text(max_size=10),
    role=st.sampled_from(["baseline", "search", "replicate", "single"]),
    seed=st.integers(0, 2**31),
    params=mappings,
    config=mappings,
    outcome=st.sampled_from(Outcome),
    reason=st.text(max_size=20),
    target_loss=losses,
    loss_gap=st.none() | st.floats(-10, 10),
    best_loss=st.none() | losses,
    steps=st.integers(0, 10**9),
    tokens=st.integers(0, 10**12),
    parameters=st.integers(0, 10**12),
    meter=st.builds(
        MeterInfo,
        name=st.text(max_size=8),
        kind=st.sampled_from(Kind),
        counted_phases=st.sampled_from(CountedPhases),
        chosen_because=st.text(max_size=8),
        settings=mappings,
    ),
    gross_energy_j=st.none() | amounts,
    net_energy_j=st.none() | st.floats(-1e9, 1e9),
    idle_power_w=st.none() | amounts,
    ledger=st.none() | st.builds(Ledger, phase_amounts, phase_amounts),
    counted_energy_j=st.none() | amounts,
    counted_time_s=st.none() | amounts,
    curve=st.lists(
        st.builds(
            CurvePoint,
            step=st.integers(0, 10**9),
            tokens=st.integers(0, 10**12),
            loss=losses,
            loss_stderr=losses,
            energy_j=st.none() | amounts,
            time_s=amounts,
        ),
        max_size=3,
    ).map(tuple),
    crossing=st.none()
    | st.builds(
        Crossing,
        step=st.integers(0, 10**9),
        tokens=st.integers(0, 10**12),
        loss=losses,
        **dict.fromkeys(
            [
                "energy_j",
                "time_s",
                "energy_low_j",
                "time_low_s",
                "energy_interpolated_j",
                "time_interpolated_s",
            ],
            amounts,
        ),
    ),
    values=st.dictionaries(st.text(max_size=8), amounts, max_size=3),
    peak_memory_bytes=st.none() | st.integers(0, 2**48),
    flags=st.lists(st.text(max_size=8), max_size=3).map(tuple),
    interrupted=st.booleans(),
    retry_of=st.none() | st.integers(0, 10**6),
    provenance=mappings,
    extra=mappings,
)


@given(records)
def test_a_record_survives_the_way_through_json(record: Record) -> None:
    assert Record.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False))) == record


def test_what_comes_back_from_json_has_its_own_types_again() -> None:
    record = Record.from_dict(json.loads(json.dumps(make_record().to_dict())))
    assert isinstance(record.outcome, Outcome)
    assert isinstance(record.meter.kind, Kind)
    assert isinstance(record.meter.counted_phases, CountedPhases)
    assert isinstance(record.ledger, Ledger)
    assert isinstance(record.curve, tuple)
    assert isinstance(record.flags, tuple)
    assert record.crossing is not None
    assert record.feasible


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_a_record_of_another_schema_is_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match="expected a record of schema 1"):
        Record.from_dict(make_record().to_dict() | {"schema": schema})


@pytest.mark.parametrize("field", ["study", "outcome", "meter", "curve", "ledger", "flags"])
def test_a_record_that_lacks_a_field_is_refused_by_its_name(field: str) -> None:
    data = make_record().to_dict()
    del data[field]
    with pytest.raises(ValueError, match=f"not a record of schema 1.*{field}"):
        Record.from_dict(data)


def test_a_record_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not a record of schema 1.*joules"):
        Record.from_dict(make_record().to_dict() | {"joules": 1.0})


def test_a_record_of_before_that_missed_the_target_has_spent_its_values_and_cost_nothing_known() -> None:
    missed = make_record(outcome=Outcome.DOMINATED)
    of_before = missed.to_dict() | {"values": dict(missed.spent)}
    del of_before["spent"]
    found = Record.from_dict(json.loads(json.dumps(of_before)))
    assert found.values == {}
    assert found.spent == missed.spent
    reached = make_record().to_dict()
    del reached["spent"]
    assert Record.from_dict(reached).values == Record.from_dict(reached).spent == make_record().values


def test_only_a_run_that_reached_the_target_is_feasible() -> None:
    record = make_record()
    assert {outcome for outcome in Outcome if dataclasses.replace(record, outcome=outcome).feasible} == {
        Outcome.REACHED
    }


def test_a_record_of_before_names_its_lookup_table_as_one_of_today() -> None:
    written = make_record(3).to_dict()
    model = {key: value for key, value in written["config"]["model"].items() if key != "lookup_table"}
    of_before = written | {
        "config": dict(written["config"]) | {"model": model | {"bigram_table": True, "table_order": 3}},
        "params": {"model.n_layer": 2, "model.bigram_table": True, "model.table_order": 3},
    }
    read = Record.from_dict(of_before)
    assert read.config["model"] == model | {"lookup_table": "trigram"}
    assert read.params == {"model.n_layer": 2, "model.lookup_table": "trigram"}

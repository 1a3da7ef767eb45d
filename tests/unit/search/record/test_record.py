from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_record

from search.record.crossing import Crossing, CurvePoint
from search.record.ledger import CountedPhases, Ledger, Phase
from search.record.limits import Rival
from search.record.meter_info import Kind, MeterInfo
from search.record.outcome import Outcome, Role
from search.record.record import Record

amounts = st.floats(min_value=0, max_value=1e9)
losses = st.floats(min_value=0.1, max_value=12)
plain = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e12, 1e12) | st.text(max_size=8)
)
mappings = st.dictionaries(
    st.text(max_size=8), plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=4), plain)
)
phase_amounts = st.fixed_dictionaries(dict.fromkeys(Phase, amounts))
records = st.builds(
    Record,
    study=st.text(max_size=10),
    trial=st.integers(0, 10**6),
    run_id=st.text(max_size=10),
    role=st.sampled_from(Role),
    seed=st.integers(0, 2**31),
    params=mappings,
    config=st.builds(lambda rest, steps: rest | {"train": {"max_steps": steps}}, mappings, st.integers(1)),
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
        chosen_because=st.text(max_size=8),
        settings=mappings,
    ),
    counted_phases=st.sampled_from(CountedPhases),
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
    index=st.integers(0, 10**6),
    system_attrs=mappings,
    test_loss=st.none() | losses,
    test_loss_stderr=st.none() | losses,
    ended_by=st.none() | st.builds(Rival, st.integers(0, 99), st.tuples(amounts, amounts), losses),
)


@given(records)
def test_a_record_survives_the_way_through_json(record: Record) -> None:
    assert Record.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False))) == record


def test_what_comes_back_from_json_has_its_own_types_again() -> None:
    record = Record.from_dict(json.loads(json.dumps(make_record().to_dict())))
    assert isinstance(record.outcome, Outcome)
    assert isinstance(record.meter.kind, Kind)
    assert isinstance(record.counted_phases, CountedPhases)
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


def test_a_record_of_before_was_not_scored_on_the_test_part() -> None:
    line = make_record(test_loss=2.0, test_loss_stderr=0.01).to_dict()
    assert Record.from_dict(line).test_loss == 2.0
    del line["test_loss"], line["test_loss_stderr"]
    of_before = Record.from_dict(line)
    assert (of_before.test_loss, of_before.test_loss_stderr) == (None, None)


def test_a_line_holds_in_extra_what_the_version_before_looks_for_there() -> None:
    record = make_record(index=7, system_attrs={"grid_id": 3})
    line = json.loads(json.dumps(record.to_dict()))
    assert line["extra"] == {"max_steps": 2000, "index": 7, "system_attrs": {"grid_id": 3}}
    assert not {"index", "system_attrs", "max_steps"} & line.keys()
    assert (record.max_steps, Record.from_dict(line)) == (2000, record)


def test_a_line_whose_extra_holds_less_or_more_is_read() -> None:
    line = make_record(index=7).to_dict()
    assert Record.from_dict(line | {"extra": {"max_steps": 2000}}).index == 0
    assert Record.from_dict(line | {"extra": {"index": 7, "of_a_later_version": 1}}).index == 7


def test_only_a_run_that_reached_the_target_is_feasible() -> None:
    record = make_record()
    assert {outcome for outcome in Outcome if dataclasses.replace(record, outcome=outcome).feasible} == {
        Outcome.REACHED
    }


def test_a_record_of_before_names_its_lookup_table_as_one_of_today() -> None:
    written = make_record(3).to_dict()
    model = {key: value for key, value in written["config"]["model"].items() if key != "lookup_table"}
    of_before = written | {
        "config": dict(written["config"])
        | {"model": model | {"bigram_table": True, "table_order": 3, "bigram_rows": 7}},
        "params": {
            "model.n_layer": 2,
            "model.bigram_table": True,
            "model.table_order": 3,
            "model.bigram_rows": 7,
        },
    }
    read = Record.from_dict(of_before)
    assert read.config["model"] == model | {"lookup_table": "trigram", "lookup_rows": 7}
    assert read.params == {"model.n_layer": 2, "model.lookup_table": "trigram", "model.lookup_rows": 7}

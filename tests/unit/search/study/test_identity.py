"""Whose records they are, and what a person reads where a study was begun with other settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from records_factory import make_record

from model.config import RunConfig
from model.data import HeldOut
from search.errors import UserError
from search.record.objective import INFERENCE
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.study.identity import (
    begun_with,
    check_records,
    held_out_of,
    known_part,
    of_this_version,
)

PATH = Path("records.jsonl")
RECORD = make_record(0)


def test_of_many_changes_a_few_are_named_and_none_at_length() -> None:
    ours = {"baseline": {"target_metric": "loss"} | {f"key_{number}": "x" * 500 for number in range(30)}}
    theirs = {"baseline": {f"key_{number}": "y" for number in range(30)}}
    with pytest.raises(UserError, match=r"key_0: .*; 26 more\); type study\.name=OTHER") as refused:
        check_records(ours, theirs, [make_record(0)], PATH, None)
    assert len(str(refused.value)) < 700


def test_an_identity_that_says_nothing_is_a_lost_one_and_the_records_are_asked() -> None:
    for written, asked in (({}, r"trial 0 of records\.jsonl"), ({"threads": 2}, "study ")):
        with pytest.raises(UserError, match=f"^{asked}"):
            check_records({"threads": 1}, written, [make_record(0)], PATH, None)


def test_a_record_says_enough_to_be_told_from_one_of_another_study() -> None:
    theirs = begun_with(RECORD)
    ours = theirs | {"space": {}, "study_seed": 0}
    assert known_part(ours, theirs) == theirs
    for change in ({"target_loss": 9.0}, {"data_sha256": "0"}, {"objectives": ["parameters"]}):
        assert known_part(ours | change, theirs) != theirs


def test_what_a_record_of_another_version_lacks_is_not_held_against_it() -> None:
    theirs = begun_with(replace(RECORD, provenance={}))
    assert "data_sha256" not in theirs
    ours = begun_with(RECORD) | {"baseline": begun_with(replace(RECORD, role=Role.BASELINE))["baseline"]}
    ours["baseline"]["model"] = ours["baseline"]["model"] | {"new": 1}
    assert known_part(ours, theirs) == theirs


def test_a_setting_that_the_version_before_did_not_have_has_its_default() -> None:
    now = of_this_version({"baseline": {"model": {"n_layer": 2}, "train": {}}})["baseline"]
    assert now["model"]["n_layer"] == 2
    assert now["model"]["attention_window"] == RunConfig().model.attention_window
    check_records({"baseline": now}, {"baseline": {"model": {"n_layer": 2}, "train": {}}}, [], PATH, None)
    changed = {"baseline": {**now, "model": now["model"] | {"attention_window": 7}}}
    with pytest.raises(UserError, match=r"baseline\.model\.attention_window: 32 -> 7"):
        check_records(changed, {"baseline": {"model": {"n_layer": 2}, "train": {}}}, [RECORD], PATH, None)


def test_a_study_of_before_was_trained_by_one_process() -> None:
    written = {"baseline": {"train": {"batch_size": 12}}}
    ours = of_this_version(written)
    assert ours["baseline"]["train"]["processes"] == 1
    check_records(ours, written, [], PATH, None)
    record = replace(RECORD, role=Role.BASELINE)
    without = {key: value for key, value in record.config["train"].items() if key != "processes"}
    old = replace(record, config={**record.config, "train": without})
    assert of_this_version(begun_with(old)) == of_this_version(begun_with(record))


def held_out_as(how: str | None) -> Record:
    """A record whose data were divided so; None: of a version that does not say."""
    data = {key: value for key, value in RECORD.provenance["data"].items() if key != "held_out"}
    return replace(RECORD, provenance={"data": data if how is None else data | {"held_out": how}})


OF_BEFORE, HALVES, WHOLE = held_out_as(None), held_out_as("halves"), held_out_as("whole")


@pytest.mark.parametrize(
    ("records", "written", "expected"),
    [
        ([], None, HeldOut.HALVES),
        ([], {}, HeldOut.HALVES),
        ([], {"data_sha256": "0", "held_out": "halves"}, HeldOut.HALVES),
        ([], {"data_sha256": "0"}, HeldOut.WHOLE),  # killed in its first run, by the version before
        ([OF_BEFORE], None, HeldOut.WHOLE),
        ([WHOLE], {"held_out": "halves"}, HeldOut.WHOLE),
        ([HALVES], {"data_sha256": "0"}, HeldOut.HALVES),
        ([replace(RECORD, provenance={}), HALVES], None, HeldOut.HALVES),
        ([replace(RECORD, provenance={})], {"data_sha256": "0", "held_out": "halves"}, HeldOut.WHOLE),
    ],
)
def test_a_study_keeps_the_division_of_its_held_out_part(
    records: list[Record], written: object, expected: HeldOut
) -> None:
    assert held_out_of(records, written) is expected


@pytest.mark.parametrize(("ours", "record"), [("halves", OF_BEFORE), ("halves", WHOLE), ("whole", HALVES)])
def test_records_of_the_one_division_are_no_part_of_a_study_of_the_other(ours: str, record: Record) -> None:
    identity = {**of_this_version(begun_with(record)), "held_out": ours}
    theirs = "halves" if ours == "whole" else "whole"
    with pytest.raises(UserError, match=f"held_out: '{theirs}' -> '{ours}'"):
        check_records(identity, None, [record], PATH, record.target_loss)


def test_a_study_of_before_goes_on_with_what_it_wrote_down() -> None:
    theirs = of_this_version(begun_with(OF_BEFORE))
    assert theirs["held_out"] == "whole"
    written = {key: value for key, value in theirs.items() if key != "held_out"}
    check_records(theirs, written, [OF_BEFORE, WHOLE], PATH, OF_BEFORE.target_loss)
    with pytest.raises(UserError, match="held_out: 'whole' -> 'halves'"):
        check_records(theirs | {"held_out": "halves"}, written, [HALVES], PATH, HALVES.target_loss)


def of_board(uuid: str, trial: int = 0, **changed: Any) -> Record:
    """A record of a GPU of a model of which there are several."""
    gpu = {"uuid": uuid, "pci_bus_id": uuid, "name": "H100", "power_limit_w": 700.0} | changed
    meter = replace(RECORD.meter, settings={"gpus": [gpu], "devices": [uuid]})
    hardware = {"device": gpu["name"], "device_uuid": uuid}
    provenance = {**RECORD.provenance, "hardware": hardware}
    return replace(make_record(trial), meter=meter, provenance=provenance)


def test_a_study_goes_on_with_any_device_of_its_kind() -> None:
    records = [of_board("GPU-a"), of_board("GPU-b", 1)]
    ours = of_this_version(begun_with(records[0]))
    assert ours["device"] == {"name": "H100"}
    assert ours["meter"]["settings"] == {"gpus": [{"name": "H100", "power_limit_w": 700.0}]}
    check_records(ours, dict(ours), records, PATH, RECORD.target_loss)
    other = of_board("GPU-c", 2, power_limit_w=350.0)
    with pytest.raises(UserError, match=r"trial 2 .*power_limit_w"):
        check_records(ours, dict(ours), [*records, other], PATH, RECORD.target_loss)


def test_what_a_version_before_knew_by_its_uuid_goes_on() -> None:
    record = of_board("GPU-a")
    ours = of_this_version(begun_with(record))
    gpu = {"uuid": "GPU-a", "pci_bus_id": "0", "name": "H100", "power_limit_w": 700.0}
    meter = ours["meter"] | {"settings": {"gpus": [gpu], "devices": ["GPU-a"]}}
    written = ours | {"device": {"name": "H100", "uuid": "GPU-a"}, "meter": meter}
    check_records(ours, written, [record], PATH, RECORD.target_loss)
    with pytest.raises(UserError, match="device"):
        check_records(ours, written | {"device": {"name": "A100"}}, [record], PATH, RECORD.target_loss)


def test_machines_that_share_a_study_may_have_other_devices_and_meters() -> None:
    """Their joules are kept apart. What else they disagree about is refused."""
    ours = {key: value for key, value in of_this_version(begun_with(RECORD)).items() if key != "device"}
    ours["meter"] = {"counted_phases": ours["meter"]["counted_phases"]}
    assert of_this_version(ours) == ours
    check_records(ours, dict(ours), [RECORD, of_board("GPU-a", 1)], PATH, RECORD.target_loss)
    longer = replace(RECORD, target_loss=RECORD.target_loss + 1)
    with pytest.raises(UserError, match="target_loss"):
        check_records(ours, dict(ours), [longer], PATH, RECORD.target_loss)


def test_a_study_of_before_left_its_gpus_as_they_were_and_goes_on() -> None:
    ours = of_this_version(begun_with(RECORD))
    assert ours["baseline"]["device"] == {"power_limit_w": None, "sm_clock_mhz": None}
    before = {key: value for key, value in ours["baseline"].items() if key != "device"}
    check_records(ours, {**ours, "baseline": before}, [RECORD], PATH, RECORD.target_loss)
    held = {**ours["baseline"], "device": {"power_limit_w": 300.0, "sm_clock_mhz": None}}
    with pytest.raises(UserError, match=r"baseline\.device\.power_limit_w: None -> 300"):
        check_records({**ours, "baseline": held}, dict(ours), [RECORD], PATH, RECORD.target_loss)


def test_a_run_that_missed_its_target_need_not_have_the_joules_of_a_token() -> None:
    names = ["energy_to_target_j", "time_to_target_s"]
    missed, reached = make_record(1, outcome=Outcome.OUT_OF_BUDGET), make_record(2)
    reached = replace(reached, spent={**reached.spent, INFERENCE: 0.1})
    ours = of_this_version(begun_with(missed)) | {"objectives": [*names, INFERENCE]}
    check_records(ours, {}, [missed, reached], PATH, missed.target_loss)
    with pytest.raises(UserError, match="objectives"):
        check_records(ours | {"objectives": names}, {}, [reached], PATH, reached.target_loss)

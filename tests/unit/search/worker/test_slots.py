"""How a CPU is divided among runs that go on at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.record.meter_info import Kind, MeterInfo
from search.worker.slots import Slot, only_one_because, slot_on_node, slots_of, slots_on_gpus


@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 5))
def test_slots_have_cores_of_their_own_and_know_those_of_the_others(
    count: int, threads: int, spare: int
) -> None:
    allowed = list(range(3, 3 + count * threads + spare))
    slots = slots_of(count, threads, allowed)
    used = [core for slot in slots for core in slot.cores]
    assert len(slots) == count
    assert len(set(used)) == len(used) == count * threads
    assert set(used) <= set(allowed)
    for slot in slots:
        assert len(slot.cores) == threads
        assert set(slot.siblings) == set(used) - set(slot.cores)
        assert not slot.alone


def test_a_single_slot_runs_wherever_the_process_may() -> None:
    assert slots_of(1, 2, [0, 1, 2, 3]) == (Slot(),)
    assert Slot().alone


def test_only_what_a_meter_can_tell_apart_runs_at_once() -> None:
    estimated = MeterInfo("cpu_time", Kind.ESTIMATED)
    assert only_one_because(estimated, "cpu") is None
    assert "rapl reads the whole CPU" in (only_one_because(MeterInfo("rapl", Kind.MEASURED), "cpu") or "")
    assert "GPU" in (only_one_because(estimated, "cuda") or "")


def test_a_slot_on_a_gpu_sees_that_one_alone_and_shares_the_cores() -> None:
    assert slots_on_gpus(["GPU-a", "GPU-b"]) == (Slot(gpu="GPU-a"), Slot(gpu="GPU-b"))
    assert all(slot.alone for slot in slots_on_gpus(["GPU-a", "GPU-b"])), "each holds what its meter reads"


def test_the_slots_of_a_node_have_their_own_cores_and_share_its_lock() -> None:
    slots = [slot_on_node(number, 2, 1, [4, 7]) for number in range(2)]
    assert slots == [Slot((4,), (7,), shares_cpu=True), Slot((7,), (4,), shares_cpu=True)]
    assert slot_on_node(0, 1, 1, [4, 7]) == Slot(), "the only one holds the machine for itself"

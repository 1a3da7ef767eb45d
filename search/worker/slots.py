"""The slots of a study: so many runs at once, each on a GPU or on cores of its own. Pure.

What a meter can tell apart decides whether runs may go side by side. Each GPU has a counter; core-seconds are
counted by process; a package's counter sees all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from search.record.meter_info import Kind, MeterInfo


@dataclass(frozen=True)
class Slot:
    """`cores` are those that its worker is kept to, none for all; `siblings` those of the other slots. `gpu`:
    the UUID of the only GPU that its worker sees, None for all. `shares_cpu`: its runs hold the CPU together
    with those of the other slots, since no process holds it for all of them."""

    cores: tuple[int, ...] = ()
    siblings: tuple[int, ...] = ()
    gpu: str | None = None
    shares_cpu: bool = False

    @property
    def alone(self) -> bool:
        return not self.siblings


def slots_of(count: int, threads: int, allowed: Sequence[int]) -> tuple[Slot, ...]:
    """`count` slots for `threads` threads each, of the cores that this process may use; there must be
    enough."""
    if count == 1:
        return (Slot(),)
    assert len(allowed) >= count * threads
    shares = [tuple(allowed[k * threads : (k + 1) * threads]) for k in range(count)]
    return tuple(
        Slot(cores, tuple(core for other in shares if other is not cores for core in other))
        for cores in shares
    )


def slots_on_gpus(gpus: Sequence[str]) -> tuple[Slot, ...]:
    """One on each of these GPUs. They share the cores: what a GPU needs of them is little, and not the same
    all the time."""
    return tuple(Slot(gpu=gpu) for gpu in gpus)


def slot_on_node(number: int, count: int, threads: int, allowed: Sequence[int]) -> Slot:
    """One of `count` slots of a machine's CPU, whose worker does not know which others are at work; there
    must be enough cores for all."""
    return replace(slots_of(count, threads, allowed)[number], shares_cpu=count > 1)


def only_one_because(meter: MeterInfo, device_type: str) -> str | None:
    """Why runs must go one at a time here whatever `device.slots` says, or None."""
    if device_type != "cpu":
        return "device.slots divides a CPU; on a GPU runs go one at a time"
    if meter.kind is Kind.MEASURED:
        return f"{meter.name} reads the whole CPU, so runs go one at a time; meter=cpu_time tells them apart"
    return None

"""What can be set of a GPU: its power limit and its clock. The seam between the rules of a run and who obeys,
NVML or a fake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from search.meter.gpu.library import GpuError

T = TypeVar("T")


class NotPermitted(GpuError):
    """This user may read the GPU and not set it."""


class GpuControls(Protocol):
    """One physical GPU. Milliwatts and MHz, as NVML has them. Every method raises GpuError where the GPU or
    its driver refuses; `NotPermitted` where this user may not."""

    @property
    def uuid(self) -> str: ...

    def power_limit_mw(self) -> int:
        """The limit that was set last, or the board's default."""
        ...

    def enforced_limit_mw(self) -> int | None:
        """What holds, all limiters considered; None where it cannot be had."""
        ...

    def power_limits_mw(self) -> tuple[int, int]:
        """The least and the most that can be set."""
        ...

    def set_power_limit(self, milliwatts: int) -> None: ...

    def sm_clocks_mhz(self) -> Sequence[int]:
        """Those that can be fixed, at the highest clock of the memory."""
        ...

    def sm_clock_mhz(self) -> int | None:
        """At this moment; None where it cannot be had."""
        ...

    def fix_sm_clock(self, mhz: int) -> None: ...

    def free_sm_clock(self) -> None:
        """Let the driver choose the clock. NVML does not tell whether it was fixed before."""
        ...


@dataclass(frozen=True)
class Settable:
    """What all GPUs of a run can be set to: the least and the most watts, and clocks in MHz; empty where one
    of them cannot."""

    power_limits_w: tuple[float, ...] = ()
    sm_clocks_mhz: tuple[int, ...] = ()


def settable(gpus: Sequence[GpuControls]) -> Settable:
    """What each of these GPUs can be set to. One that does not say can be set to nothing."""
    ranges = [_answer(gpu.power_limits_mw, (0, 0)) for gpu in gpus]
    nothing: Sequence[int] = ()
    clocks = [set(_answer(gpu.sm_clocks_mhz, nothing)) for gpu in gpus]
    least_mw = max((least for least, _ in ranges), default=0)
    most_mw = min((most for _, most in ranges), default=0)
    return Settable(
        power_limits_w=(least_mw / 1000, most_mw / 1000) if 0 < least_mw <= most_mw else (),
        sm_clocks_mhz=tuple(sorted(set.intersection(*clocks))) if clocks else (),
    )


def _answer(ask: Callable[[], T], otherwise: T) -> T:
    try:
        return ask()
    except GpuError:
        return otherwise

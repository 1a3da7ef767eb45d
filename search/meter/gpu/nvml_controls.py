"""What NVML sets of a GPU. It needs no CUDA, so the parent of a study may use it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml

from search.meter.gpu.controls import NotPermitted
from search.meter.gpu.library import GpuError
from search.meter.gpu.nvml_devices import ask, ask_or_none, nvml_session


@contextmanager
def nvml_controls(uuids: Sequence[str]) -> Iterator[tuple[NvmlControls, ...]]:
    """The GPUs with these full UUIDs, while NVML is open. Raises GpuError where NVML does not open, or one is
    missing."""
    with nvml_session():
        handles = [ask(f"find {uuid}", pynvml.nvmlDeviceGetHandleByUUID, uuid) for uuid in uuids]
        yield tuple(NvmlControls(uuid, handle) for uuid, handle in zip(uuids, handles, strict=True))


@dataclass(frozen=True)
class NvmlControls:
    """See `GpuControls`."""

    uuid: str
    handle: Any

    def power_limit_mw(self) -> int:
        doing = f"read the power limit of {self.uuid}"
        return int(ask(doing, pynvml.nvmlDeviceGetPowerManagementLimit, self.handle))

    def enforced_limit_mw(self) -> int | None:
        return ask_or_none(pynvml.nvmlDeviceGetEnforcedPowerLimit, self.handle)

    def power_limits_mw(self) -> tuple[int, int]:
        doing = f"read what the power limit of {self.uuid} can be"
        least, most = ask(doing, pynvml.nvmlDeviceGetPowerManagementLimitConstraints, self.handle)
        return int(least), int(most)

    def set_power_limit(self, milliwatts: int) -> None:
        doing = f"set the power limit of {self.uuid} to {milliwatts / 1000:g} W"
        _change(doing, pynvml.nvmlDeviceSetPowerManagementLimit, self.handle, milliwatts)

    def sm_clocks_mhz(self) -> Sequence[int]:
        doing = f"list the clocks of {self.uuid}"
        memory = ask(doing, pynvml.nvmlDeviceGetSupportedMemoryClocks, self.handle)
        if not memory:
            return ()
        clocks = ask(doing, pynvml.nvmlDeviceGetSupportedGraphicsClocks, self.handle, max(memory))
        return tuple(map(int, clocks))

    def sm_clock_mhz(self) -> int | None:
        return ask_or_none(pynvml.nvmlDeviceGetClockInfo, self.handle, pynvml.NVML_CLOCK_SM)

    def fix_sm_clock(self, mhz: int) -> None:
        doing = f"fix the clock of {self.uuid} at {mhz} MHz"
        _change(doing, pynvml.nvmlDeviceSetGpuLockedClocks, self.handle, mhz, mhz)

    def free_sm_clock(self) -> None:
        _change(f"free the clock of {self.uuid}", pynvml.nvmlDeviceResetGpuLockedClocks, self.handle)


def _change(doing: str, call: Callable[..., object], *args: object) -> None:
    try:
        ask(doing, call, *args)
    except GpuError as error:
        cause = error.__cause__
        if isinstance(cause, pynvml.NVMLError) and cause.value == pynvml.NVML_ERROR_NO_PERMISSION:
            raise NotPermitted(f"NVML does not permit this user to {doing}") from error
        raise

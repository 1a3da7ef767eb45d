"""What a GPU meter asks of a GPU: the seam between its rules (`meter`) and who answers, NVML or a
simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from search.errors import MeterUnavailable
from search.record.flags import Flag


class GpuError(MeterUnavailable):
    """A GPU did not answer. `unsupported`: this GPU or driver does not offer what was asked, and never
    will."""

    def __init__(self, text: str, *, unsupported: bool = False) -> None:
        super().__init__(text)
        self.unsupported = unsupported


class Gpu(Protocol):
    """One physical GPU. `counter_mj`, `power_mw` and `mig_enabled` raise GpuError; the others return None for
    what cannot be had."""

    @property
    def uuid(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def counts_a_module(self) -> bool:
        """Whether its counter covers more than the GPU (Grace superchips)."""
        ...

    def counter_mj(self) -> int:
        """Millijoules since the driver was loaded."""
        ...

    def power_mw(self) -> int:
        """Milliwatts now: the instantaneous field where there is one, else the driver's average."""
        ...

    def power_is_instantaneous(self) -> bool:
        """Which of the two `power_mw` returns. The average lags by about a second (Ampere and newer)."""
        ...

    def mig_enabled(self) -> bool: ...

    def temperature_c(self) -> float | None: ...

    def processes(self) -> frozenset[int] | None:
        """Process numbers that compute here, as the driver sees them: in a container, the host's."""
        ...

    def throttle_flags(self) -> frozenset[Flag] | None:
        """Which of `throttled_thermal`, `throttled_power_brake`, `throttled_hardware`, `power_capped` hold
        now."""
        ...

    def violation_s(self) -> Mapping[str, float] | None:
        """Seconds since driver load that clocks were held down, by cause: "power", "thermal"."""
        ...

    def clocks_mhz(self) -> Mapping[str, float] | None:
        """Current clocks: "sm" and "memory"."""
        ...

    def power_limits_w(self) -> tuple[float | None, float | None]:
        """The limit in force and the board's default."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """For the record: uuid, name, PCI bus, memory, power limits, driver version."""
        ...

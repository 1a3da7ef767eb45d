"""Measured joules of CPU packages: the RAPL counters of Intel and AMD processors, through Linux powercap.

A package counter covers the cores, caches, memory controllers and built-in graphics of one socket, whoever
uses them: so foreign load matters, and on a machine with several sockets all of them are counted. `core` and
`uncore` are parts of a package and `psys` contains it, so neither is added. `dram` is kept apart: on servers
it lies outside the package, on some desktops its number is a model.

The counters are 32 bits of an energy unit and wrap, within minutes on a busy server. A sample a second tells
how often, as long as the thread that takes them gets to run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.energy.counter_check import Counter, CounterCheck
from search.errors import MeterUnavailable
from search.meter.base import MeterSpec, Reading, WorkDone
from search.meter.cpu.load import CpuLoad, Load, NoLoad
from search.meter.cpu.powercap import Domain, Powercap, PowercapError
from search.meter.sampling import Sampler
from search.record.flags import Flag
from search.record.meter_info import Kind

SAMPLE_EVERY_S = 1.0
UPDATE_PERIOD_S = 0.001  # "updated every ~1msec": Intel SDM volume 3, RAPL Interfaces, MSR_PKG_ENERGY_STATUS
COUNTER_BITS = (
    32  # its "Total Energy Consumed" is bits 31:0; the kernel's range is all of them in microjoules
)

# What no package draws. A declared power may be exceeded for seconds; boards declare 4,095 W for "no limit".
PLAUSIBLE_TIMES_DECLARED = 3.0
PLAUSIBLE_W = 2000.0
LATE_S = 0.1  # energy of so much time before a sample may be booked after it


class RaplMeter:
    """Sums the packages of `powercap`. `load` watches the machine around them: by default this one, or, where
    the kind says that there is none, nothing.

    With `in_background` a thread samples once a second between `start` and `stop`; without, something else
    must call `sample`. `read` may be called from several threads.

    Raises MeterUnavailable where there is no package domain or its counter cannot be read.
    """

    def __init__(
        self,
        powercap: Powercap,
        *,
        clock: Callable[[], float] = time.perf_counter,
        load: Load | None = None,
        in_background: bool = True,
        name: str = "rapl",
        kind: Kind = Kind.MEASURED,
    ) -> None:
        self._powercap = powercap
        self._clock = clock
        self._load = load or (CpuLoad(clock) if kind is Kind.MEASURED else NoLoad())
        self._lock = threading.Lock()
        self._sampler = Sampler(self.sample, SAMPLE_EVERY_S) if in_background else None
        self._closed = False
        domains = powercap.domains()
        self._package_domains = tuple(domain for domain in domains if domain.name.startswith("package-"))
        self._drams = {_dram_label(domain, domains): domain for domain in domains if domain.name == "dram"}
        if not self._package_domains:
            listed = ", ".join(domain.name for domain in domains)
            raise MeterUnavailable(f"RAPL counts no package here, only {listed}: choose another meter")
        for domain in self._package_domains:
            powercap.energy_uj(domain)
        self._spec = _spec(name, kind, self._package_domains, self._drams)
        self._forget()

    @property
    def spec(self) -> MeterSpec:
        return self._spec

    def start(self, work: WorkDone | None = None) -> None:
        self._load.start()
        with self._lock:
            self._forget()
            self._read_all()
        if self._sampler is not None:
            self._sampler.start()

    def read(self) -> Reading:
        """The joules of all packages since `start`. None, and why, where one cannot be read, and until the
        next `start` where one was reset, stood still for over 2 s, or went unread for so long that it may
        have wrapped unseen."""
        if self._closed:
            return Reading(self._clock(), None, "the RAPL meter is closed")
        with self._lock:
            now_s = self._read_all()
            problem = "; ".join(counter.trouble for counter in self._packages if counter.trouble)
            energy_uj = sum(counter.counted_uj for counter in self._packages)
        self._load.look()
        return Reading(
            now_s,
            None if problem else energy_uj / 1e6,
            problem,
            temperature_c=self._load.temperature_c(),
        )

    def sample(self) -> None:
        """Looks at the counters, so that no wrap goes unseen."""
        with self._lock:
            self._read_all()

    def stop(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()
        self._load.stop()

    def flags(self) -> Sequence[Flag]:
        """What `cpu_load` raises."""
        return self._load.flags()

    def observed(self) -> Mapping[str, Any]:
        """Joules since `start` by package, and by memory controller in `dram_j` where those have counters
        (null: unknown); and what `cpu_load` saw."""
        with self._lock:
            by_domain = {counter.domain.name: counter.energy_j for counter in self._packages}
            dram = {label: counter.energy_j for label, counter in self._memories.items()}
        return {
            "energy_by_domain_j": by_domain,
            **({"dram_j": dram} if dram else {}),
            **self._load.observed(),
        }

    def close(self) -> None:
        self.stop()
        self._closed = True

    def _forget(self) -> None:
        self._packages = tuple(_Counter(domain) for domain in self._package_domains)
        self._memories = {label: _Counter(domain) for label, domain in self._drams.items()}

    def _read_all(self) -> float:
        """Reads every counter, then the clock, which it returns."""
        counters = (*self._packages, *self._memories.values())
        values = [self._ask(counter) for counter in counters]
        now_s = self._clock()
        for counter, value_uj in zip(counters, values, strict=True):
            if value_uj is not None:
                counter.advance(value_uj, now_s)
        return now_s

    def _ask(self, counter: _Counter) -> int | None:
        try:
            value_uj = self._powercap.energy_uj(counter.domain)
        except PowercapError as error:
            counter.unread = str(error)
            return None
        counter.unread = ""
        return value_uj


class _Counter:
    """One domain's counter over one run: its wraps undone, and what speaks against it.

    `counted_uj` is since the first reading. `problem` stays: nobody can tell how much energy was lost.
    `unread` lasts until the next reading, which holds all energy since the last.

    A counter that is reset before it has counted as much as is drawn between two readings does not show it;
    no more than that is lost.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.counted_uj = 0
        self.problem = ""
        self.unread = ""
        self._last_uj: int | None = None
        self._read_s = 0.0
        self._check = CounterCheck(0, 0.0)
        declared_w = domain.max_power_w
        self._most_w = PLAUSIBLE_W
        if declared_w is not None:
            self._most_w = min(PLAUSIBLE_W, PLAUSIBLE_TIMES_DECLARED * declared_w)

    @property
    def trouble(self) -> str:
        return self.problem or self.unread

    @property
    def energy_j(self) -> float | None:
        return None if self.trouble or self._last_uj is None else self.counted_uj / 1e6

    def advance(self, value_uj: int, now_s: float) -> None:
        """Takes in what the counter shows now; after a problem, nothing any more."""
        if self.problem:
            return
        if not 0 <= value_uj <= self.domain.range_uj:
            range_uj = self.domain.range_uj
            self.problem = (
                f"RAPL's {self.domain.name} shows {value_uj} uJ, outside its range of {range_uj} uJ"
            )
            return
        step_uj = 0
        if self._last_uj is None:
            self._read_s = now_s
            self._check = CounterCheck(0, now_s)
        else:
            step_uj = value_uj - self._last_uj
            if step_uj < 0:  # wrapped; the range is all ones, so up to a unit of energy is lost in it
                step_uj += self.domain.range_uj
            self.problem = self._implausible(value_uj, step_uj, now_s)
            if self.problem:
                return
        self.counted_uj += step_uj
        self._last_uj, self._read_s = value_uj, now_s
        self._check = self._check.after(self.counted_uj, now_s)

    def _implausible(self, value_uj: int, step_uj: int, now_s: float) -> str:
        """Why a step cannot be the energy of the time since the last reading, or an empty text."""
        assert self._last_uj is not None
        name, range_j = self.domain.name, self.domain.range_uj / 1e6
        gap_s = now_s - self._read_s
        if self._most_w * gap_s >= range_j:
            return (
                f"RAPL's {name} was not read for {gap_s:.1f} s, in which it may have wrapped unseen: "
                f"at {self._most_w:.0f} W it wraps every {range_j / self._most_w:.1f} s"
            )
        if step_uj / 1e6 > self._most_w * (gap_s + LATE_S):
            moved = "was reset" if value_uj < self._last_uj else "jumped"
            return (
                f"RAPL's {name} {moved}: it went from {self._last_uj / 1e6:.3f} J to {value_uj / 1e6:.3f} J "
                f"within {gap_s:.3f} s, which no package draws ({self._most_w:.0f} W are taken for its most)"
            )
        frozen_s = self._check.after(self.counted_uj + step_uj, now_s).frozen_s(now_s)
        return "" if frozen_s is None else f"RAPL's {name} has not moved for {frozen_s:.1f} s: it is frozen"


def _dram_label(dram: Domain, domains: Sequence[Domain]) -> str:
    """Every memory controller is called dram: its package tells them apart."""
    parent = dram.zone.rpartition(":")[0]
    return next((domain.name for domain in domains if domain.zone == parent), dram.zone)


def _spec(name: str, kind: Kind, packages: Sequence[Domain], drams: Mapping[str, Domain]) -> MeterSpec:
    return MeterSpec(
        name=name,
        kind=kind,
        counter=Counter(UPDATE_PERIOD_S, sum(_unit_j(domain) for domain in packages)),
        devices=tuple(domain.name for domain in packages),
        settings={
            "counted": [_settings(domain) for domain in packages],
            "apart": [_settings(domain) for domain in drams.values()],
        },
    )


def _unit_j(domain: Domain) -> float:
    """61 microjoules (2^-14 J) on most Intel processors, 15 (2^-16 J) on AMD's; powercap shows whole
    microjoules."""
    return max(1.0, domain.range_uj / float(2**COUNTER_BITS)) / 1e6


def _settings(domain: Domain) -> dict[str, Any]:
    return {
        "zone": domain.zone,
        "name": domain.name,
        "range_j": domain.range_uj / 1e6,
        "max_power_w": domain.max_power_w,
    }

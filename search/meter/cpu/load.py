"""What else the CPU did while a run went, and what the run itself waited for: the flags of the meters that
read a CPU.

Everything is read twice, at the start and at the stop of a run, and what matters are the differences. A
reading costs about a millisecond; only `temperature_c` and `look` may be asked for in between. The threads of
processes that end before the stop, as ranks do, count as they were last looked at.

Threads that spin while they wait for each other burn core-seconds many times over, and to every clock of the
system that is work. On a machine that is otherwise quiet they cannot be told from threads that are all busy.
Where a thread has to wait for a core, the others must wait for it: if none of them ever sleeps, they spin.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from search.meter.cpu.process_tree import live_children, process_tree_core_s
from search.record.flags import Flag

# Shares of the run's wall time above which it is flagged.
FOREIGN_LOAD = 0.10  # of one core
WAITED = 0.05
BUSY = 0.90  # below it, the run is flagged
SLEEPLESS = 0.90  # of a thread that never slept

TEMPERATURE_EVERY_S = 1.0
LOOK_EVERY_S = 1.0

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
SENSORS = Path("/sys/class/hwmon")

# The package's own sensor by driver; the other labels are single cores and dies. AMD's Tctl is what its
# cooling obeys, on some models the true Tdie plus a constant.
PACKAGE_LABELS = {
    "coretemp": ("Package id",),
    "k10temp": ("Tdie", "Tctl"),
    "zenpower": ("Tdie", "Tctl"),
}

Thread = tuple[int, int]  # process and thread number


class Load(Protocol):
    """What a meter asks. Nothing here raises."""

    def start(self) -> None:
        """A run begins: forget the one before."""
        ...

    def stop(self) -> None:
        """The run has ended: `flags` and `observed` are about the time until now. May be called twice."""
        ...

    def flags(self) -> tuple[Flag, ...]: ...

    def observed(self) -> Mapping[str, Any]: ...

    def temperature_c(self) -> float | None: ...

    def look(self) -> None:
        """Called with each reading: note what dies with the run's processes."""
        ...


class NoLoad:
    """Watches nothing: the load of a machine that is simulated."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def flags(self) -> tuple[Flag, ...]:
        return ()

    def observed(self) -> Mapping[str, Any]:
        return {}

    def temperature_c(self) -> float | None:
        return None

    def look(self) -> None:
        pass


@dataclass(frozen=True)
class MachineTimes:
    """Core-seconds since boot: what all processes used, and what the hypervisor gave to others."""

    busy_core_s: float
    stolen_s: float


def machine_times(without: Collection[int] = ()) -> MachineTimes:
    """Of all cores but those."""
    busy = ("user", "nice", "system", "irq", "softirq")  # not every platform tells them apart
    cores = psutil.cpu_times(percpu=True) if without else ()
    counted = [times for core, times in enumerate(cores) if core not in without] or [psutil.cpu_times()]
    return MachineTimes(
        sum(getattr(times, name, 0.0) for times in counted for name in busy),
        sum(getattr(times, "steal", 0.0) for times in counted),
    )


def run_queue_s(proc: Path = PROC) -> dict[Thread, float] | None:
    """Seconds that each living thread of this process and its children was ready to run and had no core.

    None where the system does not say (Linux does). About 10 microseconds a thread.
    """
    return _scheduled_s(proc, column=1)


def ran_s(proc: Path = PROC) -> dict[Thread, float] | None:
    """Seconds that each of these threads had a core. None as above."""
    return _scheduled_s(proc, column=0)


def _scheduled_s(proc: Path, column: int) -> dict[Thread, float] | None:
    found: dict[Thread, float] = {}
    for pid in (os.getpid(), *(child.pid for child in live_children())):
        try:
            threads = os.listdir(proc / str(pid) / "task")
        except OSError:  # the process ended, or this is not Linux
            continue
        for thread in threads:
            try:
                words = (proc / str(pid) / "task" / thread / "schedstat").read_text(encoding="utf-8").split()
                found[pid, int(thread)] = int(words[column]) / 1e9
            except (OSError, IndexError, ValueError):  # the thread ended
                continue
    return found or None


def throttled_s(proc: Path = PROC, cgroups: Path = CGROUPS) -> float | None:
    """Seconds that a CPU quota (of a container, a batch system, systemd) held this process' control groups
    back, summed over CPUs. None where no group has a quota's counter; of cgroup v1 nothing is read."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    found = [_throttled_usec(cgroups / group / "cpu.stat") for group in (Path(own), *Path(own).parents)]
    known = [usec for usec in found if usec is not None]
    return sum(known) / 1e6 if known else None


def _throttled_usec(stat: Path) -> int | None:
    try:
        pairs = [line.split() for line in stat.read_text(encoding="utf-8").splitlines()]
        return next((int(pair[1]) for pair in pairs if pair[0] == "throttled_usec"), None)
    except (OSError, IndexError, ValueError):
        return None


def package_thermometer(sensors: Path = SENSORS) -> Callable[[], float | None]:
    """Looks for the CPU packages' sensors, and returns what reads the hottest: degrees Celsius, None without
    one.

    Not `psutil.sensors_temperatures`: it reads every sensor of the machine, disks included, each time.
    """
    found = [file for folder in sorted(sensors.glob("hwmon*")) if (file := _package_sensor(folder))]

    def read() -> float | None:
        degrees: list[float] = []
        for file in found:
            try:
                degrees.append(int(file.read_text(encoding="utf-8")) / 1000)
            except (OSError, ValueError):
                continue
        return max(degrees, default=None)

    return read


def _package_sensor(folder: Path) -> Path | None:
    try:
        wanted = PACKAGE_LABELS.get((folder / "name").read_text(encoding="utf-8").strip(), ())
        labels = {
            file.read_text(encoding="utf-8").strip(): file for file in sorted(folder.glob("temp*_label"))
        }
    except OSError:
        return None
    for beginning in wanted:
        for label, file in labels.items():
            if label.startswith(beginning):
                return file.with_name(file.name.replace("_label", "_input"))
    return None


@dataclass(frozen=True)
class Readers:
    """Where the numbers come from. All but the temperature are totals; None is what this system does not
    say."""

    machine: Callable[[], MachineTimes] = machine_times
    run_queue_s: Callable[[], Mapping[Thread, float] | None] = run_queue_s
    ran_s: Callable[[], Mapping[Thread, float] | None] = ran_s
    throttled_s: Callable[[], float | None] = throttled_s
    temperature_c: Callable[[], float | None] = field(default_factory=package_thermometer)
    has_children: Callable[[], bool] = lambda: bool(live_children())


@dataclass(frozen=True)
class _Totals:
    time_s: float
    own_core_s: float
    machine: MachineTimes
    waits_s: Mapping[Thread, float] | None
    throttled_s: float | None
    ran_s: Mapping[Thread, float] | None


@dataclass(frozen=True)
class CpuUse:
    """Seconds between two readings; None is unknown.

    `run_queue_s` adds up over the run's threads, `worst_wait_s` is that of the thread that waited longest.
    Threads that ended before the second reading are in neither, unless they were looked at: nobody adds up
    their waits.
    `sleepless_threads` are those that had a core or were ready for one for 90 % of the time.
    """

    wall_s: float
    busy_core_s: float
    foreign_core_s: float
    stolen_s: float
    run_queue_s: float | None
    worst_wait_s: float | None
    throttled_s: float | None
    sleepless_threads: int | None = None

    def flags(self, *, expect_busy: bool = True) -> tuple[Flag, ...]:
        """Sorted. `foreign_cpu_load`: others used over a tenth of a core.

        `cpu_contended`: a thread was ready and had no core for over 5 % of the time. The worst thread counts.
        Work in parallel ends with its slowest thread, so one that waits holds up all of them, and a mean over
        many would hide it; in a sum, the moments that every thread waits on a quiet machine would add up with
        the number of cores. For a single thread all three are the same.

        `threads_spinning`: the same, or a quota, while two threads or more never slept.

        `cpu_stolen`: the hypervisor gave over 5 % of a core to others. `cpu_throttled`: a CPU quota held the
        run back for over 5 % of the time (some kernels count this as waiting for a core, too).

        `cpu_waiting`: not even one thread's worth of work, where neither of these explains it: the run waited
        for a disk, a lock, or a hypervisor that does not report what it takes. Not with `expect_busy` False,
        as for the host of an accelerator. A run of several busy threads can wait unseen.
        """
        if self.wall_s <= 0:
            return ()
        explained_s = self.busy_core_s + self.stolen_s + (self.run_queue_s or 0.0) + (self.throttled_s or 0.0)
        contended = (self.worst_wait_s or 0.0) > WAITED * self.wall_s
        throttled = (self.throttled_s or 0.0) > WAITED * self.wall_s
        raised = {
            Flag.FOREIGN_CPU_LOAD: self.foreign_core_s > FOREIGN_LOAD * self.wall_s,
            Flag.CPU_CONTENDED: contended,
            Flag.THREADS_SPINNING: (contended or throttled) and (self.sleepless_threads or 0) > 1,
            Flag.CPU_STOLEN: self.stolen_s > WAITED * self.wall_s,
            Flag.CPU_THROTTLED: throttled,
            Flag.CPU_WAITING: expect_busy and explained_s < BUSY * self.wall_s,
        }
        return tuple(sorted(name for name, holds in raised.items() if holds))


def _use_between(start: _Totals, end: _Totals) -> CpuUse:
    own = end.own_core_s - start.own_core_s
    waits = _grown_s(start.waits_s, end.waits_s)
    throttled = (
        None if start.throttled_s is None or end.throttled_s is None else end.throttled_s - start.throttled_s
    )
    return CpuUse(
        wall_s=end.time_s - start.time_s,
        busy_core_s=own,
        foreign_core_s=end.machine.busy_core_s - start.machine.busy_core_s - own,
        stolen_s=end.machine.stolen_s - start.machine.stolen_s,
        run_queue_s=None if waits is None else sum(waits.values()),
        worst_wait_s=None if waits is None else max(waits.values(), default=0.0),
        throttled_s=throttled,
        sleepless_threads=_sleepless(waits, _grown_s(start.ran_s, end.ran_s), end.time_s - start.time_s),
    )


def _grown_s(
    start: Mapping[Thread, float] | None, end: Mapping[Thread, float] | None
) -> dict[Thread, float] | None:
    """Seconds gained by each thread that lives at the end. One with less than before is new and has the
    number of one that ended."""
    if start is None or end is None:
        return None
    befores = [(thread, total, start.get(thread, 0.0)) for thread, total in end.items()]
    return {thread: total - before if total >= before else total for thread, total, before in befores}


def _sleepless(
    waits: Mapping[Thread, float] | None, ran: Mapping[Thread, float] | None, wall_s: float
) -> int | None:
    if waits is None or ran is None:
        return None
    return sum(seconds + waits.get(thread, 0.0) >= SLEEPLESS * wall_s for thread, seconds in ran.items())


class CpuLoad:
    """Watches this machine from `start` to `stop`. `clock` is monotonic seconds; `busy` the core-seconds of
    this run's processes. `expect_busy`: whether a run that leaves its core idle is doubtful. `siblings`: the
    cores that other runs of the same study are kept to, whose load is not foreign."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        busy: Callable[[], float] = process_tree_core_s,
        *,
        expect_busy: bool = True,
        siblings: Callable[[], Collection[int]] = tuple,
        readers: Readers | None = None,
    ) -> None:
        self._clock = clock
        self._busy = busy
        self._expect_busy = expect_busy
        self._readers = readers or Readers(machine=lambda: machine_times(siblings()))
        self._temperature_c: float | None = None
        self._temperature_s = float("-inf")
        self.start()

    def start(self) -> None:
        self._end: _Totals | None = None
        self._looked_s = self._clock()
        self._waits_s: dict[Thread, float] = {}
        self._ran_s: dict[Thread, float] = {}
        self._start = self._totals()

    def stop(self) -> None:
        self._end = self._end or self._totals()

    def flags(self) -> tuple[Flag, ...]:
        """See `CpuUse.flags`; `cpu_load_unknown` where the system did not answer."""
        use = self.use()
        return (Flag.CPU_LOAD_UNKNOWN,) if use is None else use.flags(expect_busy=self._expect_busy)

    def observed(self) -> Mapping[str, Any]:
        """The fields of `CpuUse`, empty where the system did not answer."""
        use = self.use()
        return {} if use is None else dict(vars(use))

    def use(self) -> CpuUse | None:
        """The use since `start`, until `stop` or now. None where the system did not answer."""
        end = self._end or self._totals()
        return None if self._start is None or end is None else _use_between(self._start, end)

    def temperature_c(self) -> float | None:
        """Degrees Celsius of the hottest package, at most a second old; None without a sensor."""
        now_s = self._clock()
        if now_s - self._temperature_s >= TEMPERATURE_EVERY_S:
            self._temperature_s = now_s
            self._temperature_c = self._readers.temperature_c()
        return self._temperature_c

    def look(self) -> None:
        """Once a second where the run has other processes than this one: how long their threads have waited
        and run so far."""
        now_s = self._clock()
        if now_s - self._looked_s >= LOOK_EVERY_S and self._readers.has_children():
            self._looked_s = now_s
            self._waits_s |= self._readers.run_queue_s() or {}
            self._ran_s |= self._readers.ran_s() or {}

    def _totals(self) -> _Totals | None:
        readers = self._readers
        try:
            own_core_s, machine = self._busy(), readers.machine()
            waits_s, throttled, ran = readers.run_queue_s(), readers.throttled_s(), readers.ran_s()
        except (OSError, psutil.Error):
            return None
        if waits_s is not None and ran is not None:
            waits_s, ran = {**self._waits_s, **waits_s}, {**self._ran_s, **ran}
        return _Totals(self._clock(), own_core_s, machine, waits_s, throttled, ran)

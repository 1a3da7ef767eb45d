from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.meter.cpu.load import (
    CpuLoad,
    MachineTimes,
    NoLoad,
    Readers,
    Thread,
    machine_times,
    package_thermometer,
    run_queue_s,
    throttled_s,
)
from search.meter.cpu.process_tree import process_tree_core_s
from search.meter.simulated.meter import FakeClock

MAIN, HELPER = (1, 1), (1, 2)

# A process that keeps a core busy for 0.3 s and then waits to be told to end.
BURNED_S = 0.3
BURN = f"""
import time
while time.process_time() < {BURNED_S}:
    pass
print("burned", flush=True)
input()
"""


@contextmanager
def burners(count: int = 1, program: str = BURN) -> Iterator[list[int]]:
    """Children that have burned their core-seconds and are still alive; they end with the block."""
    children = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "burned\n"
    yield [child.pid for child in children]
    for child in children:
        child.communicate("\n")


@dataclass
class FakeMachine:
    """Totals that grow when told to; None is what this system does not say, a text in `trouble` an error."""

    own_core_s: float = 5.0
    busy_core_s: float = 100.0
    stolen_s: float = 3.0
    waits_s: dict[Thread, float] | None = field(default_factory=lambda: {MAIN: 2.0})
    throttled_s: float | None = 4.0
    ran_s: dict[Thread, float] | None = field(default_factory=lambda: {MAIN: 5.0})
    degrees_c: float | None = None
    trouble: str = ""
    heat_reads: int = 0
    children: bool = False

    def own(self) -> float:
        if self.trouble:
            raise OSError(self.trouble)
        return self.own_core_s

    def read_heat(self) -> float | None:
        self.heat_reads += 1
        return self.degrees_c

    def waits(self) -> Mapping[Thread, float] | None:
        return None if self.waits_s is None else dict(self.waits_s)

    @property
    def readers(self) -> Readers:
        return Readers(
            machine=lambda: MachineTimes(self.busy_core_s, self.stolen_s),
            run_queue_s=self.waits,
            ran_s=lambda: None if self.ran_s is None else dict(self.ran_s),
            throttled_s=lambda: self.throttled_s,
            temperature_c=self.read_heat,
            has_children=lambda: self.children,
        )

    def work(self, core_s: float) -> None:
        self.own_core_s += core_s
        self.busy_core_s += core_s


def watched(*, expect_busy: bool = True) -> tuple[CpuLoad, FakeMachine, FakeClock]:
    """A load that was started just now."""
    machine, clock = FakeMachine(), FakeClock(10.0)
    load = CpuLoad(clock, machine.own, expect_busy=expect_busy, readers=machine.readers)
    load.start()
    return load, machine, clock


def after(change: Callable[[FakeMachine], None], wall_s: float = 100.0) -> tuple[str, ...]:
    """The flags of a run of `wall_s` that was busy with one thread, and of what else happened."""
    load, machine, clock = watched()
    machine.work(wall_s)
    change(machine)
    clock.advance(wall_s)
    return load.flags()


# ---- flags


def test_a_run_that_works_alone_has_no_flag() -> None:
    assert after(lambda machine: None) == ()


@pytest.mark.parametrize(("foreign_core_s", "flagged"), [(9.9, False), (10.1, True)])
def test_others_who_use_over_a_tenth_of_a_core_are_foreign_load(foreign_core_s: float, flagged: bool) -> None:
    def change(machine: FakeMachine) -> None:
        machine.busy_core_s += foreign_core_s

    assert after(change) == (("foreign_cpu_load",) if flagged else ())


def test_the_runs_own_work_on_many_cores_is_not_foreign() -> None:
    assert after(lambda machine: machine.work(6_000.0)) == ()


@pytest.mark.parametrize(("waited_s", "flagged"), [(4.9, False), (5.1, True)])
def test_a_thread_that_waits_for_a_core_over_5_percent_of_the_time_is_contended(
    waited_s: float, flagged: bool
) -> None:
    def change(machine: FakeMachine) -> None:
        machine.waits_s = {MAIN: 2.0 + waited_s}

    assert after(change) == (("cpu_contended",) if flagged else ())


def test_one_thread_that_waits_is_seen_among_many_that_do_not() -> None:
    def change(machine: FakeMachine) -> None:
        machine.work(6_300.0)
        machine.waits_s = {MAIN: 2.0} | {(1, number): 0.1 for number in range(2, 64)} | {(1, 64): 20.0}

    assert after(change) == ("cpu_contended",)


def test_short_waits_of_many_threads_do_not_add_up_to_contention() -> None:
    def change(machine: FakeMachine) -> None:
        machine.work(6_300.0)
        machine.waits_s = {MAIN: 2.0} | {(1, number): 1.0 for number in range(2, 65)}

    assert after(change) == ()


@pytest.mark.parametrize(
    ("ran", "waited", "throttled_s", "flags"),
    [
        ((27.0, 27.0), (73.0, 72.0), 0.0, ("cpu_contended", "threads_spinning")),
        ((80.0, 15.0), (20.0, 10.0), 0.0, ("cpu_contended",)),  # the second sleeps while it waits
        ((99.0, 99.0), (1.0, 1.0), 0.0, ()),  # a quiet machine: both may be at work
        ((50.0, 50.0), (45.0, 45.0), 50.0, ("cpu_contended", "cpu_throttled", "threads_spinning")),
        ((27.0, 0.0), (73.0, 0.0), 0.0, ("cpu_contended",)),
    ],
    ids=["spin", "sleep", "quiet", "quota", "one thread"],
)
def test_threads_that_never_sleep_while_one_waits_for_a_core_spin(
    ran: tuple[float, float], waited: tuple[float, float], throttled_s: float, flags: tuple[str, ...]
) -> None:
    def change(machine: FakeMachine) -> None:
        machine.ran_s = {MAIN: 5.0 + ran[0], HELPER: ran[1]}
        machine.waits_s = {MAIN: 2.0 + waited[0], HELPER: waited[1]}
        machine.throttled_s = 4.0 + throttled_s

    assert after(change) == flags


def test_threads_are_not_called_spinning_where_the_system_does_not_say() -> None:
    def change(machine: FakeMachine) -> None:
        machine.ran_s = None
        machine.waits_s = {MAIN: 2.0, HELPER: 50.0}

    assert after(change) == ("cpu_contended",)


def test_threads_of_children_count_too() -> None:
    def change(machine: FakeMachine) -> None:
        machine.waits_s = {MAIN: 2.0, (77, 77): 8.0}

    assert after(change) == ("cpu_contended",)


@pytest.mark.parametrize(("stolen_s", "flagged"), [(4.9, False), (5.1, True)])
def test_what_the_hypervisor_takes_is_stolen(stolen_s: float, flagged: bool) -> None:
    def change(machine: FakeMachine) -> None:
        machine.stolen_s += stolen_s

    assert after(change) == (("cpu_stolen",) if flagged else ())


@pytest.mark.parametrize(("throttled", "flagged"), [(4.9, False), (5.1, True)])
def test_a_quota_that_holds_the_run_back_is_throttling(throttled: float, flagged: bool) -> None:
    def change(machine: FakeMachine) -> None:
        machine.throttled_s = 4.0 + throttled

    assert after(change) == (("cpu_throttled",) if flagged else ())


@pytest.mark.parametrize(("core_s", "flagged"), [(89.0, True), (91.0, False), (400.0, False)])
def test_a_run_that_leaves_its_core_idle_was_waiting(core_s: float, flagged: bool) -> None:
    load, machine, clock = watched()
    machine.work(core_s)
    clock.advance(100.0)
    assert load.flags() == (("cpu_waiting",) if flagged else ())


@pytest.mark.parametrize("cause", ["cpu_contended", "cpu_stolen", "cpu_throttled"])
def test_waiting_that_has_a_known_cause_is_named_after_it(cause: str) -> None:
    load, machine, clock = watched()
    machine.work(50.0)
    machine.waits_s = {MAIN: 52.0 if cause == "cpu_contended" else 2.0}
    machine.stolen_s += 50.0 if cause == "cpu_stolen" else 0.0
    machine.throttled_s = 54.0 if cause == "cpu_throttled" else 4.0
    clock.advance(100.0)
    assert load.flags() == (cause,)


def test_the_host_of_an_accelerator_may_wait() -> None:
    load, _, clock = watched(expect_busy=False)
    clock.advance(100.0)
    assert load.flags() == ()


def test_what_this_system_does_not_say_raises_no_flag_and_stays_unknown() -> None:
    load, machine, clock = watched()
    machine.waits_s = machine.throttled_s = None
    load.start()
    machine.work(100.0)
    clock.advance(100.0)
    assert load.flags() == ()
    observed = load.observed()
    assert observed["run_queue_s"] is None
    assert observed["worst_wait_s"] is None
    assert observed["throttled_s"] is None


@pytest.mark.parametrize("at_start", [True, False])
def test_a_machine_that_cannot_be_read_is_unknown(at_start: bool) -> None:
    load, machine, clock = watched()
    if at_start:
        machine.trouble = "permission denied"
        load.start()
        machine.trouble = ""
    else:
        machine.trouble = "permission denied"
    clock.advance(1.0)
    assert load.flags() == ("cpu_load_unknown",)
    assert load.observed() == {}


def test_no_time_gives_no_flags() -> None:
    load, machine, _ = watched()
    machine.busy_core_s += 5.0
    assert load.flags() == ()


def test_several_flags_come_sorted() -> None:
    def change(machine: FakeMachine) -> None:
        machine.stolen_s += 50.0
        machine.busy_core_s += 50.0
        machine.waits_s = {MAIN: 50.0}

    assert after(change) == ("cpu_contended", "cpu_stolen", "foreign_cpu_load")


# ---- a run, from start to stop


def test_what_was_spent_is_observed_in_seconds() -> None:
    load, machine, clock = watched()
    machine.work(150.0)
    machine.busy_core_s += 7.0
    machine.stolen_s += 1.0
    machine.waits_s = {MAIN: 2.5, HELPER: 0.25}
    machine.throttled_s = 4.125
    clock.advance(100.0)
    assert load.observed() == {
        "wall_s": 100.0,
        "busy_core_s": 150.0,
        "foreign_core_s": 7.0,
        "stolen_s": 1.0,
        "run_queue_s": 0.75,
        "worst_wait_s": 0.5,
        "throttled_s": 0.125,
        "sleepless_threads": 0,
    }


def test_what_happens_after_the_stop_is_not_the_runs() -> None:
    load, machine, clock = watched()
    machine.work(100.0)
    clock.advance(100.0)
    load.stop()
    machine.busy_core_s += 1_000.0
    clock.advance(50.0)
    load.stop()
    assert load.flags() == ()
    assert load.observed()["wall_s"] == 100.0


def test_a_new_run_forgets_the_one_before() -> None:
    load, machine, clock = watched()
    machine.busy_core_s += 1_000.0
    clock.advance(100.0)
    load.stop()
    load.start()
    machine.work(100.0)
    clock.advance(100.0)
    assert load.flags() == ()


def test_a_thread_that_ended_is_left_out() -> None:
    load, machine, clock = watched()
    machine.waits_s = {HELPER: 3.0}
    clock.advance(10.0)
    assert load.observed()["run_queue_s"] == 3.0


def test_a_thread_with_the_number_of_one_that_ended_counts_from_its_own_beginning() -> None:
    load, machine, clock = watched()
    machine.waits_s = {MAIN: 0.5}
    clock.advance(10.0)
    assert load.observed()["run_queue_s"] == 0.5


@given(
    waits_s=st.lists(st.floats(min_value=0.0, max_value=50.0), min_size=1, max_size=8),
    wall_s=st.floats(min_value=0.1, max_value=1e4),
)
def test_the_worst_wait_is_no_more_than_the_sum_and_no_less_than_the_mean(
    waits_s: list[float], wall_s: float
) -> None:
    load, machine, clock = watched()
    machine.waits_s = {MAIN: 2.0} | {(1, number + 2): wait for number, wait in enumerate(waits_s)}
    clock.advance(wall_s)
    use = load.use()
    assert use is not None
    assert use.run_queue_s is not None
    assert use.worst_wait_s is not None
    assert use.run_queue_s / (len(waits_s) + 1) - 1e-9 <= use.worst_wait_s <= use.run_queue_s + 1e-9
    assert ("cpu_contended" in use.flags()) == (max(waits_s) > 0.05 * use.wall_s)


def test_a_machine_that_is_not_there_has_no_load() -> None:
    load = NoLoad()
    load.start()
    load.stop()
    assert (load.flags(), load.observed(), load.temperature_c()) == ((), {}, None)


# ---- temperature


def test_the_temperature_is_read_once_a_second_at_most() -> None:
    load, machine, clock = watched()
    machine.degrees_c = 40.0
    assert load.temperature_c() == 40.0
    machine.degrees_c = 50.0
    clock.advance(0.9)
    assert (load.temperature_c(), machine.heat_reads) == (40.0, 1)
    clock.advance(0.2)
    assert (load.temperature_c(), machine.heat_reads) == (50.0, 2)


def sensor(root: Path, number: int, driver: str, **degrees_c: float) -> Path:
    """A folder of hwmon: labels with `_` for a space."""
    folder = root / f"hwmon{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{driver}\n")
    for index, (label, degrees) in enumerate(degrees_c.items(), start=1):
        (folder / f"temp{index}_label").write_text(label.replace("_", " ") + "\n")
        (folder / f"temp{index}_input").write_text(f"{round(1000 * degrees)}\n")
    return folder


def test_the_hottest_package_counts_and_no_core_or_disk(tmp_path: Path) -> None:
    sensor(tmp_path, 0, "nvme", Composite=70.0)
    sensor(tmp_path, 1, "coretemp", Package_id_0=51.0, Core_0=60.0)
    sensor(tmp_path, 2, "coretemp", Package_id_1=53.5, Core_0=61.0)
    assert package_thermometer(tmp_path)() == 53.5


@pytest.mark.parametrize("driver", ["k10temp", "zenpower"])
def test_amds_die_is_preferred_to_what_its_cooling_obeys(tmp_path: Path, driver: str) -> None:
    both = sensor(tmp_path / "both", 0, driver, Tctl=75.0, Tdie=55.0, Tccd1=58.0)
    sensor(tmp_path / "one", 0, driver, Tctl=75.0, Tccd1=58.0)
    assert package_thermometer(both.parent)() == 55.0
    assert package_thermometer(tmp_path / "one")() == 75.0


def test_a_machine_without_a_cpu_sensor_has_no_temperature(tmp_path: Path) -> None:
    assert package_thermometer(tmp_path / "none")() is None
    sensor(tmp_path, 0, "acpitz")
    sensor(tmp_path, 1, "coretemp", Core_0=60.0)
    assert package_thermometer(tmp_path)() is None


def test_a_sensor_that_fails_is_unknown(tmp_path: Path) -> None:
    folder = sensor(tmp_path, 0, "coretemp", Package_id_0=51.0)
    read = package_thermometer(tmp_path)
    (folder / "temp1_input").write_text("")
    assert read() is None


# ---- control groups


def groups(root: Path, own: str, **throttled_usec: int | None) -> tuple[Path, Path]:
    """/proc and /sys/fs/cgroup of a process in the group `own`; by group ("" is the root, `__` a slash), its
    throttled microseconds, None for a group without a quota."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(f"1:name=systemd:/elsewhere\n0::{own}\n")
    for group, usec in throttled_usec.items():
        folder = root / "cgroup" / group.strip("_").replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["usage_usec 123", "user_usec 100", *([] if usec is None else [f"throttled_usec {usec}"])]
        (folder / "cpu.stat").write_text("\n".join(lines) + "\n")
    return root / "proc", root / "cgroup"


def test_a_container_reads_the_quota_of_its_own_root(tmp_path: Path) -> None:
    assert throttled_s(*groups(tmp_path, "/", _=2_500_000)) == 2.5


def test_the_quotas_of_all_groups_above_count(tmp_path: Path) -> None:
    proc, cgroups = groups(tmp_path, "/job/step", _=None, job=1_000_000, job__step=500_000, other=9_000_000)
    assert throttled_s(proc, cgroups) == 1.5


def test_no_quota_is_unknown_not_zero(tmp_path: Path) -> None:
    assert throttled_s(*groups(tmp_path, "/job", _=None, job=None)) is None
    assert throttled_s(tmp_path / "nowhere", tmp_path / "nowhere") is None


def test_a_quota_that_was_never_reached_is_zero(tmp_path: Path) -> None:
    assert throttled_s(*groups(tmp_path, "/", _=0)) == 0.0


# ---- this machine


def test_core_seconds_of_a_child_count_while_it_lives_and_after_it_ended() -> None:
    before = process_tree_core_s()
    with burners():
        alive = process_tree_core_s()
    ended = process_tree_core_s()
    assert alive - before >= BURNED_S * 0.9  # the kernel counts in hundredths
    assert ended >= alive - 0.02


def test_core_seconds_of_a_childs_own_child_count_too() -> None:
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {BURN!r}])"
    before = process_tree_core_s()
    with burners(program=nested):
        assert process_tree_core_s() - before >= BURNED_S * 0.9
    assert process_tree_core_s() - before >= BURNED_S * 0.9


def test_the_machines_core_seconds_grow_with_work() -> None:
    before = machine_times()
    with burners():
        pass
    assert machine_times().busy_core_s - before.busy_core_s >= BURNED_S * 0.8
    assert machine_times().stolen_s >= before.stolen_s


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how long a thread waited for a core")
def test_every_living_thread_has_a_wait_and_ended_ones_have_none() -> None:
    ended, started = threading.Event(), threading.Event()

    def idle() -> None:
        started.set()
        ended.wait()

    thread = threading.Thread(target=idle)
    thread.start()
    started.wait()
    with_it = run_queue_s()
    ended.set()
    thread.join()
    assert with_it is not None
    assert with_it[os.getpid(), os.getpid()] >= 0.0
    assert (os.getpid(), thread.native_id) in with_it
    until_s = time.monotonic() + 5.0  # the kernel lets go of it a moment after the join
    while (os.getpid(), thread.native_id) in (run_queue_s() or {}) and time.monotonic() < until_s:
        time.sleep(0.001)
    assert (os.getpid(), thread.native_id) not in (run_queue_s() or {})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how long a thread waited for a core")
def test_children_that_share_one_core_wait_for_each_other() -> None:
    pinned = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + BURN
    with burners(2, pinned) as pids:
        waits = run_queue_s()
        assert waits is not None
        assert sum(waits[pid, pid] for pid in pids) >= 0.2 * BURNED_S


def test_a_process_that_ends_before_the_run_counts_as_it_was_last_looked_at() -> None:
    load, machine, clock = watched()
    machine.children = True
    for second in range(1, 11):
        machine.work(2.0)
        clock.advance(1.0)
        machine.waits_s, machine.ran_s = {MAIN: 2.0, (9, 9): 0.2 * second}, {MAIN: 5.0, (9, 9): 0.8 * second}
        load.look()
    machine.waits_s, machine.ran_s = {MAIN: 2.0}, {MAIN: 5.0}
    load.stop()
    assert load.observed()["worst_wait_s"] == pytest.approx(2.0)
    assert load.observed()["sleepless_threads"] == 1
    assert load.flags() == ("cpu_contended",)
    load.start()
    clock.advance(10.0)
    machine.work(10.0)
    load.stop()
    assert load.observed()["worst_wait_s"] == 0.0


def test_a_run_of_one_process_is_not_looked_at() -> None:
    load, machine, clock = watched()
    machine.work(10.0)
    clock.advance(10.0)
    machine.waits_s = {MAIN: 2.0, (9, 9): 5.0}
    load.look()
    machine.waits_s = {MAIN: 2.0}
    load.stop()
    assert load.observed()["worst_wait_s"] == 0.0


def test_a_system_without_proc_does_not_say(tmp_path: Path) -> None:
    assert run_queue_s(tmp_path) is None


def test_the_real_machine_answers_all_of_it() -> None:
    load = CpuLoad()
    spent_s = time.process_time()
    while time.process_time() - spent_s < 0.05:
        pass
    load.stop()
    observed = load.observed()
    assert observed["wall_s"] >= 0.05
    assert observed["busy_core_s"] >= 0.05
    assert "cpu_load_unknown" not in load.flags()

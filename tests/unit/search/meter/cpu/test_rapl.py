from __future__ import annotations

import re
import shlex
import stat
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.energy.account import Reading
from search.errors import MeterUnavailable
from search.meter.cpu.powercap import Domain, PowercapError
from search.meter.cpu.rapl import SAMPLE_EVERY_S, RaplMeter
from search.meter.cpu.sysfs import SysfsPowercap
from search.meter.simulated.meter import FakeClock
from search.record.meter_info import Kind

RANGE_UJ = 262_143_328_850  # 2^32 - 1 units of 2^-14 J, as most Intel processors have
UNIT_J = 61.1e-6
PACKAGE = Domain("intel-rapl:0", "package-0", RANGE_UJ)
SECOND = Domain("intel-rapl:1", "package-1", RANGE_UJ)
CORE = Domain("intel-rapl:0:0", "core", RANGE_UJ)
UNCORE = Domain("intel-rapl:0:1", "uncore", RANGE_UJ)
DRAM = Domain("intel-rapl:0:2", "dram", RANGE_UJ)
PSYS = Domain("intel-rapl:2", "psys", RANGE_UJ)


@dataclass
class FakePowercap:
    """Counters in joules, which wrap as the kernel's do; a text instead of one is trouble."""

    joules: dict[Domain, float]
    trouble: dict[Domain, str] = field(default_factory=dict)

    def domains(self) -> Sequence[Domain]:
        return tuple(self.joules)

    def energy_uj(self, domain: Domain) -> int:
        if domain in self.trouble:
            raise PowercapError(self.trouble[domain])
        return int(self.joules[domain] * 1e6) % (domain.range_uj + 61)

    def add(self, joules: float) -> None:
        for domain in self.joules:
            self.joules[domain] += joules


class FakeLoad:
    """Says what it was told, and notes what it was asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def flags(self) -> tuple[str, ...]:
        return ("foreign_cpu_load",)

    def observed(self) -> Mapping[str, Any]:
        return {"wall_s": 2.0}

    def temperature_c(self) -> float | None:
        return 54.0

    def look(self) -> None:
        pass


def machine(*domains: Domain, start_j: float = 1000.0) -> tuple[RaplMeter, FakePowercap, FakeClock]:
    """A started meter whose domains, by default one package, all stand at `start_j`."""
    powercap, clock = FakePowercap(dict.fromkeys(domains or (PACKAGE,), start_j)), FakeClock(50.0)
    meter = RaplMeter(powercap, clock=clock, load=FakeLoad(), in_background=False)
    meter.start()
    return meter, powercap, clock


def draw(powercap: FakePowercap, clock: FakeClock, watts: float, seconds: float) -> None:
    """Every domain draws `watts` while the meter samples (see `sampled`)."""
    for _ in range(round(seconds)):
        powercap.add(watts)
        clock.advance(1.0)


def sampled(meter: RaplMeter, clock: FakeClock) -> None:
    clock.every = meter.sample


def joules(reading: Reading) -> float:
    assert reading.problem == ""
    assert reading.energy_j is not None
    return reading.energy_j


# ---- wraps


@pytest.mark.parametrize("wraps", [0, 1, 3])
def test_wraps_are_undone(wraps: int) -> None:
    range_uj = 10_000_000_000
    meter, powercap, clock = machine(Domain("intel-rapl:0", "package-0", range_uj), start_j=9_900.0)
    sampled(meter, clock)
    drawn_j = 50.0 + 10_000.0 * wraps
    draw(powercap, clock, drawn_j / 100.0, 100.0)
    assert powercap.energy_uj(powercap.domains()[0]) < 9_960e6
    assert joules(meter.read()) == pytest.approx(drawn_j, abs=(1 + wraps) * UNIT_J)


def test_an_hour_at_200_w_wraps_a_range_of_262_kj_twice_and_reads_true() -> None:
    meter, powercap, clock = machine()
    sampled(meter, clock)
    draw(powercap, clock, 200.0, 3600.0)
    assert joules(meter.read()) == pytest.approx(720_000.0, abs=4 * UNIT_J)


def test_a_wrap_between_two_reads_a_moment_apart_is_a_wrap() -> None:
    meter, powercap, clock = machine(start_j=RANGE_UJ / 1e6 - 0.01)
    first = joules(meter.read())
    powercap.add(0.3)  # a millisecond of 300 W, booked late
    clock.advance(0.0001)
    assert joules(meter.read()) - first == pytest.approx(0.3, abs=2 * UNIT_J)


def test_each_package_wraps_by_its_own_range() -> None:
    small, large = Domain("intel-rapl:0", "package-0", 10**9), Domain("intel-rapl:1", "package-1", 2 * 10**9)
    powercap, clock = FakePowercap({small: 999.0, large: 1_999.0}), FakeClock()
    meter = RaplMeter(powercap, clock=clock, load=FakeLoad(), in_background=False)
    meter.start()
    powercap.add(30.0)
    clock.advance(0.4)
    assert joules(meter.read()) == pytest.approx(60.0, abs=4 * UNIT_J)
    assert meter.observed()["energy_by_domain_j"] == pytest.approx(
        {"package-0": 30.0, "package-1": 30.0}, abs=2 * UNIT_J
    )


# ---- what looks like a wrap, or hides one


def test_a_reset_is_not_taken_for_a_wrap_and_lasts_until_the_next_run() -> None:
    meter, powercap, clock = machine(start_j=100_000.0)
    powercap.joules[PACKAGE] = 20.0
    clock.advance(1.0)
    assert "package-0 was reset" in meter.read().problem
    powercap.add(50.0)
    clock.advance(1.0)
    later = meter.read()
    assert later.energy_j is None
    assert "was reset" in later.problem
    meter.start()
    powercap.add(50.0)
    clock.advance(1.0)
    assert joules(meter.read()) == pytest.approx(50.0, abs=UNIT_J)


def test_a_reset_that_only_the_thread_saw_is_told_at_the_next_read() -> None:
    meter, powercap, clock = machine(start_j=100_000.0)
    powercap.joules[PACKAGE] = 20.0
    clock.advance(1.0)
    meter.sample()
    powercap.joules[PACKAGE] = 100_100.0
    clock.advance(1.0)
    assert "was reset" in meter.read().problem


@pytest.mark.parametrize(("declared_w", "reads"), [(None, True), (1000.0, True), (100.0, False)])
def test_a_wrap_is_believed_up_to_three_times_the_declared_power_or_2000_w(
    declared_w: float | None, reads: bool
) -> None:
    package = Domain("intel-rapl:0", "package-0", RANGE_UJ, declared_w)
    meter, powercap, clock = machine(package, start_j=RANGE_UJ / 1e6 - 1.0)
    powercap.add(1_900.0)
    clock.advance(1.0)
    assert (meter.read().energy_j is not None) == reads


def test_a_declared_power_of_no_limit_does_not_make_a_reset_plausible() -> None:
    package = Domain("intel-rapl:0", "package-0", RANGE_UJ, 4095.0)
    meter, powercap, clock = machine(package, start_j=RANGE_UJ / 1e6 - 10_000.0)
    powercap.joules[package] = 0.0
    clock.advance(1.0)
    assert "was reset" in meter.read().problem


def test_a_jump_that_no_package_can_draw_is_no_reading() -> None:
    meter, powercap, clock = machine()
    powercap.add(50_000.0)
    clock.advance(1.0)
    assert "jumped" in meter.read().problem


def test_a_gap_in_which_a_whole_wrap_could_hide_is_unknown_not_a_guess() -> None:
    package = Domain("intel-rapl:0", "package-0", RANGE_UJ, 200.0)  # at most 600 W: 437 s for the range
    meter, powercap, clock = machine(package)
    powercap.add(1.0)
    clock.advance(430.0)
    assert meter.read().energy_j is not None
    powercap.add(1.0)
    clock.advance(440.0)
    problem = meter.read().problem
    assert "was not read for 440.0 s" in problem
    powercap.add(1.0)
    clock.advance(1.0)
    assert meter.read().problem == problem


def test_the_time_between_two_runs_is_no_gap() -> None:
    meter, powercap, clock = machine()
    clock.advance(1e5)
    powercap.add(1.0)
    meter.start()
    powercap.add(1.0)
    clock.advance(1.0)
    assert joules(meter.read()) == pytest.approx(1.0, abs=UNIT_J)


@pytest.mark.parametrize("value_j", [-1.0, RANGE_UJ / 1e6 + 1.0])
def test_a_value_outside_the_range_is_no_reading(value_j: float) -> None:
    class Broken(FakePowercap):
        def energy_uj(self, domain: Domain) -> int:
            return int(self.joules[domain] * 1e6)

    powercap, clock = Broken({PACKAGE: 1000.0}), FakeClock()
    meter = RaplMeter(powercap, clock=clock, load=FakeLoad(), in_background=False)
    meter.start()
    powercap.joules[PACKAGE] = value_j
    clock.advance(1.0)
    assert "outside its range" in meter.read().problem


def test_one_frozen_package_of_two_is_seen() -> None:
    meter, powercap, clock = machine(PACKAGE, SECOND)
    for _ in range(3):
        powercap.joules[PACKAGE] += 20.0
        clock.advance(1.0)
        last = meter.read()
    assert last.energy_j is None
    assert "package-1 has not moved for 3.0 s" in last.problem
    assert "package-0" not in last.problem
    assert meter.observed()["energy_by_domain_j"]["package-1"] is None


def test_a_package_that_rests_for_two_seconds_is_not_frozen() -> None:
    meter, powercap, clock = machine()
    clock.advance(2.0)
    assert meter.read().energy_j == 0.0
    powercap.add(1.0)
    clock.advance(0.1)
    assert joules(meter.read()) == pytest.approx(1.0, abs=UNIT_J)


powers_w = st.floats(min_value=0.5, max_value=600.0)
gaps_s = st.one_of(st.floats(min_value=1e-4, max_value=3.0), st.floats(min_value=3.0, max_value=200.0))


@given(
    start_j=st.floats(min_value=0.0, max_value=9_999.0),
    range_uj=st.sampled_from([10_000_000_000, 65_532_610_987, RANGE_UJ]),
    stretches=st.lists(st.tuples(powers_w, gaps_s, st.booleans()), min_size=1, max_size=40),
)
def test_every_reading_is_true_within_its_resolution_or_none(
    start_j: float, range_uj: int, stretches: list[tuple[float, float, bool]]
) -> None:
    package = Domain("intel-rapl:0", "package-0", range_uj, 200.0)
    meter, powercap, clock = machine(package, start_j=start_j)
    readings = [(meter.read(), 0.0)]
    truth_j = 0.0
    for watts, seconds, by_thread in stretches:
        truth_j += watts * seconds
        powercap.add(watts * seconds)
        clock.advance(seconds)
        if by_thread:
            meter.sample()
        else:
            readings.append((meter.read(), truth_j))
    wraps = truth_j * 1e6 / range_uj + 1
    for reading, true_j in readings:
        assert reading.energy_j is None or abs(reading.energy_j - true_j) <= (wraps + 1) * UNIT_J + 1e-6
    if max(seconds for _, seconds, _ in stretches) < range_uj / 600e6:
        assert all(reading.energy_j is not None for reading, _ in readings)
    known = [reading.energy_j is not None for reading, _ in readings]
    assert all(before or not after for before, after in pairwise(known))


@given(
    last_j=st.floats(min_value=3_000.0, max_value=250_000.0),
    after_j=st.floats(min_value=0.0, max_value=500.0),
    gap_s=st.floats(min_value=0.001, max_value=5.0),
)
def test_a_reset_never_gives_joules(last_j: float, after_j: float, gap_s: float) -> None:
    meter, powercap, clock = machine(start_j=last_j)
    powercap.joules[PACKAGE] = after_j
    clock.advance(gap_s)
    assert meter.read().energy_j is None


# ---- which domains


def test_packages_are_summed_and_what_lies_inside_or_around_them_is_not() -> None:
    meter, powercap, clock = machine(PACKAGE, CORE, UNCORE, SECOND, PSYS)
    powercap.joules |= {
        PACKAGE: 1010.0, CORE: 1200.0, UNCORE: 1300.0, SECOND: 1005.0, PSYS: 1400.0
    }  # fmt: skip
    clock.advance(1.0)
    assert joules(meter.read()) == pytest.approx(15.0, abs=2 * UNIT_J)
    assert meter.spec.devices == ("package-0", "package-1")
    assert set(meter.observed()["energy_by_domain_j"]) == {"package-0", "package-1"}


def test_memory_is_kept_apart() -> None:
    meter, powercap, clock = machine(PACKAGE, DRAM)
    powercap.joules |= {PACKAGE: 1010.0, DRAM: 1003.0}
    clock.advance(1.0)
    assert joules(meter.read()) == pytest.approx(10.0, abs=UNIT_J)
    assert meter.observed()["dram_j"] == pytest.approx({"package-0": 3.0}, abs=UNIT_J)


def test_memory_that_cannot_be_read_is_unknown_and_costs_the_packages_nothing() -> None:
    meter, powercap, clock = machine(PACKAGE, DRAM)
    powercap.add(10.0)
    powercap.trouble[DRAM] = "gone"
    clock.advance(1.0)
    assert joules(meter.read()) == pytest.approx(10.0, abs=UNIT_J)
    assert meter.observed()["dram_j"] == {"package-0": None}


def test_a_machine_without_memory_counters_says_nothing_of_memory() -> None:
    assert "dram_j" not in machine()[0].observed()


def test_dies_of_one_package_are_packages() -> None:
    dies = [Domain(f"intel-rapl:{die}", f"package-0-die-{die}", RANGE_UJ) for die in (0, 1)]
    meter, powercap, clock = machine(*dies)
    powercap.add(10.0)
    clock.advance(1.0)
    assert joules(meter.read()) == pytest.approx(20.0, abs=2 * UNIT_J)


def test_a_machine_without_a_package_is_refused() -> None:
    with pytest.raises(MeterUnavailable, match="only psys"):
        RaplMeter(FakePowercap({PSYS: 1.0}), load=FakeLoad())


def test_a_package_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(PowercapError, match="root only"):
        RaplMeter(FakePowercap({PACKAGE: 1.0}, {PACKAGE: "root only"}), load=FakeLoad())


# ---- as a meter


def test_a_read_that_fails_says_why_and_the_next_one_holds_the_energy_of_both() -> None:
    meter, powercap, clock = machine()
    powercap.add(10.0)
    powercap.trouble[PACKAGE] = "input/output error"
    clock.advance(1.0)
    failed = meter.read()
    assert (failed.energy_j, failed.problem) == (None, "input/output error")
    powercap.trouble.clear()
    powercap.add(10.0)
    clock.advance(1.0)
    assert joules(meter.read()) == pytest.approx(20.0, abs=UNIT_J)


def test_a_start_that_cannot_read_raises_nothing() -> None:
    meter, powercap, _ = machine()
    powercap.trouble[PACKAGE] = "gone"
    meter.start()
    assert meter.read().energy_j is None
    assert meter.observed()["energy_by_domain_j"] == {"package-0": None}


def test_what_was_never_looked_at_is_unknown_not_zero() -> None:
    meter = RaplMeter(FakePowercap({PACKAGE: 1.0, DRAM: 1.0}), load=FakeLoad(), in_background=False)
    observed = meter.observed()
    assert (observed["energy_by_domain_j"], observed["dram_j"]) == ({"package-0": None}, {"package-0": None})


def test_the_spec_says_measured_and_how_fine() -> None:
    spec = machine(PACKAGE, SECOND, DRAM)[0].spec
    assert (spec.name, spec.kind, spec.counter.update_period_s, spec.gain_error) == (
        "rapl",
        Kind.MEASURED,
        0.001,
        None,
    )
    assert spec.counter.resolution_j == pytest.approx(2 * 2**-14, rel=1e-4)
    assert [one["name"] for one in spec.settings["counted"]] == ["package-0", "package-1"]
    assert [one["zone"] for one in spec.settings["apart"]] == ["intel-rapl:0:2"]


def test_the_load_of_the_machine_is_watched_from_start_to_stop_and_passed_on() -> None:
    load = FakeLoad()
    meter = RaplMeter(FakePowercap({PACKAGE: 1.0}), load=load, in_background=False)
    meter.start()
    meter.stop()
    assert load.calls == ["start", "stop"]
    assert meter.flags() == ("foreign_cpu_load",)
    assert meter.observed()["wall_s"] == 2.0
    assert meter.read().temperature_c == 54.0


def test_a_modelled_machine_has_no_load_by_default() -> None:
    meter = RaplMeter(FakePowercap({PACKAGE: 1.0}), in_background=False, kind=Kind.MODELLED)
    meter.start()
    assert (meter.flags(), meter.read().temperature_c) == ((), None)
    assert set(meter.observed()) == {"energy_by_domain_j"}


def test_a_closed_meter_gives_no_reading() -> None:
    meter, _, _ = machine()
    meter.close()
    meter.close()
    assert meter.read() == Reading(50.0, None, "the RAPL meter is closed")


def test_the_thread_samples_from_start_to_stop() -> None:
    class Counting(FakePowercap):
        reads = 0

        def energy_uj(self, domain: Domain) -> int:
            self.reads += 1
            return super().energy_uj(domain)

    powercap = Counting({PACKAGE: 1.0})
    meter = RaplMeter(powercap, load=FakeLoad())
    meter.start()
    reads, until_s = powercap.reads, time.monotonic() + 10.0
    while powercap.reads == reads and time.monotonic() < until_s:
        time.sleep(0.01)
    assert powercap.reads > reads
    meter.stop()
    meter.stop()
    reads = powercap.reads
    time.sleep(2.2 * SAMPLE_EVERY_S)
    assert powercap.reads <= reads + 1  # the one that was under way


# ---- sysfs


def zone(
    folder: Path,
    name: str,
    energy_uj: int = 5_000_000,
    range_uj: int = RANGE_UJ,
    **constraints_uw: int,
) -> Path:
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "enabled").write_text("1\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    for constraint, microwatts in constraints_uw.items():
        (folder / constraint).write_text(f"{microwatts}\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The class folder of a two-socket machine, all links into the tree of devices, as the kernel lays it
    out."""
    devices = tmp_path / "devices" / "virtual" / "powercap"
    rapl, mmio = devices / "intel-rapl", devices / "intel-rapl-mmio"
    zones = [
        zone(
            rapl / "intel-rapl:0",
            "package-0",
            energy_uj=7,
            constraint_0_max_power_uw=125_000_000,
            constraint_0_power_limit_uw=125_000_000,
            constraint_1_max_power_uw=0,
            constraint_1_power_limit_uw=253_000_000,
        ),
        zone(rapl / "intel-rapl:0" / "intel-rapl:0:0", "core"),
        zone(rapl / "intel-rapl:0" / "intel-rapl:0:1", "dram", range_uj=65_712_999_613),
        zone(rapl / "intel-rapl:1", "package-1", energy_uj=9, constraint_0_max_power_uw=0),
        zone(rapl / "intel-rapl:1" / "intel-rapl:1:0", "core"),
        zone(rapl / "intel-rapl:a", "psys"),
        zone(mmio / "intel-rapl-mmio:0", "package-0"),
    ]
    listed = tmp_path / "class" / "powercap"
    listed.mkdir(parents=True)
    for folder in (rapl, mmio, *zones):
        (listed / folder.name).symlink_to(folder)
    return listed


def denies(*names: str) -> Callable[[Path], str]:
    """Reads as a user does who may not read files of these names."""

    def read(file: Path) -> str:
        if file.name in names:
            raise PermissionError(13, "Permission denied", str(file))
        return file.read_text()

    return read


def test_each_zone_is_listed_once_and_mmio_never(root: Path) -> None:
    assert [(domain.zone, domain.name) for domain in SysfsPowercap(root).domains()] == [
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:0:1", "dram"),
        ("intel-rapl:1", "package-1"),
        ("intel-rapl:1:0", "core"),
        ("intel-rapl:a", "psys"),
    ]


def test_a_zone_declares_its_range_and_the_largest_power_of_its_constraints(root: Path) -> None:
    by_zone = {domain.zone: domain for domain in SysfsPowercap(root).domains()}
    assert by_zone["intel-rapl:0"].max_power_w == 253.0
    assert by_zone["intel-rapl:1"].max_power_w is None
    assert by_zone["intel-rapl:0:1"].range_uj == 65_712_999_613


def test_a_counter_is_read_anew_each_time(root: Path) -> None:
    powercap = SysfsPowercap(root)
    package = powercap.domains()[0]
    assert powercap.energy_uj(package) == 7
    (root / "intel-rapl:0" / "energy_uj").write_text("8\n")
    assert powercap.energy_uj(package) == 8


def test_the_meter_on_sysfs_sums_the_packages_once(root: Path) -> None:
    clock = FakeClock()
    meter = RaplMeter(SysfsPowercap(root), clock=clock, load=FakeLoad(), in_background=False)
    meter.start()
    for number, name in enumerate(("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:a", "intel-rapl-mmio:0")):
        (root / name / "energy_uj").write_text(f"{(number + 6) * 1_000_000}\n")
    clock.advance(1.0)
    assert joules(meter.read()) == pytest.approx(5.999993)


@pytest.mark.parametrize("listed", [(), ("intel-rapl",), ("intel-rapl", "intel-rapl-mmio:0", "dtpm")])
def test_no_zone_says_what_that_means_in_one_line(tmp_path: Path, listed: tuple[str, ...]) -> None:
    for name in listed:
        (tmp_path / "powercap" / name).mkdir(parents=True)
    with pytest.raises(PowercapError) as refusal:
        SysfsPowercap(tmp_path / "powercap").domains()
    assert not refusal.value.forbidden
    assert str(refusal.value) == (
        f"{tmp_path}/powercap lists no RAPL counter: this is a virtual machine, an ARM processor or not "
        "Linux, or the kernel's module is not loaded (`sudo modprobe intel_rapl_msr`, for AMD too)"
    )


def test_a_counter_for_root_only_says_how_to_open_it_and_what_that_costs(root: Path) -> None:
    with pytest.raises(PowercapError) as refusal:
        RaplMeter(SysfsPowercap(root, denies("energy_uj")), load=FakeLoad())
    assert refusal.value.forbidden
    assert str(refusal.value) == (
        f"only root may read RAPL's intel-rapl:0/energy_uj: `sudo chmod -R a+r {root}/intel-rapl/` opens it "
        "to everybody until the next boot, which is your decision, because through this counter other users "
        "of the machine can learn secrets such as keys (PLATYPUS, CVE-2020-8694)"
    )


@pytest.mark.parametrize("name", ["name", "max_energy_range_uj"])
def test_zones_that_only_root_may_look_into_are_forbidden_too(root: Path, name: str) -> None:
    with pytest.raises(PowercapError, match=r"sudo chmod -R a\+r") as refusal:
        SysfsPowercap(root, denies(name, "energy_uj")).domains()
    assert refusal.value.forbidden


def test_the_command_of_the_message_opens_every_zone_and_not_mmio(root: Path) -> None:
    files = [file for file in root.parent.parent.rglob("*") if file.is_file()]
    for file in files:
        file.chmod(0o400)
    with pytest.raises(PowercapError) as refusal:
        SysfsPowercap(root, denies("energy_uj")).energy_uj(PACKAGE)
    command = re.search(r"`sudo (.*?)`", str(refusal.value))
    assert command is not None
    subprocess.run(shlex.split(command[1]), check=True)
    opened = {file for file in files if file.stat().st_mode & stat.S_IROTH}
    assert opened == {file for file in files if "intel-rapl-mmio:0" not in file.parts}
    assert not any(file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH) for file in files)


def test_constraints_that_may_not_be_read_declare_nothing(root: Path) -> None:
    constraints = [f"constraint_{n}_{what}_uw" for n in (0, 1) for what in ("max_power", "power_limit")]
    assert SysfsPowercap(root, denies(*constraints)).domains()[0].max_power_w is None


def test_zones_that_a_container_hides_are_named_so(root: Path) -> None:
    (root.parent.parent / "devices").rename(root.parent.parent / "masked")  # the links lead nowhere now
    with pytest.raises(PowercapError, match="this container hides RAPL"):
        SysfsPowercap(root).domains()


def test_an_error_of_the_kernel_is_named(root: Path) -> None:
    def read(file: Path) -> str:
        if file.name == "energy_uj":
            raise OSError(5, "Input/output error")
        return file.read_text()

    with pytest.raises(PowercapError, match="intel-rapl:0/energy_uj cannot be read: Input/output error"):
        SysfsPowercap(root, read).energy_uj(PACKAGE)


def test_a_counter_that_is_no_number_is_named(root: Path) -> None:
    (root / "intel-rapl:0" / "energy_uj").write_text("n/a\n")
    with pytest.raises(PowercapError, match="holds no whole number: 'n/a'"):
        SysfsPowercap(root).energy_uj(PACKAGE)

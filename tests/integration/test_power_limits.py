"""Power limits and clocks that runs set: whatever is killed, the next start leaves the GPU as it was found.
The stand-in for NVML keeps them for all processes, as a driver does."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import nvml_standin
import psutil
import pytest
from conftest import run
from nvml_standin import Setting
from running_study import begun, kill, records_of, worker_of

from search.config.cores import usable_cores
from search.errors import USAGE_ERROR
from search.files.paths import study_dir
from search.record.flags import Flag
from search.record.stratum import strata_of
from search.worker.locks import VARIABLE

Tiny = Callable[..., list[str]]
KILLS = int(os.environ.get("JOULESEARCH_KILLS", "20"))
FOUND = Setting(limit_mw=90_000, least_mhz=0, most_mhz=0)
# A run trains for about a second on a fast core: the stand-in's joules must stand out from its period.
METERED = (
    *("device=cpu", "meter=nvml", "target_loss=2.6", "train.max_steps=2000", "budget.forecast=null"),
    *("~space.optimizer", "optimizer.lr=4e-4", "evaluation.interval=300"),
)
LEVERS = (
    "+space.device.power_limit_w={type: categorical, choices: [60.0, 80.0]}",
    "+space.device.sm_clock_mhz={type: int, low: 600, high: 900, step: 15}",
)

# As a worker does with every run; it prints a line when its GPU is held.
HOLD = """
import itertools, sys, time
from model.config import DeviceConfig
from search.worker.holding import held, put_back_left_overs
from search.worker.locks import exclusive
put_back_left_overs()
for watts in itertools.cycle([60.0, 80.0]):
    with exclusive([sys.argv[1]], "a run", wait=True):
        with held([sys.argv[1]], DeviceConfig(watts, 600)) as changed:
            assert changed[sys.argv[1]]["power_limit_w"]["found"] == 90.0
            print("held", flush=True)
            time.sleep(0.005)
"""
PUT_BACK = "from search.worker.holding import put_back_left_overs; put_back_left_overs()"


class Machine(NamedTuple):
    """A machine with stand-ins for GPUs, whose power limit somebody has set to 90 W."""

    state: Path
    environment: dict[str, str]

    def setting(self, index: int = 0) -> Setting:
        return nvml_standin.setting(self.state, index)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if nvml_standin.compiler() is None:
        pytest.skip("no C compiler for the NVML stand-in")
    return nvml_standin.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def machine(library: Path, tmp_path: Path) -> Machine:
    state, locks = tmp_path / "settings", tmp_path / "locks"
    for index in range(2):
        nvml_standin.write_setting(state, FOUND.limit_mw, index)
    path = f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    named = {"STANDIN_NVML_STATE": str(state), VARIABLE: str(locks), "LD_LIBRARY_PATH": path}
    return Machine(state, named)


def holder(machine: Machine) -> subprocess.Popen[str]:
    return begun([sys.executable, "-c", HOLD, nvml_standin.uuid(0)], **machine.environment)


def read_until(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    seen = list(itertools.takewhile(lambda text: text != f"{line}\n", process.stdout))
    assert process.poll() is None, seen


def put_back(machine: Machine) -> None:
    done = run([sys.executable, "-c", PUT_BACK], **machine.environment)
    assert done.returncode == 0, done.stderr


def test_what_a_killed_process_held_is_put_back_by_another(machine: Machine) -> None:
    process = holder(machine)
    for _ in range(2):
        read_until(process, "held")
    os.kill(process.pid, signal.SIGSTOP)
    process.kill()
    kill(process)
    put_back(machine)
    assert machine.setting() == FOUND
    assert not list(Path(machine.environment[VARIABLE]).glob("*.found.json"))


@pytest.mark.slow
def test_kills_at_every_moment_of_a_change_leave_the_gpu_as_it_was_found(machine: Machine) -> None:
    """The holder does little but change it and put it back, so kills fall between all of its steps."""
    generator, caught = random.Random(3), 0
    for _ in range(2 * KILLS):
        process = holder(machine)
        read_until(process, "held")
        time.sleep(generator.uniform(0.0, 0.05))
        process.kill()
        kill(process)
        caught += machine.setting() != FOUND
        if generator.random() < 0.5:  # otherwise the next holder is the next start
            put_back(machine)
            assert machine.setting() == FOUND
    put_back(machine)
    assert machine.setting() == FOUND
    assert caught > KILLS / 4, "kills must fall into changes"


@pytest.mark.slow
@pytest.mark.many
@pytest.mark.timeout(3600)
def test_random_kills_of_a_study_leave_its_gpu_as_it_was_found_after_the_next_start(
    tiny: Tiny, study_name: str, machine: Machine
) -> None:
    generator, caught = random.Random(7), 0
    study = tiny(*METERED, *LEVERS, "budget.n_trials=100000", "budget.rival_margin=9")
    for _ in range(KILLS):
        process = begun(study, **machine.environment)
        try:
            wait_until_it_holds(machine, process)
            time.sleep(generator.uniform(0.0, 3.0))
            what = generator.choice(["worker", "parent", "both"])
            strike(process, what)
            if what == "worker":  # its parent puts it back, and goes on with the next trial
                wait_until_it_holds(machine, process, anew=True)
        finally:
            kill(process)
        caught += machine.setting() != FOUND
        assert_next_start_finds(machine, tiny)
    records = records_of(study_name)
    assert any(record.outcome.completes and "gpus_held" in record.provenance for record in records)
    for record in records:
        assert record.meter.settings["gpus"][0]["power_limit_w"] == FOUND.limit_mw / 1000
        held = record.provenance.get("gpus_held", {})
        assert all(one["power_limit_w"]["found"] == FOUND.limit_mw / 1000 for one in held.values())
        if record.outcome.completes:  # one that was killed before its first report says less
            assert bool(held) == bool(record.params.get("device.power_limit_w"))
    assert len(strata_of(records)) == 1
    print(f"\n{KILLS} kills, {caught} of them while the GPU was held; {len(records)} records")


def wait_until_it_holds(machine: Machine, process: subprocess.Popen[str], anew: bool = False) -> None:
    """Until a run holds the GPU. `anew`: one that begins from now on."""
    deadline, was_free = time.monotonic() + 120, not anew
    while time.monotonic() < deadline and process.poll() is None:
        is_free = machine.setting() == FOUND
        if was_free and not is_free:
            return
        was_free = was_free or is_free
        time.sleep(0.002)
    ended = process.poll() is not None
    raise AssertionError(f"no run has held the GPU; {process.communicate()[0] if ended else 'it runs'}")


def strike(process: subprocess.Popen[str], what: str) -> None:
    with suppress(ProcessLookupError, psutil.NoSuchProcess, ValueError):
        worker = worker_of(process)
        if what != "worker":
            process.kill()
        if what != "parent":
            worker.kill()


def assert_next_start_finds(machine: Machine, tiny: Tiny) -> None:
    """The next start is of a run that changes nothing itself."""
    single = [*tiny(*METERED, "train.max_steps=5")]
    single[2] = "search.train"
    done = run(single, **machine.environment)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert machine.setting() == FOUND


@pytest.mark.slow
def test_a_study_varies_them_like_any_other_parameter(tiny: Tiny, study_name: str, machine: Machine) -> None:
    done = run(tiny(*METERED, *LEVERS, "budget.n_trials=4"), **machine.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.setting() == FOUND
    baseline, *searched = records_of(study_name)
    assert "gpus_held" not in baseline.provenance
    for record in searched:
        limit_w, mhz = (record.params[f"device.{name}"] for name in ("power_limit_w", "sm_clock_mhz"))
        assert record.observed["power_limit_w"] == limit_w
        assert record.observed["clock_sm_mean_mhz"] in (None, mhz)
        assert Flag.POWER_LIMIT_LOWERED not in record.flags
    header, *rows = (study_dir(study_name) / "trials.csv").read_text().splitlines()
    assert "params.device.power_limit_w,params.device.sm_clock_mhz" in header
    assert len(rows) == 4
    # Another study, or another machine, finds the kind of device by the limit that was found.
    done = run(tiny(*METERED, *LEVERS, "budget.n_trials=5"), **machine.environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(usable_cores().threads < 2, reason="two slots need two cores")
def test_each_slot_holds_its_own_gpu(tiny: Tiny, study_name: str, machine: Machine) -> None:
    several = ("budget.n_trials=5", "devices=[cuda:0,cuda:1]")
    done = run(tiny(*METERED, *LEVERS, *several), **machine.environment, STANDIN_NVML_GPUS="2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [machine.setting(index) for index in range(2)] == [FOUND, FOUND]
    held = [record.provenance["gpus_held"] for record in records_of(study_name)[1:]]
    own = [[record.meter.settings["devices"][0]] for record in records_of(study_name)[1:]]
    assert [list(one) for one in held] == own
    assert len({uuid for one in own for uuid in one}) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"),
    [("no_permission", "NVML does not permit this user to"), ("not_settable", "cannot be set here")],
)
def test_who_cannot_set_it_is_told_in_one_line_and_nothing_is_left_behind(
    tiny: Tiny, study_name: str, machine: Machine, fault: str, said: str
) -> None:
    asked = tiny(*METERED, "device.power_limit_w=80")
    done = run(asked, **machine.environment, STANDIN_NVML_FAULT=fault)
    assert done.returncode == USAGE_ERROR, done.stdout + done.stderr
    assert said in done.stderr
    assert "type device.power_limit_w=null" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not study_dir(study_name).exists()
    assert machine.setting() == FOUND

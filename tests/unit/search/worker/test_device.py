"""The locks of devices: one run at a time on each, over processes, let go by the kernel."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
import torch

from search.config.cores import usable_cores
from search.energy.counter_check import Counter
from search.meter.base import MeterSpec
from search.record.meter_info import Kind
from search.worker.device import Device, lock_names
from search.worker.locks import VARIABLE, DeviceBusy, exclusive


def spec(*devices: str) -> MeterSpec:
    return MeterSpec("any", Kind.MEASURED, Counter(0.1, 0.001), devices)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))


@pytest.fixture
def names() -> list[str]:
    """Locks that nobody else holds."""
    return [f"test-{uuid.uuid4().hex}" for _ in range(3)]


def test_a_run_holds_the_device_that_trains_and_each_that_is_measured() -> None:
    cpu = Device("cpu", "a CPU")
    assert lock_names(cpu, [spec("cpu")]) == {"cpu"}
    assert lock_names(cpu, [spec("package-0", "package-1")]) == {"cpu"}
    assert lock_names(cpu, [spec("GPU-1", "GPU-2")]) == {"cpu", "GPU-1", "GPU-2"}
    assert lock_names(cpu, [spec("GPU-1"), spec("cpu"), spec()]) == {"cpu", "GPU-1"}


class TwoGpus(Device):
    """Those of a machine that has them."""

    @property
    def uuids(self) -> tuple[str, ...]:
        return ("GPU-1", "GPU-2")


def test_all_gpus_are_held_that_a_run_may_train_on() -> None:
    several = TwoGpus("cuda", "a GPU", "0", 0, (1,))
    assert several.gpus == ("0", "1")
    assert lock_names(several, [spec()]) == {"GPU-1", "GPU-2"}


def test_a_cpu_has_room_for_as_many_processes_as_it_has_cores_for_their_threads() -> None:
    cores, threads = usable_cores().threads, torch.get_num_threads()
    assert Device("cpu", "a CPU").capabilities().processes == max(1, cores // threads)


def test_a_device_is_held_by_one_at_a_time_and_free_afterwards(names: list[str]) -> None:
    with exclusive(names[:2], "study 'first'", wait=False):
        for shared in (names[:1], names[1:2], [names[2], names[1]]):
            with pytest.raises(DeviceBusy, match="held by study 'first'"):
                exclusive(shared, "study 'second'", wait=False).__enter__()
        with exclusive(names[2:], "study 'third'", wait=False):
            pass
    with exclusive(names, "study 'second'", wait=False):
        pass


def test_what_was_taken_is_given_back_where_the_rest_is_busy(names: list[str]) -> None:
    ordered = sorted(names)
    with exclusive(ordered[2:], "study 'first'", wait=False):
        with pytest.raises(DeviceBusy):
            exclusive(ordered, "study 'second'", wait=False).__enter__()
        with exclusive(ordered[:2], "study 'third'", wait=False):
            pass


def test_a_second_study_waits_and_says_for_whom(names: list[str]) -> None:
    told = threading.Event()
    said: list[str] = []

    def on_wait(what: str) -> None:
        said.append(what)
        told.set()

    def second() -> None:
        with exclusive(names, "study 'second'", wait=True, on_wait=on_wait):
            pass

    thread = threading.Thread(target=second)
    with exclusive(names[:1], "study 'first'", wait=False):
        thread.start()
        assert told.wait(30)
    thread.join(30)
    assert not thread.is_alive()
    assert said[0] == f"the device {names[0]}, which study 'first' holds"


def test_the_kernel_lets_go_when_the_process_dies(names: list[str], tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from search.worker.locks import exclusive\n"
        f"with exclusive({names!r}, 'study doomed', wait=False):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(DeviceBusy, match="study doomed"):
        exclusive(names, "study 'second'", wait=False).__enter__()
    process.kill()
    process.wait()
    process.stdout.close()
    with exclusive(names, "study 'second'", wait=False):
        pass

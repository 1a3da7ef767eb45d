"""A process that stood still is told from one that was busy, and from a machine that slept."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from search.run.pauses import Beats, Heartbeat, Moment, Stillness, stood_still_s


def at(time_s: float, cpu_s: float = 0.0, slept_s: float = 0.0) -> Moment:
    return Moment(time_s, 1000.0 + time_s + slept_s, cpu_s)


def test_beats_in_time_are_no_pause() -> None:
    assert stood_still_s(at(0.0), at(0.25)) == 0.0
    assert stood_still_s(at(0.0), at(1.2)) == 0.0, "a busy machine lets a thread wait now and then"


def test_a_late_beat_of_an_idle_process_is_a_pause_of_all_but_the_beat() -> None:
    assert stood_still_s(at(0.0), at(10.25)) == pytest.approx(10.0)
    assert stood_still_s(at(0.0), at(10.25, cpu_s=2.0)) == pytest.approx(10.0)


def test_a_late_beat_of_a_busy_process_is_work_that_held_the_interpreter() -> None:
    assert stood_still_s(at(0.0), at(10.25, cpu_s=9.0)) == 0.0


def test_what_many_cores_did_before_a_stop_does_not_hide_it() -> None:
    assert stood_still_s(at(0.0), at(5.25, cpu_s=4.0), cores=16) == pytest.approx(5.0)
    assert stood_still_s(at(0.0), at(10.25, cpu_s=14.0), cores=16) == 0.0, "one thread worked all the time"


def test_a_late_beat_of_a_thread_that_waited_for_a_core_or_the_interpreter_is_none() -> None:
    assert stood_still_s(at(0.0), replace(at(10.25), queued_s=9.9)) == 0.0
    assert stood_still_s(at(0.0), replace(at(10.25), asked_s=9.9)) == 0.0
    assert stood_still_s(at(0.0), replace(at(10.25), queued_s=3.0, asked_s=2.0)) == pytest.approx(5.0)


def test_a_machine_that_slept_is_seen_by_the_clock_since_boot() -> None:
    assert stood_still_s(at(0.0), at(0.25, slept_s=3600.0)) == pytest.approx(3600.0)
    assert stood_still_s(at(0.0), at(0.25, slept_s=0.001)) == 0.0


def test_pauses_add_up() -> None:
    beats = Beats(at(0.0))
    for moment in (at(5.25), at(5.5), at(5.75, slept_s=60.0), at(6.0, slept_s=60.0)):
        beats = beats.beat(moment)
    assert beats.paused_s == pytest.approx(65.0)


def test_a_process_that_works_or_sleeps_is_not_paused() -> None:
    heartbeat = Heartbeat()
    heartbeat.start()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        sum(range(1000))
    time.sleep(1.5)
    assert heartbeat.stop() == Stillness()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the thread's own account")
def test_something_that_holds_the_interpreter_without_work_is_no_pause() -> None:
    """As forking does on a busy machine."""
    heartbeat = Heartbeat()
    heartbeat.start()
    time.sleep(0.3)
    ctypes.PyDLL(None).usleep(2_500_000)
    time.sleep(0.3)
    assert heartbeat.stop() == Stillness()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the state of a process from /proc")
def test_a_process_that_is_stopped_and_continued_knows_how_long() -> None:
    script = (
        "import sys, time\n"
        "from search.run.pauses import Heartbeat\n"
        "heartbeat = Heartbeat()\n"
        "heartbeat.start()\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(heartbeat.stop().paused_s)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    time.sleep(2.5)
    os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate("\n", timeout=30)
    assert float(output) == pytest.approx(2.5, abs=0.6)


def test_stops_too_short_for_a_beat_are_counted() -> None:
    before = signal.getsignal(signal.SIGCONT)
    heartbeat = Heartbeat()
    heartbeat.start()
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGCONT)
        time.sleep(0.01)
    assert heartbeat.stop() == Stillness(0.0, continued=3)
    assert signal.getsignal(signal.SIGCONT) == before

"""The core-seconds of a run's processes never fall, whoever of them ends when."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.meter.cpu.process_tree import ProcessTree, TreeReading


def tree(*readings: tuple[float, bool]) -> ProcessTree:
    script: Iterator[tuple[float, bool]] = iter(readings)
    return ProcessTree(lambda: TreeReading(*next(script)))


def test_a_reading_during_which_a_child_ended_is_taken_again() -> None:
    total = tree((10.0, True), (7.0, False), (11.0, True))
    assert [total(), total()] == [10.0, 11.0]


def test_where_no_reading_is_steady_the_total_stands_and_nothing_is_counted_twice() -> None:
    total = tree((10.0, True), *[(7.0, False)] * 5, (11.0, True))
    assert [total(), total(), total()] == [10.0, 10.0, 11.0]


def test_what_an_unsteady_reading_counted_twice_does_not_stay() -> None:
    total = tree((10.0, True), *[(14.0, False)] * 5, (11.0, True), (15.0, True))
    assert [total() for _ in range(4)] == [10.0, 14.0, 14.0, 15.0]


def test_what_a_child_that_nobody_waited_for_had_spent_is_kept_and_the_rest_counts_in_full() -> None:
    total = tree((10.0, True), (6.0, True), (8.0, True))
    assert [total(), total(), total()] == [10.0, 10.0, 12.0]


def test_a_fall_within_a_tick_is_rounding() -> None:
    total = tree((10.0, True), (9.99, True), (10.005, True), (10.02, True))
    assert [total() for _ in range(4)] == [10.0, 10.0, 10.005, 10.02]


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.booleans()), min_size=20, max_size=60))
def test_the_total_never_falls(readings: list[tuple[float, bool]]) -> None:
    total = tree(*readings, *[(50.0, True)] * 40)
    seen = [total() for _ in range(len(readings) // 5)]
    assert seen == sorted(seen)


def test_it_never_falls_while_real_children_come_and_go() -> None:
    """A second thread starts and waits for children, and children of children, as a compiler does."""
    burn = "sum(range(300_000))"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {burn!r}]); {burn}"
    ended = threading.Event()

    def family() -> None:
        while not ended.is_set():
            subprocess.run([sys.executable, "-S", "-c", nested], check=True)

    total = ProcessTree()
    thread = threading.Thread(target=family)
    thread.start()
    seen, until = [], time.monotonic() + 4.0
    while time.monotonic() < until:
        seen.append(total())
    ended.set()
    thread.join()
    assert seen == sorted(seen)
    assert total() - seen[0] > 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="orphans go to init")
def test_the_time_of_a_grandchild_whose_parent_was_killed_is_kept() -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass\nprint('burned', flush=True)\ntime.sleep(600)"
    script = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', {burn!r}])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    total = ProcessTree()
    process = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    before = total()
    said = {process.stdout.readline().strip(), process.stdout.readline().strip()}
    (orphan,) = said - {"burned"}
    alive = total()
    assert alive - before > 0.3
    process.kill()
    process.wait()
    process.stdout.close()
    after = total()
    subprocess.run(["kill", "-9", orphan], check=True)
    assert after >= alive
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    assert total() - after == pytest.approx(0.3, abs=0.1)

from __future__ import annotations

import threading

from search.meter.sampling import Sampler

EVERY_S = 0.01


def test_a_sampler_calls_again_and_again_until_it_is_stopped() -> None:
    calls, enough = 0, threading.Event()

    def sample() -> None:
        nonlocal calls
        calls += 1
        if calls >= 3:
            enough.set()

    sampler = Sampler(sample, EVERY_S)
    sampler.start()
    assert enough.wait(30)
    sampler.stop()
    sampler.stop()
    after = calls
    threading.Event().wait(20 * EVERY_S)
    assert calls <= after + 1  # the one that was under way


def test_a_sampler_starts_again() -> None:
    called = threading.Event()
    sampler = Sampler(called.set, EVERY_S)
    for _ in range(2):
        sampler.start()
        assert called.wait(30)
        sampler.stop()
        threading.Event().wait(5 * EVERY_S)
        called.clear()


def test_starting_twice_leaves_one_thread() -> None:
    before = threading.active_count()
    sampler = Sampler(lambda: None, EVERY_S)
    for _ in range(5):
        sampler.start()
    threading.Event().wait(20 * EVERY_S)
    assert threading.active_count() <= before + 1
    sampler.stop()

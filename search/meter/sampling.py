"""A thread that reads a sensor a few times a second while a run goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SAMPLE_EVERY_S = 0.1


class Sampler:
    """Calls `sample` every `every_s` from `start` to `stop`. `sample` must not raise and must be safe to call
    from a second thread. A meter that is driven by a test gets none and calls its `sample` itself.

    `stop` does not wait for the thread, which may still call `sample` once: a meter ignores what comes after
    its own stop.
    """

    def __init__(self, sample: Callable[[], None], every_s: float = SAMPLE_EVERY_S) -> None:
        self._sample = sample
        self._every_s = every_s
        self._ended: threading.Event | None = None

    def start(self) -> None:
        self.stop()
        self._ended = threading.Event()
        threading.Thread(target=self._loop, args=(self._ended,), daemon=True).start()

    def stop(self) -> None:
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def _loop(self, ended: threading.Event) -> None:
        time.sleep(self._every_s)  # waking from it costs two thirds of what waiting for the event would
        while not ended.is_set():
            self._sample()
            time.sleep(self._every_s)

"""How signals end a study: between two runs, or at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from search.console.signals import ending_signals
from search.errors import INTERRUPTED, Stopped


@dataclass
class StopRequest:
    """Ctrl-C once lets the running trial finish, and sets `requested`; twice, or SIGTERM or SIGHUP, raises
    `Stopped`."""

    requested: bool = False
    on_request: Callable[[], None] = lambda: None

    def listen(self) -> None:
        signal.signal(signal.SIGINT, self._interrupt)
        for number in ending_signals():
            signal.signal(number, self._terminate)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise Stopped("stopped", INTERRUPTED)
        self.requested = True
        self.on_request()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        raise Stopped(f"stopped by {signal.Signals(number).name}", 128 + number)

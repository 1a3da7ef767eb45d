"""Batches of random windows of the training part, resident on the device or streamed to it.

Both draw the same windows: the starts come from a CPU generator in the order in which batches are asked for,
whatever the thread that fetches them does, so a run repeats exactly and does not depend on where its data
lie.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.data.corpus import Corpus
from model.share import WHOLE, Share

RESIDENT_LIMIT_BYTES = 2**30
_RESIDENT_DTYPE = torch.int32
_FETCHED_AHEAD = 4  # batches
_DRAWN_AHEAD = 256  # batches whose starts go to the device in one copy

Batch = tuple[Tensor, Tensor]
"""Inputs and targets, both (B, T) int64 on the device: the targets are the inputs one token later."""


class Batches(Protocol):
    """What a training loop takes its batches from.

    `waited_s`: seconds that the loop waited for data so far. Nothing for resident data, whose gathering is
    work of the device.
    """

    waited_s: float

    def next(self, batch_size: int, block_size: int) -> Batch:
        """The next batch: (batch_size, block_size), of this process' share. The sizes may change from batch
        to batch.

        Raises ValueError where the training part has no window of so many tokens.
        """
        ...

    def example(self, batch_size: int, block_size: int) -> Batch:
        """A batch of this shape for warming up: always the same, and not part of the sequence of batches."""
        ...

    def close(self) -> None:
        """Give back what is held. May be called twice."""
        ...


def open_batches(
    corpus: Corpus,
    seed: int,
    device: torch.device,
    resident_limit_bytes: int = RESIDENT_LIMIT_BYTES,
    share: Share = WHOLE,
) -> Batches:
    """Batches of `corpus.train`: resident where it takes at most `resident_limit_bytes` of the device's
    memory (4 bytes a token), streamed otherwise. Several processes get their shares of the batches that one
    process would get with the same seed."""
    generator = torch.Generator().manual_seed(seed)
    windows = Windows(len(corpus.train), corpus.record_tokens, generator, share)
    if len(corpus.train) * _RESIDENT_DTYPE.itemsize <= resident_limit_bytes:
        return ResidentBatches(corpus.train, windows, device)
    tokens = np.asarray(corpus.train)  # a plain view: slices of np.memmap are slow to make
    return StreamedBatches(tokens, windows, device)


@dataclass
class Windows:
    """Draws where windows begin: multiples of `record_tokens`, each equally likely."""

    n_tokens: int
    record_tokens: int
    generator: torch.Generator
    share: Share = WHOLE

    def starts_of_share(self, batch_size: int, block_size: int) -> Tensor:
        """(batch_size, 1): what all processes train on next is drawn, and this one's share of it returned."""
        rank, processes = self.share.rank, self.share.processes
        if self.share.by_micro_batch:
            return [self.starts(batch_size, block_size) for _ in range(processes)][rank]
        return self.starts(processes * batch_size, block_size)[rank * batch_size : (rank + 1) * batch_size]

    def starts(self, batch_size: int, block_size: int, generator: torch.Generator | None = None) -> Tensor:
        """(batch_size, 1), such that the `block_size + 1` tokens of each window exist."""
        if self.n_tokens <= block_size:
            raise ValueError(
                f"expected more training tokens than a window's {block_size}, got {self.n_tokens}"
            )
        choices = (self.n_tokens - block_size - 1) // self.record_tokens + 1
        drawn = torch.randint(choices, (batch_size, 1), generator=generator or self.generator)
        return drawn * self.record_tokens

    def starts_of_example(self, batch_size: int, block_size: int) -> Tensor:
        return self.starts(batch_size, block_size, torch.Generator().manual_seed(0))


class ResidentBatches:
    """All tokens lie on the device, which gathers the windows itself.

    Where they begin is drawn for `ahead` batches at once, so that a step copies nothing from the host. If the
    size changes, the generator goes back to the first batch that was not taken.
    """

    def __init__(
        self,
        tokens: npt.NDArray[np.uint16],
        windows: Windows,
        device: torch.device,
        ahead: int = _DRAWN_AHEAD,
    ) -> None:
        self.waited_s = 0.0
        self._tokens = torch.from_numpy(tokens.astype("int32")).to(device)
        self._windows = windows
        self._ahead = ahead
        self._size = (0, 0)
        self._starts = torch.empty(0, 0)  # (batches drawn, B) on the device
        self._taken = 0
        self._state = windows.generator.get_state()  # before they were drawn

    def next(self, batch_size: int, block_size: int) -> Batch:
        size = (batch_size, block_size)
        if size != self._size and self._taken < len(self._starts):
            self._go_back()
        if size != self._size or self._taken == len(self._starts):
            self._draw(size)
        self._taken += 1
        return self._gather(self._starts[self._taken - 1], block_size)

    def example(self, batch_size: int, block_size: int) -> Batch:
        starts = self._windows.starts_of_example(batch_size, block_size)
        return self._gather(starts.flatten().to(self._tokens.device), block_size)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _draw(self, size: tuple[int, int]) -> None:
        self._state = self._windows.generator.get_state()
        drawn = torch.stack([self._windows.starts_of_share(*size).flatten() for _ in range(self._ahead)])
        device = self._tokens.device
        if device.type == "cuda":  # from pinned memory the copy need not be waited for
            drawn = drawn.pin_memory()
        self._starts = drawn.to(device, non_blocking=True)
        self._size, self._taken = size, 0

    def _go_back(self) -> None:
        self._windows.generator.set_state(self._state)
        for _ in range(self._taken):
            self._windows.starts_of_share(*self._size)

    def _gather(self, starts: Tensor, block_size: int) -> Batch:
        """`starts`: (B,) on the device."""
        every_window = self._tokens.unfold(0, block_size + 1, 1)  # a view
        return _split(every_window[starts].long())


@dataclass(frozen=True)
class _Fetch:
    """A batch on its way, and the generator's state before its windows were drawn."""

    batch_size: int
    block_size: int
    state: Tensor
    window: Future[Tensor]


class StreamedBatches:
    """The tokens stay where they are, in a file mapped into memory. A thread fetches the next batches while
    the device works, into pinned memory for a GPU, which copies from there without stopping.

    The batches fetched ahead are of the sizes last asked for. Where those change, they are dropped, the
    generator goes back to where they began, and one wait is paid.
    """

    def __init__(self, tokens: npt.NDArray[np.uint16], windows: Windows, device: torch.device) -> None:
        self.waited_s = 0.0
        self._tokens = tokens
        self._windows = windows
        self._device = device
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._ahead: deque[_Fetch] = deque()

    def next(self, batch_size: int, block_size: int) -> Batch:
        began_s = time.perf_counter()
        if self._ahead and (self._ahead[0].batch_size, self._ahead[0].block_size) != (batch_size, block_size):
            self._drop()
        while len(self._ahead) <= _FETCHED_AHEAD:
            self._ahead.append(self._fetch(batch_size, block_size))
        window = self._ahead.popleft().window.result()
        self.waited_s += time.perf_counter() - began_s
        return _split(window.to(self._device, non_blocking=True))

    def example(self, batch_size: int, block_size: int) -> Batch:
        starts = self._windows.starts_of_example(batch_size, block_size)
        return _split(self._gather(starts, block_size).to(self._device))

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _fetch(self, batch_size: int, block_size: int) -> _Fetch:
        state = self._windows.generator.get_state()
        starts = self._windows.starts_of_share(batch_size, block_size)
        return _Fetch(batch_size, block_size, state, self._thread.submit(self._gather, starts, block_size))

    def _drop(self) -> None:
        self._windows.generator.set_state(self._ahead[0].state)
        for fetch in self._ahead:
            fetch.window.cancel()
        self._ahead.clear()

    def _gather(self, starts: Tensor, block_size: int) -> Tensor:
        """The windows (B, T + 1), int64, on the host."""
        window = torch.empty(
            (len(starts), block_size + 1), dtype=torch.int64, pin_memory=self._device.type == "cuda"
        )
        rows = window.numpy()
        for row, start in zip(rows, starts.flatten().tolist(), strict=True):
            row[:] = self._tokens[start : start + block_size + 1]
        return window


def _split(window: Tensor) -> Batch:
    return window[:, :-1], window[:, 1:]

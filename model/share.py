"""What one of several processes that train together takes of each step: pure.

Together they train on the very sequences that one process would: its micro-batches in turn where their number
divides by the number of processes, else equal rows of each micro-batch. Shares are equal, so that the mean
over the processes is the mean over the sequences.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """That of process `rank` (from 0) of `processes`. `by_micro_batch`: of every `processes` micro-batches it
    takes one, whole; otherwise it takes its rows of each."""

    rank: int = 0
    processes: int = 1
    by_micro_batch: bool = True

    @staticmethod
    def of(rank: int, processes: int, grad_accum: int) -> Share:
        return Share(rank, processes, by_micro_batch=grad_accum % processes == 0)

    def micro_batches(self, grad_accum: int) -> int:
        """How many micro-batches of a step it passes through the model."""
        return grad_accum // self.processes if self.by_micro_batch else grad_accum

    def sequences(self, batch_size: int) -> int:
        """Of how many sequences each of them is."""
        return batch_size if self.by_micro_batch else batch_size // self.processes


WHOLE = Share()
"""That of a process which trains alone."""

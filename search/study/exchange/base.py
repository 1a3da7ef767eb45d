"""What the processes of one study tell each other across machines: the seam to its database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from search.record.record import Record


class TooLate(Exception):
    """Another process has claimed a run since this one looked: decide again."""


class Exchange(Protocol):
    """What a process tells the other machines of its study, and hears of them."""

    @property
    def is_shared(self) -> bool:
        """Whether other machines can work on the study at all."""
        ...

    def start_renewing(self) -> None:
        """Say that this process works on the study, and renew its leases from now on, until `close`."""
        ...

    def close(self) -> None: ...

    def others(self) -> bool:
        """Whether a process of any other machine or folder works on the study."""
        ...

    def deciding(self) -> AbstractContextManager[None]:
        """No other process of the study decides meanwhile, unless this one is stopped for long."""
        ...

    def going(self) -> list[Record]:
        """The runs of other processes, as far as they have come. What this process decides from now on
        supposes them."""
        ...

    def claim(self, partial: Record) -> None:
        """Take a run that was decided on. Raises TooLate."""
        ...

    def keep(self, partial: Record) -> None:
        """What the run has spent so far: the next renewal says so."""
        ...

    def renew(self) -> None:
        """This process lives, and so do its runs, as far as they have come."""
        ...

    def expire(self) -> int:
        """Record what lost runs had spent whose lease has run out. Returns how many there were."""
        ...

    def finish(self, record: Record) -> bool:
        """End the claim of a run and give its record to all. False where its lease had run out, and what it
        had spent until then is recorded already: nothing is given then."""
        ...

    def give(self, records: Sequence[Record]) -> None:
        """Records that others may lack; those that are there stay as they are."""
        ...

    def keep_config(self, config: Mapping[str, Any]) -> None:
        """As it may be written down: what a report says of the study."""
        ...

    def lacking(self, known: Collection[str]) -> list[Record]:
        """The records that are not known here by the names of their runs, in the order in which they came."""
        ...

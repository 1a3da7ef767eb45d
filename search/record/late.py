"""Runs whose lease ran out: what they had spent until then, and what came of them after all. Pure.

A process of which nothing is heard for long may have died, or may only have been stopped. Its run counts as
interrupted, and its configuration is tried again. Where it comes to an end after all, its result is kept, but
ranks nowhere: another run stands in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from search.record.flags import Flag
from search.record.outcome import Outcome
from search.record.record import Record

EXPIRED = "nothing was heard of its process for so long that its lease ran out"


def cut_off_by_expiry(partial: Record) -> Record:
    """The record of a run as far as its process had told, whose lease has run out."""
    return replace(partial, outcome=Outcome.CRASHED, reason=EXPIRED, interrupted=True, values={})


def late(record: Record) -> Record:
    """The record of a run that ended after its lease had run out, which has no trial's number yet. It has no
    values to rank by, and its joules stand for those that were recorded when the lease ran out."""
    return replace(
        record,
        trial=-1,
        run_id=f"{record.run_id}-late",
        outcome=Outcome.CRASHED,
        reason=f"it ended as {record.outcome} after its lease had run out and it was tried again elsewhere",
        interrupted=True,
        values={},
        flags=(*record.flags, Flag.LATE),
        late_of=record.run_id,
    )


def each_run_once(records: Sequence[Record]) -> list[Record]:
    """Without those that were written when a lease ran out, of runs whose late result is there too."""
    replaced = {record.late_of for record in records if record.late_of is not None}
    return [record for record in records if record.run_id not in replaced]

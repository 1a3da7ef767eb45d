"""Whether a study goes on with the code that trained its baseline: an old baseline beside new code is no
comparison. Pure.

What counts is what trains and meters (`provenance.TRAINS`), and torch. Other code may change between two
starts of a study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.config.schema import ALLOW
from search.errors import UserError
from search.record.flags import Flag
from search.record.outcome import Role
from search.record.record import Record, part_of

_SHOWN = 8  # digits of a commit or a digest


def check_code(now: Mapping[str, Any], records: Sequence[Record], study: str, on_change: str) -> str | None:
    """`now` is the provenance of this process. Raises UserError where its code is another than the baseline's
    and the person did not allow that; where they did, returns a line that says what is different."""
    begun = _of_baseline(records)
    differs = "" if begun is None else "; ".join(changes(begun.provenance, now))
    if not differs:
        return None
    if on_change == ALLOW:
        return f"{differs}: the runs that follow are marked ({Flag.CODE_CHANGED})"
    raise UserError(
        f"study {study!r}: its baseline was trained by other code ({differs}), with which new runs do not "
        "compare; put it back, type study.on_change=allow to go on with the new runs marked, or "
        "study.name=OTHER for a new study"
    )


def marked(record: Record, records: Sequence[Record]) -> Record:
    """The record of a run that has just ended, flagged where other code trained it than the baseline."""
    begun = _of_baseline(records)
    if begun is None or not changes(begun.provenance, record.provenance):
        return record
    return replace(record, flags=(*record.flags, Flag.CODE_CHANGED))


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, in words. What one of the two does not know is no difference."""
    found = []
    ours, theirs = part_of(now, "code"), part_of(before, "code")
    if _differ(theirs.get("training_sha256"), ours.get("training_sha256")):
        found.append(f"what trains and meters: {_state(theirs)}, now {_state(ours)}")
    torch = part_of(before, "software").get("torch"), part_of(now, "software").get("torch")
    if _differ(*torch):
        found.append(f"torch {torch[0]}, now {torch[1]}")
    return found


def _of_baseline(records: Sequence[Record]) -> Record | None:
    """Of its first run, or of the one that looked for its target, where that came first."""
    roles = (Role.TARGET, Role.BASELINE)
    return next((one for one in records if one.role in roles and one.outcome.completes), None)


def _state(code: Mapping[str, Any]) -> str:
    commit, digest = code.get("git_commit"), str(code.get("training_sha256"))
    if not commit:
        return f"digest {digest[:_SHOWN]}"
    dirty = " with uncommitted changes" if code.get("git_dirty") else ""
    return f"commit {str(commit)[:_SHOWN]}{dirty}"


def _differ(before: Any, now: Any) -> bool:
    return before is not None and now is not None and before != now

"""From the command that submits jobs to the command that each of them runs (pure)."""

from __future__ import annotations

from collections.abc import Sequence

# The storage of a job's study. It may hold a password, and everybody can read the command lines of a machine.
VARIABLE = "JOULESEARCH_STORAGE"
_REPLACED = ("launcher", "reports", "storage")


def job_arguments(typed: Sequence[str], reports: str) -> list[str]:
    """Options and overrides as they were typed, with the launcher off, the storage from the environment and
    the job's own folder for what it writes."""
    kept = [one for one in typed if one.startswith("--") or _first(one) not in _REPLACED]
    return [*kept, "launcher=none", f"storage=${{oc.env:{VARIABLE}}}", f"reports={reports}"]


def without_storage(typed: Sequence[str]) -> tuple[str, ...]:
    """What may be kept of them in a file or shown: not the storage, which may hold a password."""
    return tuple(one for one in typed if one.startswith("--") or _first(one) != "storage")


def _first(override: str) -> str:
    """`launcher` of `+launcher.slurm_parameters.qos=high`."""
    return override.lstrip("+~").partition("=")[0].partition(".")[0]

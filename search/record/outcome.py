"""Why a run was made, and how it ended."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Why a run was made."""

    TARGET = "target"  # trained to its end, to find the loss that target_loss=auto stands for
    BASELINE = "baseline"
    SEARCH = "search"
    FIT = "fit"  # a recipe at some length, to find the smallest that reaches the target
    CONFIRM = "confirm"  # a recipe of one fixed length, with a fresh seed, beside the baseline
    SINGLE = "single"  # by search.train, of no study

    @property
    def confirms(self) -> bool:
        """Whether such a run belongs to the confirmation and not to the search."""
        return self in (Role.FIT, Role.CONFIRM)


class Outcome(StrEnum):
    """How a run ended. Optuna's own COMPLETE, PRUNED or FAIL is derived from it, never the other way
    round."""

    REACHED = "REACHED"
    OUT_OF_BUDGET = "OUT_OF_BUDGET"
    DOMINATED = "DOMINATED"
    DIVERGED = "DIVERGED"
    CRASHED = "CRASHED"
    UNMEASURED = "UNMEASURED"

    @property
    def completes(self) -> bool:
        """Whether samplers learn from it: from every run whose values can be trusted."""
        return self not in (Outcome.CRASHED, Outcome.UNMEASURED)

    @property
    def advice(self) -> str:
        return _ADVICE[self]


_ADVICE = {
    Outcome.REACHED: "reached the target",
    Outcome.OUT_OF_BUDGET: "ended at its step, token, second or joule budget before the target; "
    "raise the budget if many trials end here",
    Outcome.DOMINATED: "ended early: a finished trial had already reached the target for less of everything",
    Outcome.DIVERGED: "the loss became infinite, or rose far above where it started",
    Outcome.CRASHED: "the run raised an error or its worker died; the reason is in its record",
    Outcome.UNMEASURED: "the meter could not be trusted, so the run has no energy and cannot rank",
}

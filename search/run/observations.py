"""What a run shows of itself beside joules and losses: what it waited for, and whether it stood still."""

from __future__ import annotations

from model.progress import Progress
from search.console.plural import counted
from search.record.flags import Flag
from search.record.ledger import Phase
from search.run.pauses import TOO_LONG
from search.run.state import RunState

DATA_WAIT = 0.02  # of the training time: above it, a run measured its loader
ONE_UPDATE = 0.01  # of the counted seconds: above it, a run is short for its meter


def own_flags(state: RunState) -> tuple[Flag, ...]:
    """The flags that follow from a run's state when it has ended."""
    found = {
        Flag.SHORT_WINDOW: short_window(state.counted[1], state.account.counter.update_period_s),
        Flag.WAITED_FOR_DATA: state.progress.waited_s > DATA_WAIT * state.account.time_s[Phase.TRAIN],
        Flag.PAUSED: state.stillness.at_most_s > 0.0,
    }
    return tuple(flag for flag, holds in found.items() if holds)


def observed(state: RunState) -> dict[str, float]:
    return compile_counts(state.progress) | data_wait(state) | paused(state)


def short_window(counted_s: float, update_period_s: float) -> bool:
    """Whether a run is so short that one update of its meter is over 1 % of what counts."""
    return update_period_s > ONE_UPDATE * counted_s


def long_enough_s(update_period_s: float) -> float:
    """The shortest time of which one update of the meter is no more than that."""
    return update_period_s / ONE_UPDATE


def data_wait(state: RunState) -> dict[str, float]:
    """What a run waited for data, in seconds and in joules of its mean training power; empty if it did not
    wait."""
    waited_s, train_s = state.progress.waited_s, state.account.time_s[Phase.TRAIN]
    if waited_s == 0.0:
        return {}
    ledger = state.account.ledger()
    if ledger is None or train_s <= 0:
        return {"data_wait_s": waited_s}
    wait_j = ledger.energy_j[Phase.TRAIN] * min(1.0, waited_s / train_s)
    return {"data_wait_s": waited_s, "data_wait_j": wait_j}


def paused(state: RunState) -> dict[str, float]:
    """How long a run's process stood still and how often it was continued; empty if neither."""
    still = state.stillness
    return {"paused_s": still.paused_s, "continued": still.continued} if still.at_most_s else {}


def compile_counts(progress: Progress) -> dict[str, float]:
    """torch's own counts of a run that compiled; else empty."""
    if progress.compiled is None:
        return {}
    return {"compiled_graphs": progress.compiled.graphs, "graph_breaks": progress.compiled.graph_breaks}


def paused_too_long(state: RunState) -> str:
    """Why joules and seconds are not those of the work, where the process stood still for part of them."""
    whole_s = state.account.last.time_s - state.account.first.time_s
    still = state.stillness
    if still.at_most_s <= TOO_LONG * whole_s:
        return ""
    if still.paused_s > TOO_LONG * whole_s:
        how_long = f"stood still for {still.paused_s:.1f} s of {whole_s:.1f} s (stopped, suspended or asleep)"
    else:
        times = counted(still.continued, "time")
        how_long = f"was stopped and continued {times} in {whole_s:.1f} s, each for less than can be timed"
    return f"the run's process {how_long}, and what was drawn meanwhile cannot be told from its work"


def unresolved(state: RunState) -> str:
    """Why the counted phases cannot be believed, where they took time and the counter hardly moved in them.

    A run of 0 J would win every ranking, and one that is shorter than its meter's period may read as little.
    """
    energy_j, time_s = state.counted
    phases = state.request.counted_phases.phases
    if energy_j is None or time_s == 0.0 or state.account.resolves(phases):
        return ""
    told = f"the meter counted {energy_j:.3g} J over {time_s:.3f} s of {' and '.join(phases)}"
    error_j = state.account.error_j(phases)
    return f"{told}, +- {error_j:.3g} J by its period and resolution: the run is too short for it"

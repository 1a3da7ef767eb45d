"""The steps of an exam, what of them remains, and what a deadline demands. Pure: values in, values out.

Two things end a step's process before its own end: a slice (this call has to end; another one goes on) and a
budget (the step has had its time). A step that consists of many measurements is asked to begin nothing new,
and stopped later; one that is a single measurement is only begun where it is expected to fit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from search.errors import MORE


class StepName(StrEnum):
    """In the order in which they are done."""

    ENVIRONMENT = "environment"
    METER = "meter"
    TESTS = "tests"
    VARIANTS = "variants"
    PROFILES = "profiles"
    STUDY = "study"
    REPORT = "report"


@dataclass(frozen=True)
class Step:
    """`needs`: the steps without whose success it is not begun. `divisible`: it consists of many
    measurements, each of which is kept, so that it goes on where it was ended."""

    does: str
    needs: tuple[StepName, ...] = ()
    divisible: bool = False


STEPS: Mapping[StepName, Step] = {
    StepName.ENVIRONMENT: Step("what this machine has: software, device, meter, disk, data"),
    StepName.METER: Step(
        "the meters side by side, idle and under load, and what reading them costs", (StepName.ENVIRONMENT,)
    ),
    StepName.TESTS: Step(
        "the tests that need a GPU: every kernel against its reference", (StepName.ENVIRONMENT,)
    ),
    StepName.VARIANTS: Step(
        "joules and seconds a step of each kernel, beside the baseline's", (StepName.ENVIRONMENT,), True
    ),
    StepName.PROFILES: Step(
        "where the time and the joules of each measured kernel go",
        (StepName.ENVIRONMENT, StepName.VARIANTS),
        True,
    ),
    StepName.STUDY: Step("search, fit and confirm", (StepName.ENVIRONMENT,), True),
    StepName.REPORT: Step("the study's report, and a summary here"),
}


OF_KERNELS = (StepName.VARIANTS, StepName.PROFILES)
"""Steps that take one kernel after another, in as many processes as it needs."""


class State(StrEnum):
    """Of a step. WAITING also means begun, with more to do."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class StepProgress:
    """What is known of a step. `status`: the exit status of its last process, None where it had none;
    `spent_s`: wall-clock seconds of all its processes; `at`: when that was written, ISO 8601, UTC; `stops`:
    how often the end of a slice cut it off."""

    state: State = State.WAITING
    status: int | None = None
    spent_s: float = 0.0
    at: str = ""
    note: str = ""
    stops: int = 0

    @property
    def over(self) -> bool:
        return self.state is not State.WAITING


NOTHING = StepProgress()
Progress = Mapping[StepName, StepProgress]


@dataclass(frozen=True)
class Limits:
    """Seconds. See `search.exam.settings`, in minutes there."""

    study_s: float
    variants_s: float
    profiles_s: float
    meter_s: float
    let_end_s: float
    stop_s: float

    def budget_s(self, step: StepName) -> float | None:
        """What all processes of a step may take together; None: no limit."""
        budgets_s = {
            StepName.STUDY: self.study_s,
            StepName.VARIANTS: self.variants_s,
            StepName.PROFILES: self.profiles_s,
        }
        return budgets_s.get(step)


# Stated, not measured on the machine at hand: a first guess for a GPU, until a call has done the step.
ENVIRONMENT_S, TESTS_S, REPORT_S = 30.0, 180.0, 20.0
METER_AROUND_S = 30.0


def estimate_s(step: StepName, progress: StepProgress, limits: Limits) -> float:
    """Seconds that the rest of a step is expected to take; what it took before, where that is known."""
    if progress.over and step is not StepName.ENVIRONMENT:
        return 0.0
    budget_s = limits.budget_s(step)
    if budget_s is not None:
        return max(0.0, budget_s - progress.spent_s)
    if progress.state is State.DONE:
        return progress.spent_s
    guess_s = {
        StepName.ENVIRONMENT: ENVIRONMENT_S,
        StepName.METER: 2 * limits.meter_s + METER_AROUND_S,
        StepName.TESTS: TESTS_S,
        StepName.REPORT: REPORT_S,
    }[step]
    return max(guess_s, progress.spent_s) if progress.stops else guess_s


def blocked_by(step: StepName, progress: Progress, wanted: Collection[StepName]) -> StepName | None:
    """The step that failed, without which this one is not begun."""
    return next(
        (
            name
            for name in STEPS[step].needs
            if name in wanted and progress.get(name, NOTHING).state in (State.FAILED, State.SKIPPED)
        ),
        None,
    )


def remaining(progress: Progress, wanted: Collection[StepName]) -> tuple[StepName, ...]:
    """The steps that are still to be done, in order."""
    return tuple(step for step in StepName if step in wanted and not progress.get(step, NOTHING).over)


class End(StrEnum):
    """Why a process is to end before its own end."""

    SLICE = "slice"
    BUDGET = "budget"


@dataclass(frozen=True)
class Deadline:
    """Moments of a monotonic clock: from `ask_s` on a step begins nothing new, at `stop_s` it is stopped, at
    `kill_s` it is killed."""

    ask_s: float
    stop_s: float
    kill_s: float
    reason: End


def deadline(
    step: StepName, now_s: float, slice_end_s: float | None, spent_s: float, limits: Limits
) -> Deadline | None:
    """When a process that begins now has to end: with the slice or with the step's budget, whichever comes
    first. None where neither limits it."""
    budget_s = limits.budget_s(step)
    ends = [] if budget_s is None else [(now_s + max(0.0, budget_s - spent_s), End.BUDGET)]
    ends += [] if slice_end_s is None else [(slice_end_s, End.SLICE)]
    if not ends:
        return None
    end_s, reason = min(ends)
    stop_s = max(now_s, end_s - limits.stop_s)
    ask_s = max(now_s, end_s - limits.let_end_s) if STEPS[step].divisible else stop_s
    return Deadline(ask_s, stop_s, max(stop_s, end_s), reason)


def fits(step: StepName, left_s: float | None, expected_s: float, is_first: bool, limits: Limits) -> bool:
    """Whether to begin a step in what is left of a slice (None: no slice). A divisible one needs time to
    begin something; any other has to fit, unless it is the first of its slice and would never be begun."""
    if left_s is None:
        return True
    if STEPS[step].divisible:
        return left_s > limits.let_end_s + min(limits.stop_s, expected_s)
    return is_first or left_s >= expected_s + limits.stop_s


class Action(IntEnum):
    """What is sent to a step's process; each only once, and never a weaker one after a stronger."""

    NONE = 0
    ASK = 1
    STOP = 2
    KILL = 3


def action(now_s: float, due: Deadline | None, sent: Action) -> Action:
    """What is to be sent now; NONE where nothing is."""
    if due is None:
        return Action.NONE
    wanted = Action.NONE
    for moment_s, one in ((due.ask_s, Action.ASK), (due.stop_s, Action.STOP), (due.kill_s, Action.KILL)):
        wanted = one if now_s >= moment_s else wanted
    return wanted if wanted > sent else Action.NONE


MOST_STOPS = 2


def after(
    step: StepName, before: StepProgress, status: int, ended: End | None, by_person: bool, at: str
) -> StepProgress:
    """A step's progress after a process of it, whose seconds `before` holds already. `ended`: what ended it
    early, None where it ended by itself; `by_person`: a signal to the exam did."""
    now = replace(before, status=status, at=at, note="")
    if status == 0:
        return replace(now, state=State.DONE)
    if by_person:
        return replace(now, state=State.WAITING, note="stopped")
    if ended is End.BUDGET:
        return replace(now, state=State.DONE, note="its time is spent")
    if ended is End.SLICE:
        return _after_slice(step, now)
    if step in OF_KERNELS and (status == MORE or status < 0):
        return replace(now, state=State.WAITING)
    said = f"its process ended by signal {-status}" if status < 0 else f"exit status {status}"
    return replace(now, state=State.FAILED, note=said)


def _after_slice(step: StepName, now: StepProgress) -> StepProgress:
    now = replace(now, stops=now.stops + 1)
    if STEPS[step].divisible or now.stops < MOST_STOPS:
        return replace(now, state=State.WAITING, note="cut off by the end of a slice")
    return replace(
        now,
        state=State.FAILED,
        note=f"cut off {now.stops} times by the end of a slice; type a longer exam.slice_minutes, and "
        f"exam.again=[{step}]",
    )

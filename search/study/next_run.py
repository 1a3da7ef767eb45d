"""What a study runs next: a pure function of its records, of the trials that wait, and of its settings.

First the run that looks for the target, where `target_loss=auto`, and the baseline. Then the trials: an
interrupted configuration once more, a recipe of `study.first`, one that somebody enqueued, one that leads
once more with another seed (`budget.replicates`), or what the sampler proposes. Then the baseline again,
until the study can say how far two runs of one configuration differ. At the end the
confirmation of the best (`next_confirmation`).

A killed study continues as it would have, because nothing but these values decides. Where several runs go on
at once, in this process or in others, those that have not ended are pending: no other run tries what they
try, and the sampler knows of them. The baseline and the confirmation run alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from typing import Any, Protocol

from model.config import ConfigError
from search.config.schema import StudyConfig
from search.confirm.replicates import replicate_due
from search.confirm.rivals import rival_margin, rivals_of
from search.record.forecast import Forecast
from search.record.noise import NoiseSettings, another_baseline
from search.record.outcome import Outcome, Role
from search.record.prospect import prospect
from search.record.record import Record
from search.run.request import RunRequest
from search.sampling.ask import Proposal
from search.sampling.enqueued import Enqueued, checked_params, complete_proposal
from search.sampling.forecast import learnt_forecast
from search.sampling.history import pending_trial, sampler_history
from search.sampling.proposal import derived_seed, propose
from search.study.budget import counted_trials, cut_off_by_study, search_limit_j, spent_j, spent_s
from search.study.next_confirmation import confirms_elsewhere, next_confirmation
from search.study.next_first import first_left, point_of
from search.study.search_settings import MAX_ATTEMPTS, SearchSettings

# The part of a seed that sets runs apart from proposals.
SEED_OF_RUN = 1_000_000
SEED_OF_AUDIT = 6_000_000


class NoMoreTrials(Enum):
    """Why a study tries no further configuration."""

    ALL_RUN = auto()
    ONLY_CONFIRM = auto()
    BUDGET_SPENT = auto()
    TIME_SPENT = auto()
    NOT_WORTH = auto()
    SPACE_EXHAUSTED = auto()


class NoResult(Enum):
    """Why a study ends before its trials."""

    BASELINE_FAILED = auto()
    TARGET_NOT_FOUND = auto()
    INTERRUPTED_TOO_OFTEN = auto()


@dataclass(frozen=True)
class Refusal:
    """An enqueued trial that cannot be run, and why."""

    enqueued: Enqueued
    reason: str


@dataclass(frozen=True)
class NextRun:
    """`request` is None where nothing is left to do, or, if it `waits`, until a run has ended. It has no
    `run_id` yet, and no trial number unless an enqueued trial waits for it. `warnings` are the sampler's.
    `confirms_on`: another device, which alone may go on with the confirmation."""

    request: RunRequest | None
    refusals: tuple[Refusal, ...] = ()
    no_more_trials: NoMoreTrials | None = None
    warnings: tuple[str, ...] = ()
    waits: bool = False
    confirms_on: str | None = None


class Running(Protocol):
    """A run that has not ended: its request, or its record so far."""

    @property
    def role(self) -> Role: ...

    @property
    def index(self) -> int: ...

    @property
    def params(self) -> Mapping[str, Any]: ...

    @property
    def config(self) -> Mapping[str, Any]: ...


def next_run(
    records: Sequence[Record],
    waiting: Sequence[Enqueued],
    settings: SearchSettings,
    running: Sequence[Running] = (),
) -> NextRun:
    """`waiting`: the enqueued trials, in their order. Those before the one that runs are refused. `running`:
    the runs that have not ended."""
    if any(request.role is not Role.SEARCH for request in running):
        return NextRun(None, waits=True)
    searched = [_as_it_counts(record, settings.config) for record in records if not record.role.confirms]
    found = _next_of_search(searched, waiting, settings, running)
    if running and (found.request is None or found.request.role is not Role.SEARCH):
        return replace(found, request=None, waits=True)
    if found.request is not None:
        return replace(found, request=_with_rivals(found.request, records, settings))
    request = next_confirmation(records, settings)
    elsewhere = None if request is None else confirms_elsewhere(records, settings)
    return replace(found, request=None if elsewhere else request, confirms_on=elsewhere)


def _as_it_counts(record: Record, config: StudyConfig) -> Record:
    """A run that the end of the study's joules cut off counts as interrupted: once there are more, it is
    tried again and teaches nothing until then."""
    if not cut_off_by_study(record, config):
        return record
    return replace(record, outcome=Outcome.CRASHED, interrupted=True)


def _next_of_search(
    records: Sequence[Record],
    waiting: Sequence[Enqueued],
    settings: SearchSettings,
    running: Sequence[Running],
) -> NextRun:
    if settings.target_loss(records) is None:
        return NextRun(_baseline_request(Role.TARGET, records, settings, _last_of(Role.TARGET, records)))
    if not baseline_done(records):
        return NextRun(_baseline_request(Role.BASELINE, records, settings, _last_of(Role.BASELINE, records)))
    trial = _next_trial(records, waiting, settings, running)
    may_repeat = trial.request is None and not settings.only_confirm
    if may_repeat and _baseline_runs_again(records, settings.config):
        return replace(trial, request=_baseline_request(Role.BASELINE, records, settings, None))
    return trial


def why_it_ends(
    record: Record, records: Sequence[Record], found_before: int, settings: SearchSettings
) -> NoResult | None:
    """Why nothing may follow the run that has just ended, or None. `records` hold it already; the first
    `found_before` of them are of processes before this one, whose failures another attempt may mend."""
    before_trials = (Role.TARGET, Role.BASELINE)
    if record.role not in before_trials:
        return None
    of_baseline = [one for one in records[found_before:] if one.role in before_trials]
    too_often = sum(one.interrupted for one in of_baseline) >= MAX_ATTEMPTS
    lost = not record.outcome.completes and (not record.interrupted or too_often)
    if lost and not baseline_done(records):
        return NoResult.BASELINE_FAILED
    if too_often:
        return NoResult.INTERRUPTED_TOO_OFTEN
    if record.role is Role.TARGET and not record.interrupted and settings.target_loss(records) is None:
        return NoResult.TARGET_NOT_FOUND
    return None


def baseline_done(records: Sequence[Record]) -> bool:
    return any(record.role is Role.BASELINE and record.outcome.completes for record in records)


def interrupted(records: Sequence[Record], running: Sequence[Running] = ()) -> Record | None:
    """The latest run of the first configuration whose every run was interrupted, while it has attempts
    left and does not run."""
    again = {request.index for request in running}
    attempts: dict[int, list[Record]] = {}
    for record in records:
        attempts.setdefault(record.index, []).append(record)
    for index, runs in attempts.items():
        if index not in again and all(run.interrupted for run in runs) and len(runs) < MAX_ATTEMPTS:
            return runs[-1]
    return None


def _last_of(role: Role, records: Sequence[Record]) -> Record | None:
    return next((record for record in reversed(records) if record.role is role), None)


def _baseline_runs_again(records: Sequence[Record], config: StudyConfig) -> bool:
    limit_j = config.budget.study_energy_j
    affordable = limit_j is None or spent_j(records) < limit_j
    noise = NoiseSettings(**asdict(config.noise))
    return affordable and another_baseline(records, config.objective.names, noise)


def _next_trial(
    records: Sequence[Record],
    waiting: Sequence[Enqueued],
    settings: SearchSettings,
    running: Sequence[Running],
) -> NextRun:
    if settings.only_confirm:
        return NextRun(None, no_more_trials=NoMoreTrials.ONLY_CONFIRM)
    limit_j = search_limit_j(records, settings.config)
    if limit_j is not None and spent_j(records) >= limit_j:
        return NextRun(None, no_more_trials=NoMoreTrials.BUDGET_SPENT)
    budget = settings.config.budget
    if budget.study_time_s is not None and spent_s(records) >= budget.study_time_s:
        return NextRun(None, no_more_trials=NoMoreTrials.TIME_SPENT)
    if counted_trials(records) + len(running) >= budget.n_trials:
        return NextRun(None, no_more_trials=NoMoreTrials.ALL_RUN)
    again = interrupted(records, running)
    if again is not None:
        proposal = Proposal(dict(again.params), again.system_attrs)
        return NextRun(_trial_request(proposal, again.config, again.index, records, settings, again))
    expected = prospect(records) if budget.uses is not None and not waiting else None
    if expected is not None and budget.uses is not None and not expected.pays(budget.uses):
        return NextRun(None, no_more_trials=NoMoreTrials.NOT_WORTH)
    index = len({record.index for record in records} | {request.index for request in running})
    known = first_left(records, settings, _keys(running, settings))
    if known is not None:
        point = point_of(known.values, settings)
        return NextRun(_trial_request(point, known.values, index, records, settings))
    refusals = []
    for enqueued in waiting:
        try:
            proposal = _proposal_for(enqueued, index, records, settings, running)
        except ConfigError as error:
            refusals.append(Refusal(enqueued, str(error)))
            continue
        values = settings.space.config(proposal.params)
        request = replace(_trial_request(proposal, values, index, records, settings), trial=enqueued.number)
        return NextRun(request, tuple(refusals), warnings=proposal.warnings)
    leader = _leader_to_repeat(records, settings, running)
    if leader is not None:
        point = Proposal(dict(leader.params))
        return NextRun(_trial_request(point, leader.config, index, records, settings), tuple(refusals))
    proposed = _propose(index, records, settings, running)
    if proposed is None:
        return NextRun(None, tuple(refusals), NoMoreTrials.SPACE_EXHAUSTED)
    values = settings.space.config(proposed.params)
    request = _trial_request(proposed, values, index, records, settings)
    return NextRun(request, tuple(refusals), warnings=proposed.warnings)


def _leader_to_repeat(
    records: Sequence[Record], settings: SearchSettings, running: Sequence[Running]
) -> Record | None:
    """A trial whose recipe runs again, with another seed: one of those that would be confirmed."""
    budget = settings.config.budget
    return replicate_due(
        records,
        settings.config.objective.names,
        max(1, settings.config.confirm.candidates),
        budget.replicates,
        budget.replicates_share,
        _keys(running, settings),
        settings.key_of_run,
    )


def _keys(running: Sequence[Running], settings: SearchSettings) -> list[str]:
    return [settings.key_of(request.config) for request in running]


def _proposal_for(
    enqueued: Enqueued,
    index: int,
    records: Sequence[Record],
    settings: SearchSettings,
    running: Sequence[Running],
) -> Proposal:
    """What to run for an enqueued trial: what it asks for; the sampler chooses the rest. Raises ConfigError
    where that cannot be run."""
    params = checked_params(enqueued.params, settings.space)
    point = complete_proposal(params, settings.space)
    if point is None:
        found = _propose(index, records, settings, running, params)
        if found is None:
            raise ConfigError("no configuration of the space with these values is left that runs here")
        return found
    config = settings.space.config(point.params)
    reason = settings.why_not(config)
    before = _tried(records, settings, running).get(settings.key_of(config))
    if reason is None and before is not None:
        reason = f"{before} has this configuration already"
    if reason is not None:
        raise ConfigError(reason)
    return point


def _propose(
    index: int,
    records: Sequence[Record],
    settings: SearchSettings,
    running: Sequence[Running],
    fixed: Mapping[str, Any] | None = None,
) -> Proposal | None:
    objectives = settings.config.objective.names
    lessons = [*records, *settings.prior]
    pending = [pending_trial(request.params, settings.space) for request in running]
    return propose(
        settings.space,
        settings.config.sampler,
        settings.config.study.seed,
        index,
        [
            *sampler_history(
                lessons,
                settings.space,
                objectives,
                settings.config.sampler.teach,
                settings.key_of_run,
                settings.trial_of_run,
            ),
            *pending,
        ],
        len(objectives),
        _tried(records, settings, running),
        settings.why_not,
        settings.key_of,
        fixed or {},
    )


def _tried(records: Sequence[Record], settings: SearchSettings, running: Sequence[Running]) -> dict[str, str]:
    """Keys of the configurations that need no further run, and what has run them."""
    runs = {settings.key_of_run(record): f"trial {record.trial}" for record in records}
    runs |= dict.fromkeys(_keys(running, settings), "a trial that runs")
    return runs | {settings.key_of(settings.config.run_values()): "the baseline"}


def _trial_request(
    proposal: Proposal,
    values: Mapping[str, Any],
    index: int,
    records: Sequence[Record],
    settings: SearchSettings,
    again: Record | None = None,
) -> RunRequest:
    config = settings.config
    values = dict(values) | {"seed": derived_seed(config.study.seed, index, SEED_OF_RUN)}
    limits, limit_j = config.limits(), search_limit_j(records, config)
    if limit_j is not None:
        left_j = limit_j - spent_j(records)
        limits = replace(limits, energy_j=min(left_j, limits.energy_j or left_j))
    return replace(
        settings.request(Role.SEARCH, proposal, values, records, again),
        index=index,
        limits=limits,
    )


def _with_rivals(request: RunRequest, records: Sequence[Record], settings: SearchSettings) -> RunRequest:
    """`records` hold those of the confirmation too, whose means are what a lucky run is set right by. A
    baseline runs to its end, and so does a replicate: what it takes is to be known."""
    if request.role is not Role.SEARCH or _is_replicate(request, records, settings):
        return request
    config = settings.config
    rivals = rivals_of(
        request.config,
        records,
        request.objectives,
        request.target_loss,
        rival_margin(config.budget.rival_margin, records),
        config.confirm,
        settings.key_of_run,
    )
    return replace(request, rivals=rivals, forecast=_forecast(request, records, settings))


def _is_replicate(request: RunRequest, records: Sequence[Record], settings: SearchSettings) -> bool:
    key = settings.key_of(request.config)
    return any(
        record.outcome.completes and settings.key_of_run(record) == key
        for record in records
        if record.role is Role.SEARCH
    )


def _forecast(request: RunRequest, records: Sequence[Record], settings: SearchSettings) -> Forecast | None:
    budget = settings.config.budget
    if budget.forecast is None:
        return None
    drawn = derived_seed(settings.config.study.seed, request.index, SEED_OF_AUDIT) / 2**31
    return learnt_forecast(records, budget.forecast, audit=drawn < budget.audit)


def _baseline_request(
    role: Role, records: Sequence[Record], settings: SearchSettings, again: Record | None
) -> RunRequest:
    proposal = Proposal(settings.space.base_params() or {})
    values = settings.space.config({}) | {"seed": settings.config.seed}
    return settings.request(role, proposal, values, records, again)

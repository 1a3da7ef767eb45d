"""What a study's records say, as values: the baseline, the fronts, the problem."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from model.metric import Metric, metric_of
from search.confirm.ablated_arms import AblationState
from search.confirm.replicates import Standing, replicated, standings
from search.confirm.settings import ConfirmSettings
from search.confirm.state import ConfirmationState, confirmation_state
from search.confirm.verdict import Verdict
from search.record.front import pareto_front
from search.record.ledger import CountedPhases
from search.record.lookup import is_lookup_like
from search.record.meter_info import MeterInfo
from search.record.noise import (
    NoiseFloor,
    baseline_runs,
    can_rank,
    decided_by,
    in_order,
    noise_floor,
    reference,
)
from search.record.outcome import Outcome, Role
from search.record.prior import PriorStudy
from search.record.prospect import Prospect, prospect
from search.record.record import Record
from search.report.view.ablation import study_ablation
from search.report.view.confirmation import claim_of, confirmed_saving_j, saving_trials
from search.report.view.cost import Accounting, SearchCost, accounting, ratio_of, search_cost
from search.report.view.foreseen import ForecastStops, forecast_stops
from search.report.view.mixed import data_of, refuse_mixed, to_the_target
from search.report.view.origin import Origin, origin
from search.report.view.side_by_side import SideBySide, side_by_side
from search.report.view.strata import OtherStratum
from search.report.view.values import flat

DEFAULT_OBJECTIVES = ("energy_to_target_j", "time_to_target_s")
RANKED_ROLES = (Role.SEARCH, Role.SINGLE)


@dataclass(frozen=True)
class Problem:
    """What had to be learned. A field is None where no record says it. Losses are as the `metric` minimises
    them: error rates where it is the accuracy.

    `unseen_share` is the share of validation tokens that the training text lacks.
    """

    dataset: str | None
    dataset_sha256: str | None
    target_loss: float | None
    ngram_loss: float | None
    ngram_order: int | None
    unseen_share: float
    metric: Metric

    @property
    def counting_reaches_target(self) -> bool:
        """Whether counting n-grams already gets to the target, so that no language model is needed."""
        known = self.target_loss is not None and self.ngram_loss is not None
        return known and self.target_loss >= self.ngram_loss  # type: ignore[operator]


class Saving(StrEnum):
    """What can be said of the best trial against the baseline, by `StudyView.decided_by`."""

    SAVES = "saves"
    WITHIN_NOISE = "within noise"
    NOTHING = "nothing saved"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class StudyView:
    """Everything that the report, the summary and the console say about a study.

    `feasible` are the runs that can rank (target reached, every objective known), `front` those of them that
    no other dominates, by the first objective. `best` is
    the dearest run of the recipe with the least of the first objective on average over its runs (of the next,
    where recipes are equal), the baseline aside. It need not save anything. `replicates` are the trials
    that ran another's recipe again, with that one's number. `baseline` is the run that
    stands for the baseline where it ran several times (the median), and `noise` says how far its runs differ.

    `lookup` are the feasible runs that are lookup-like: a class of their own. The front and the best among
    the others are `front_without_lookup` and `best_without_lookup`.

    `records` are the runs of the search, `confirming` those that fitted and confirmed its best: they rank
    nowhere, or the luckiest of several seeds would win. `confirmation` is what they say, None where there is
    nothing to confirm; `confirmation_off`: it was turned off. `prior` are the studies by which this one's
    space was narrowed. `ablation` says where the saving comes from, None where nobody asked. `other_strata`:
    the study's runs on other kinds of device, which are not among `records`.
    """

    study: str
    meter: MeterInfo | None
    problem: Problem
    objectives: tuple[str, ...]
    records: tuple[Record, ...]
    baseline: Record | None
    feasible: tuple[Record, ...]
    front: tuple[Record, ...]
    best: Record | None
    lookup: tuple[Record, ...]
    front_without_lookup: tuple[Record, ...]
    best_without_lookup: Record | None
    outcomes: Mapping[str, int]
    cost: SearchCost
    accountings: tuple[Accounting, ...]
    meters: SideBySide
    noise: NoiseFloor
    origin: Origin
    confirming: tuple[Record, ...] = ()
    confirmation: ConfirmationState | None = None
    replicates: Mapping[int, int] = field(default_factory=dict)
    prior: tuple[PriorStudy, ...] = ()
    confirmation_off: bool = False
    other_strata: tuple[OtherStratum, ...] = ()

    @property
    def claim(self) -> Verdict | None:
        """The verdict that stands in place of what the search's own runs say: SAVES, TIE or COSTS."""
        return claim_of(self.confirmation)

    def replicate_of(self, record: Record) -> int | None:
        """The first trial of the same recipe, where the record is a later one of the search."""
        return self.replicates.get(record.trial) if record.role is Role.SEARCH else None

    def other_runs(self, record: Record) -> list[Record]:
        """The other trials of the search that ran this one's recipe, with other seeds."""
        first = self.replicates.get(record.trial, record.trial)
        again = {trial for trial, one in self.replicates.items() if one == first}
        return [
            one
            for one in self.records
            if one is not record
            and one.role is Role.SEARCH
            and not one.interrupted
            and one.trial in {first, *again}
        ]

    @property
    def confirmable(self) -> bool:
        """Whether there is a baseline that recipes could be run beside."""
        return self.baseline is not None and self.baseline.outcome.completes and self.best is not None

    def confirmed(self, record: Record) -> bool:
        """Whether this is the run of the search whose recipe was confirmed: its verdict is SAVES."""
        return record.role is Role.SEARCH and record.trial in saving_trials(self.confirmation)

    ablation: AblationState | None = None

    @property
    def forecast_stops(self) -> ForecastStops | None:
        """What came of ending runs by the forecast of their loss; None where nothing was foreseen."""
        return forecast_stops(self.records)

    @property
    def prospect(self) -> Prospect | None:
        """What one more trial would have been expected to bring when the search ended."""
        return prospect(self.records)

    @property
    def runs(self) -> tuple[Record, ...]:
        """All of them: of the search, then of the confirmation."""
        return (*self.records, *self.confirming)

    @property
    def shown(self) -> tuple[Record, ...]:
        """The baseline, the rest of the front, and what joins it without lookup-like runs: the runs that
        figures and tables set side by side."""
        return _shown(self.baseline, self.front, self.front_without_lookup)

    @property
    def fronts_differ(self) -> bool:
        """Whether a lookup-like run is on the front, so that it is another one without them."""
        return any(map(self.is_lookup, self.front))

    @property
    def baseline_reached(self) -> bool:
        return self.baseline is not None and self.baseline in self.feasible

    @property
    def unranked(self) -> tuple[Record, ...]:
        """Runs that reached the target without a value of every objective."""
        reached = (record for record in self.records if record.feasible and not record.interrupted)
        return tuple(record for record in reached if not can_rank(record, self.objectives))

    @property
    def to_the_target(self) -> tuple[Record, ...]:
        """All runs but the one that only looked for the target (target_loss=auto)."""
        return tuple(to_the_target(self.records))

    @property
    def counted_phases(self) -> CountedPhases | None:
        """Which phases rank; None where no run says it."""
        return self.records[0].counted_phases if self.records else None

    def on_front(self, record: Record) -> bool:
        return any(record is other for other in self.front)

    def ranks(self, record: Record) -> bool:
        """Whether this is one of `feasible`."""
        return any(record is other for other in self.feasible)

    @property
    def closest(self) -> Record | None:
        """The run that came nearest to the target, of those that try to reach it."""
        known = [r for r in self.to_the_target if r.best_loss is not None and math.isfinite(r.best_loss)]
        return min(known, key=lambda r: r.best_loss or 0.0, default=None)

    @property
    def decided_by(self) -> str:
        """The objective that tells the best trial from the baseline: the first in which they differ."""
        if self.best is None or self.baseline is None or not self.baseline_reached:
            return self.objectives[0]
        return decided_by(self.best, self.baseline, self.objectives)

    @property
    def saving(self) -> Saving:
        """What the best trial cost beside the baseline, by `decided_by`."""
        if self.best is None:
            return Saving.UNKNOWN
        ratio = self.ratio(self.best, self.decided_by)
        if ratio is None:
            return Saving.UNKNOWN
        if self.noise.holds(self.decided_by, ratio):
            return Saving.WITHIN_NOISE
        return Saving.SAVES if ratio < 1 else Saving.NOTHING

    def is_lookup(self, record: Record) -> bool:
        """Whether this run ranks and is lookup-like: one of `lookup`."""
        return any(record is other for other in self.lookup)

    def values(self, record: Record) -> tuple[float, ...]:
        """A ranked record's objectives, in the order of `objectives`."""
        return tuple(float(record.values[name]) for name in self.objectives)

    def params(self, record: Record) -> Mapping[str, Any]:
        """A run's parameters. One that was not sampled (the baseline) has them in its configuration."""
        if record.params:
            return record.params
        config = flat(record.config)
        paths = dict.fromkeys(path for other in self.records for path in flat(other.params))
        return {path: config[path] for path in paths if path in config}

    def ratio(self, record: Record, objective: str) -> float | None:
        """Candidate over baseline, or None where either is not a value to the target."""
        if not self.baseline_reached or self.baseline is None or record not in self.feasible:
            return None
        return ratio_of(record.values[objective], self.baseline.values[objective])


def study_view(
    records: Sequence[Record],
    config: Mapping[str, Any],
    prior: Sequence[PriorStudy] = (),
    other_strata: Sequence[OtherStratum] = (),
) -> StudyView:
    """Raises ReportError where records cannot share a front: see `refuse_mixed`."""
    refuse_mixed(records)
    every, records = records, [record for record in records if not record.role.confirms]
    objectives = _objectives(records, config)
    baseline = _baseline(records, objectives)
    feasible = tuple(
        record
        for record in records
        if (record is baseline or record.role in RANKED_ROLES) and can_rank(record, objectives)
    )
    others = tuple(record for record in feasible if not is_lookup_like(record))
    front, front_without_lookup = _front(feasible, objectives), _front(others, objectives)
    ranked = standings(records, objectives)
    best = _best(ranked, [record for record in feasible if record is not baseline], objectives)
    reached_baseline = baseline if baseline in feasible else None
    shown = _shown(baseline, front, front_without_lookup)
    problem, confirmation = _problem(records, config), _confirmation(every, objectives, config)
    saving_j = confirmed_saving_j(confirmation, problem.target_loss or 0.0)
    return StudyView(
        study=_study_name(records, config),
        meter=records[0].meter if records else None,
        problem=problem,
        objectives=objectives,
        records=tuple(records),
        baseline=baseline,
        feasible=feasible,
        front=front,
        best=best,
        lookup=tuple(filter(is_lookup_like, feasible)),
        front_without_lookup=front_without_lookup,
        best_without_lookup=_best(ranked, [r for r in others if r is not baseline], objectives),
        outcomes=_outcomes(every),
        cost=search_cost(every, reached_baseline, best, saving_j, prior),
        accountings=tuple(accounting(record, baseline) for record in shown if record.ledger is not None),
        meters=side_by_side(every, feasible),
        noise=noise_floor(records, objectives),
        origin=origin(every, baseline),
        confirming=tuple(record for record in every if record.role.confirms),
        confirmation=confirmation,
        replicates=replicated(records),
        prior=tuple(prior),
        confirmation_off=_turned_off(config),
        other_strata=tuple(other_strata),
        ablation=study_ablation(every, confirmation, config),
    )


def _confirmation(
    records: Sequence[Record], objectives: Sequence[str], config: Mapping[str, Any]
) -> ConfirmationState | None:
    """As far as the runs have come; None also of a study of a version that confirmed nothing."""
    target_loss = next((record.target_loss for record in to_the_target(records)), None)
    study, section = config.get("study"), config.get("confirm")
    if target_loss is None or not isinstance(study, Mapping) or not isinstance(section, Mapping):
        return None
    return confirmation_state(
        records, objectives, target_loss, ConfirmSettings(**section), int(study.get("seed", 0))
    )


def _turned_off(config: Mapping[str, Any]) -> bool:
    section = config.get("confirm")
    return isinstance(section, Mapping) and section.get("candidates") == 0


def _objectives(records: Sequence[Record], config: Mapping[str, Any]) -> tuple[str, ...]:
    group = config.get("objective")
    names = group.get("names") if isinstance(group, Mapping) else None
    if names:
        return tuple(str(name) for name in names)
    return next((tuple(record.spent) for record in records if record.spent), DEFAULT_OBJECTIVES)


def _study_name(records: Sequence[Record], config: Mapping[str, Any]) -> str:
    if records:
        return records[0].study
    study = config.get("study")
    name = study.get("name") if isinstance(study, Mapping) else study
    return name if isinstance(name, str) else ""


def _baseline(records: Sequence[Record], objectives: Sequence[str]) -> Record | None:
    """The run that stands for the baseline: the median of those that reached the target; else the first that
    completed; else the first that was not killed."""
    reached = [record for record in baseline_runs(records) if can_rank(record, objectives)]
    if reached:
        return reference(reached, objectives)
    runs = [record for record in records if record.role is Role.BASELINE and not record.interrupted]
    completed = [record for record in runs if record.outcome.completes]
    return next(iter(completed or runs), None)


def _front(records: Sequence[Record], objectives: Sequence[str]) -> tuple[Record, ...]:
    points = [[float(record.values[name]) for name in objectives] for record in records]
    return tuple(sorted((records[i] for i in pareto_front(points)), key=in_order(objectives)))


def _best(ranked: Sequence[Standing], among: Sequence[Record], objectives: Sequence[str]) -> Record | None:
    """Of `among`: a recipe of the search ranks by its means, and one run stands for it."""
    means = {one.shown.run_id: tuple(one.means.values()) for one in ranked}
    own = in_order(objectives)
    stand = [run for run in among if run.role is not Role.SEARCH or run.run_id in means]
    return min(stand, key=lambda run: means.get(run.run_id) or own(run), default=None)


def _shown(baseline: Record | None, *fronts: Sequence[Record]) -> tuple[Record, ...]:
    shown = [] if baseline is None else [baseline]
    for record in (record for front in fronts for record in front):
        if not any(record is other for other in shown):
            shown.append(record)
    return tuple(shown)


def _problem(records: Sequence[Record], config: Mapping[str, Any]) -> Problem:
    data = next((data_of(record) for record in records if data_of(record)), {})
    metric = records[0].metric if records else metric_of(config)
    known = [record.target_loss for record in to_the_target(records)]
    typed = config.get(metric.setting)
    if not known and isinstance(typed, int | float):
        known = [metric.shown(float(typed))]
    ngram = data.get("ngram_loss")
    return Problem(
        dataset=data.get("dataset"),
        dataset_sha256=data.get("sha256"),
        target_loss=next(iter(known), None),
        ngram_loss=None if ngram is None else float(ngram),
        ngram_order=data.get("ngram_order"),
        unseen_share=data.get("unseen_share") or 0.0,
        metric=metric,
    )


def _outcomes(records: Sequence[Record]) -> dict[str, int]:
    counts = Counter(record.outcome for record in records)
    return {outcome.value: counts[outcome] for outcome in Outcome}

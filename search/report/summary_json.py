"""`summary.json`: what a study found, for scripts.

Each field stands with its type and its meaning, and `search.report.schema` writes the JSON schema from here:
to add a field, add it to its class and to the function below that fills it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from model.metric import ACCURACY, LOSS
from search.record.inference import Inference
from search.record.lookup import is_lookup_like
from search.record.meter_info import Kind
from search.record.outcome import Outcome
from search.record.prior import PriorStudy
from search.record.prospect import Prospect
from search.record.record import Record
from search.report.findings.notes import notes
from search.report.summary_ablation import AblationSummary, ablation_summary
from search.report.summary_meters import SideBySideSummary, side_by_side_summary
from search.report.summary_verdict import (
    ConfirmationSummary,
    VerdictSummary,
    confirmation_summary,
    measured,
    verdict_summaries,
)
from search.report.view.cost import SearchCost
from search.report.view.data import Saving, StudyView
from search.report.view.foreseen import ForecastStops
from search.report.view.strata import OtherStratum
from search.report.view.values import plain_value

Values = Annotated[Mapping[str, float], "By objective, in its unit."]
Joules = Annotated[Mapping[str, float], "Joules by phase of the ledger; empty where they are unknown."]
Params = Annotated[Mapping[str, Any], "What the space varies, by its path in the configuration."]
Flags = Annotated[list[str], "What makes the run doubtful."]
ErrorJ = Annotated[
    float | None, "What the meter's tick may have moved into or out of the counted joules; null: unknown."
]
TrialNumber = Annotated[int, "The trial's number."]


class MeterSummary(TypedDict):
    """The meter that ranks. Null where no run has finished."""

    name: Annotated[str | None, "For example nvml, rapl, cpu_time."]
    kind: Annotated[Kind | None, "What every joule of this file is."]
    counted_phases: Annotated[list[str], "The phases that count and rank."]


class ProblemSummary(TypedDict):
    """What had to be learned. Null where no record says it."""

    dataset: Annotated[str | None, "Its name."]
    dataset_sha256: Annotated[str | None, "Of the text."]
    target_metric: NotRequired[Annotated[str, "loss or accuracy: which of the following there is."]]
    target_loss: Annotated[float | None, "The validation loss to reach, in nats per token."]
    ngram_loss: Annotated[
        float | None, "What counting n-grams reaches on the same tokens, in nats per token."
    ]
    target_accuracy: NotRequired[
        Annotated[float | None, "The validation accuracy to reach: a share of the tokens."]
    ]
    ngram_accuracy: NotRequired[Annotated[float | None, "What counting n-grams reaches on the same tokens."]]
    bytes_per_token: Annotated[float | None, "Of the validation text: nats / ln 2 / this = bits per byte."]


class DeviceSummary(TypedDict):
    """The device of the baseline's run, or of the first that says it; `notes` say where runs differ. Null:
    unknown."""

    name: Annotated[str | None, "As its driver or the system names it."]
    uuid: Annotated[str | None, "Of a GPU; cpu for a CPU."]
    cpu: Annotated[str | None, "The machine's processor."]
    cores: Annotated[int | None, "Of the machine, as the system counts them."]
    threads: Annotated[int | None, "That torch used on the CPU."]
    system: Annotated[str | None, "Operating system and release."]


class VersionsSummary(TypedDict):
    """Of the code and of what ran it, from the same run as `device`."""

    joulesearch: Annotated[str | None, "Version of this product."]
    git_commit: Annotated[str | None, "Of its checkout; null where it was none."]
    git_dirty: Annotated[bool | None, "Whether files differed from that commit."]
    software: Annotated[Mapping[str, str | None], "Version by package, Python's with them."]


class DatesSummary(TypedDict):
    """ISO 8601 in UTC. Null where no record says it."""

    first_started: Annotated[str | None, "When the first run started."]
    last_ended: Annotated[str | None, "When the last run ended."]


class BatchInferenceSummary(TypedDict):
    """Generating with the trained model at one batch size. Null where it is unknown."""

    batch_size: Annotated[int, "Texts at once."]
    tokens: Annotated[int, "Generated, of all texts and repetitions; 0 where the batch did not fit."]
    energy_j: Annotated[float | None, "What generating them took, the prompts' joules among it."]
    energy_error_j: Annotated[float | None, "What the meter's tick may have moved into or out of it."]
    time_s: Annotated[float, "How long it took."]
    energy_j_per_token: Annotated[float | None, "Of a generated token; that of batch 1 is the objective."]
    reason: Annotated[str, "Why the joules are unknown; empty where they are known."]


class InferenceSummary(TypedDict):
    """What the trained model took to generate text. It is in no joules that rank, unless by its objective."""

    prompt_tokens: Annotated[int, "Of each text."]
    tokens: Annotated[int, "Added to each text."]
    uncached: Annotated[str, "Why no keys and values were kept between tokens; empty where they were."]
    batches: Annotated[list[BatchInferenceSummary], "Batch 1 first."]


Inferred = Annotated[InferenceSummary, "Only where the run was asked to generate."]


class BaselineSummary(TypedDict):
    """The reference configuration's run. Null or empty where there is none."""

    trial: Annotated[int | None, "Its trial number."]
    outcome: Annotated[Outcome | None, "How it ended."]
    lookup_like: Annotated[bool | None, "Whether its configuration looks the next token up."]
    params: Params
    values: Annotated[
        Mapping[str, float],
        "What it cost to reach the target, by objective; empty where it did not reach it.",
    ]
    spent: Annotated[
        Mapping[str, float], "What it had spent when it ended, by objective: where it missed, a lower bound."
    ]
    energy_error_j: ErrorJ
    phases_j: Joules
    inference: NotRequired[Inferred]
    flags: Flags


class FrontSummary(TypedDict):
    """A run on the front, by the first objective."""

    trial: TrialNumber
    role: Annotated[str, "baseline, search or single."]
    seed: Annotated[int, "Of the run."]
    lookup_like: Annotated[bool, "Whether its configuration looks the next token up."]
    params: Params
    values: Values
    energy_error_j: ErrorJ
    ratios: Annotated[
        Mapping[str, float | None],
        "Candidate over baseline by objective: 0.1 is a tenth. Null where the baseline has no value.",
    ]
    phases_j: Joules
    inference: NotRequired[Inferred]
    flags: Flags
    confirmed: Annotated[
        bool,
        "Whether the verdict on its recipe is SAVES: at the length and costs in `verdict`, not those here.",
    ]


class NoiseSummary(TypedDict):
    """How far runs of the baseline differ, with the same seed and the same losses."""

    trials: Annotated[list[int], "The baseline's runs that reached the target."]
    floor: Annotated[
        Mapping[str, float | None],
        "By objective: 0.06 means that one more run lies within a factor of 1.06 (95 %). Null for one run.",
    ]


class ClosestSummary(TypedDict):
    """The run that came nearest to the target, or below it. Null where no run has a loss."""

    trial: Annotated[int | None, "Its trial number."]
    best_loss: Annotated[float | None, "Its lowest validation loss, in nats per token."]
    best_accuracy: NotRequired[Annotated[float | None, "Its highest validation accuracy."]]


class Summary(TypedDict):
    """What a study found. A ratio is candidate over baseline; unknown is null or absent, never 0."""

    schema: Annotated[
        Literal[2], "Fields may be added under the same number, none is removed or changes meaning."
    ]
    study: Annotated[str, "Its name."]
    meter: MeterSummary
    problem: ProblemSummary
    device: DeviceSummary
    versions: VersionsSummary
    dates: DatesSummary
    objectives: Annotated[list[str], "What is minimised; the first one decides what is best."]
    outcomes: Annotated[Mapping[Outcome, int], "Runs by how they ended."]
    baseline: BaselineSummary
    front: Annotated[list[FrontSummary], "The Pareto front."]
    best: Annotated[int | None, "Trial with the least of the first objective, the baseline aside."]
    front_without_lookup: Annotated[
        list[FrontSummary], "The front among the runs that are not lookup-like; the same where none is."
    ]
    best_without_lookup: Annotated[int | None, "The best among the runs that are not lookup-like."]
    search_cost: SearchCost
    prior: Annotated[list[PriorStudy], "The studies by which this one's space was narrowed."]
    other_strata: NotRequired[
        Annotated[
            list[OtherStratum],
            "Its runs on other kinds of device, whose joules do not compare; only where there are any.",
        ]
    ]
    prospect: Annotated[
        Prospect | None,
        "What one more trial was expected to bring when the search ended; null where too few ran to say.",
    ]
    forecast: Annotated[
        ForecastStops | None, "Null where no run was to be ended by the forecast of its loss."
    ]
    noise: NoiseSummary
    saving: Annotated[Saving, "What the best trial cost beside the baseline, by `decided_by`."]
    decided_by: Annotated[str, "The first objective in which the best trial and the baseline differ."]
    closest: ClosestSummary
    notes: Annotated[list[str], "What a reader must know before comparing."]
    verdict: Annotated[
        list[VerdictSummary],
        "What fresh seeds say, one entry a candidate, the one that leads first; empty before that.",
    ]
    confirmation: Annotated[ConfirmationSummary | None, "Null where nothing was run to confirm the best."]
    meters_side_by_side: NotRequired[
        Annotated[list[SideBySideSummary], "Only where other meters were read beside the one that ranks."]
    ]
    ablation: NotRequired[Annotated[AblationSummary, "Only where confirm.ablate asked for it."]]


def summary(view: StudyView) -> dict[str, Any]:
    """The content of `summary.json`, schema 2: builtin types only, and no NaN or infinity."""
    content: Summary = {
        "schema": 2,
        "study": view.study,
        "meter": _meter_summary(view),
        "problem": _problem_summary(view),
        "device": _device_summary(view),
        "versions": _versions_summary(view),
        "dates": _dates_summary(view),
        "objectives": list(view.objectives),
        "outcomes": {Outcome(name): count for name, count in view.outcomes.items()},
        "baseline": _baseline_summary(view),
        "front": [_front_summary(view, record) for record in view.front],
        "best": _trial(view.best),
        "front_without_lookup": [_front_summary(view, record) for record in view.front_without_lookup],
        "best_without_lookup": _trial(view.best_without_lookup),
        "search_cost": view.cost,
        "prior": list(view.prior),
        "prospect": view.prospect,
        "forecast": view.forecast_stops,
        "noise": {"trials": list(view.noise.trials), "floor": view.noise.floor},
        "saving": view.saving,
        "decided_by": view.decided_by,
        "closest": _closest_summary(view),
        "notes": list(notes(view)),
        "verdict": verdict_summaries(view),
        "confirmation": confirmation_summary(view),
    }
    if any(record.second_meters for record in view.records):
        content["meters_side_by_side"] = side_by_side_summary(view.meters)
    if view.other_strata:
        content["other_strata"] = list(view.other_strata)
    if view.ablation is not None:
        content["ablation"] = ablation_summary(view.ablation)
    plain: dict[str, Any] = plain_value(content)
    return plain


def _meter_summary(view: StudyView) -> MeterSummary:
    if view.meter is None or view.counted_phases is None:
        return {"name": None, "kind": None, "counted_phases": []}
    phases = [phase.value for phase in view.counted_phases.phases]
    return {"name": view.meter.name, "kind": view.meter.kind, "counted_phases": phases}


def _closest_summary(view: StudyView) -> ClosestSummary:
    metric, best = view.problem.metric, None if view.closest is None else view.closest.best_loss
    found: ClosestSummary = {"trial": _trial(view.closest), "best_loss": measured(metric, LOSS, best)}
    if metric.name == ACCURACY:
        found["best_accuracy"] = measured(metric, ACCURACY, best)
    return found


def _problem_summary(view: StudyView) -> ProblemSummary:
    metric = view.problem.metric
    found: ProblemSummary = {
        "dataset": view.problem.dataset,
        "dataset_sha256": view.problem.dataset_sha256,
        "target_metric": metric.name,
        "target_loss": measured(metric, LOSS, view.problem.target_loss),
        "ngram_loss": measured(metric, LOSS, view.problem.ngram_loss),
        "bytes_per_token": view.origin.bytes_per_token,
    }
    if metric.name == ACCURACY:
        found["target_accuracy"] = measured(metric, ACCURACY, view.problem.target_loss)
        found["ngram_accuracy"] = measured(metric, ACCURACY, view.problem.ngram_loss)
    return found


def _device_summary(view: StudyView) -> DeviceSummary:
    hardware = view.origin.hardware
    return {
        "name": hardware.get("device"),
        "uuid": hardware.get("device_uuid"),
        "cpu": hardware.get("cpu"),
        "cores": hardware.get("cores"),
        "threads": hardware.get("threads"),
        "system": hardware.get("system"),
    }


def _versions_summary(view: StudyView) -> VersionsSummary:
    found = view.origin
    return {
        "joulesearch": found.code.get("version"),
        "git_commit": found.code.get("git_commit"),
        "git_dirty": found.code.get("git_dirty"),
        "software": found.software,
    }


def _dates_summary(view: StudyView) -> DatesSummary:
    found = view.origin
    return {"first_started": found.first_started, "last_ended": found.last_ended}


def _trial(record: Record | None) -> int | None:
    return None if record is None else record.trial


def _baseline_summary(view: StudyView) -> BaselineSummary:
    record = view.baseline
    if record is None:
        return {
            "trial": None,
            "outcome": None,
            "lookup_like": None,
            "params": {},
            "values": {},
            "spent": {},
            "energy_error_j": None,
            "phases_j": {},
            "flags": [],
        }
    found: BaselineSummary = {
        "trial": record.trial,
        "outcome": record.outcome,
        "lookup_like": is_lookup_like(record),
        "params": view.params(record),
        "values": {name: record.values[name] for name in view.objectives if name in record.values},
        "spent": {name: record.spent[name] for name in view.objectives if name in record.spent},
        "energy_error_j": record.energy_error_j,
        "phases_j": _phases_j(record),
        "flags": list(record.flags),
    }
    if record.inference is not None:
        found["inference"] = _inference(record.inference)
    return found


def _front_summary(view: StudyView, record: Record) -> FrontSummary:
    found: FrontSummary = {
        "trial": record.trial,
        "role": record.role,
        "seed": record.seed,
        "lookup_like": is_lookup_like(record),
        "params": view.params(record),
        "values": dict(zip(view.objectives, view.values(record), strict=True)),
        "energy_error_j": record.energy_error_j,
        "ratios": {name: view.ratio(record, name) for name in view.objectives},
        "phases_j": _phases_j(record),
        "flags": list(record.flags),
        "confirmed": view.confirmed(record),
    }
    if record.inference is not None:
        found["inference"] = _inference(record.inference)
    return found


def _inference(found: Inference) -> InferenceSummary:
    return {
        "prompt_tokens": found.prompt_tokens,
        "tokens": found.tokens,
        "uncached": found.uncached,
        "batches": [
            {
                "batch_size": one.batch_size,
                "tokens": one.tokens,
                "energy_j": one.energy_j,
                "energy_error_j": one.energy_error_j,
                "time_s": one.time_s,
                "energy_j_per_token": one.energy_j_per_token,
                "reason": one.reason,
            }
            for one in found.batches
        ],
    }


def _phases_j(record: Record) -> dict[str, float]:
    return {} if record.ledger is None else {phase.value: j for phase, j in record.ledger.energy_j.items()}

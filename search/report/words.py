"""Numbers with their units, and what a study found as sentences that a person can repeat."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from search.report.data import StudyView
from search.trial import Kind, Record

_LABELS = {
    "energy_to_target_j": ("energy", "J"),
    "time_to_target_s": ("time", "s"),
    "peak_memory_bytes": ("peak memory", "B"),
    "tokens_to_target": ("tokens", ""),
    "parameters": ("parameters", ""),
    "inference_energy_j_per_token": ("inference energy", "J/token"),
}
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
_NO_NUMBER = "unknown"

WIDE_INTERVAL = 0.02  # of the counted joules: beyond it the crossing's interval is said beside the number


def label(objective: str) -> str:
    """`energy` for `energy_to_target_j`; a name that is not in the table stays as it is."""
    return _LABELS.get(objective, (objective, ""))[0]


def unit(objective: str) -> str:
    return _LABELS.get(objective, ("", ""))[1]


def labelled(objective: str) -> str:
    """For an axis or a column: `energy (J)`."""
    return f"{label(objective)} ({unit(objective)})" if unit(objective) else label(objective)


def is_energy(objective: str) -> bool:
    return unit(objective).startswith("J")


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent where people can read it: 0.0123, 58.1, 1234."""
    if value is None:
        return _NO_NUMBER
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)))
    if not -5 <= exponent <= 6:
        return f"{value:.{digits - 1}e}"
    places = digits - 1 - exponent
    return f"{round(value, places):,.{max(0, places)}f}"


def quantity(value: float | None, unit_name: str) -> str:
    """Three digits, an SI prefix, the unit: `58.1 J`, `1.23 kJ`. Seconds stay seconds; a count is whole."""
    if value is None:
        return _NO_NUMBER
    if not unit_name:
        return f"{value:,.0f}"
    if unit_name == "s" or value == 0 or not math.isfinite(value):
        return f"{number(value)} {unit_name}"
    size = abs(value)
    factor, prefix = next((pair for pair in _PREFIXES if size >= pair[0]), _PREFIXES[-1])
    return f"{number(value / factor)} {prefix}{unit_name}"


def duration(time_s: float) -> str:
    """Seconds, and hours from two of them."""
    return f"{number(time_s / 3600)} h" if time_s >= 7200 else quantity(time_s, "s")


def objective_value(objective: str, value: float | None) -> str:
    return quantity(value, unit(objective))


def ratio(value: float | None) -> str:
    """Two decimals, three below a tenth, and more where it takes them to tell the ratio from 0 and from 1."""
    if value is None:
        return _NO_NUMBER
    for places in (2, 3, 4) if value >= 0.1 else (3, 4):
        text = f"{value:.{places}f}"
        if float(text) not in (0.0, 1.0):
            return text
    return number(value)


def nats(loss: float | None) -> str:
    """At least two decimals, at most four."""
    if loss is None:
        return _NO_NUMBER
    if not math.isfinite(loss):
        return f"{loss:g}"
    whole, _, decimals = f"{loss:.4f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def parameter(value: Any) -> str:
    """A parameter's value in brief: floats to four digits, as the exact ones are in `trials.csv`."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def redacted(text: str) -> str:
    """The text with the passwords of URLs masked: a report is passed on."""
    return re.sub(r"(://[^\s:/@]*):[^\s@/]+@", r"\1:***@", text)


def kind_words(view: StudyView) -> str:
    """`estimated by cpu_time`: what every joule of this study is."""
    return "no meter" if view.meter is None else f"{view.meter.kind.value} by {view.meter.name}"


def kind_advice(kind: Kind) -> str:
    return {
        Kind.MEASURED: "read from an energy counter of the device",
        Kind.ESTIMATED: "computed from busy time and configured watts: good for ratios on one machine, "
        "not for absolute joules",
        Kind.MODELLED: "computed from operation and byte counts: no device was read",
    }[kind]


@dataclass(frozen=True)
class Headline:
    """The finding in one sentence, and what a reader must know before repeating it."""

    text: str
    caveats: tuple[str, ...]


def headline(view: StudyView) -> Headline:
    """The finding; where there is none, what happened instead."""
    if not view.records:
        return Headline("No run has finished yet.", ())
    if view.best is None:
        return Headline(_nothing_reached(view), ())
    if view.baseline is None:
        return Headline(
            f"{_reached_for(view, view.best)}; there is no baseline to compare it with.", _caveats(view)
        )
    if not view.baseline_reached:
        return Headline(_baseline_fell_short(view, view.best, view.baseline), _caveats(view))
    return Headline(_compared(view, view.best, view.baseline), _caveats(view))


def _nothing_reached(view: StudyView) -> str:
    target = nats(view.problem.target_loss)
    others = [record for record in view.records if record is not view.baseline and not record.interrupted]
    if view.baseline is not None and view.baseline_reached:
        cost = " and ".join(
            objective_value(name, value)
            for name, value in zip(view.objectives, view.values(view.baseline), strict=True)
        )
        tried = f"none of {len(others)} trials has" if others else "no other trial has finished"
        return f"Only the baseline reached {target} nats ({cost}, {kind_words(view)}); {tried}."
    closest = min(
        (r for r in view.records if r.best_loss is not None and math.isfinite(r.best_loss)),
        key=lambda r: r.best_loss if r.best_loss is not None else math.inf,
        default=None,
    )
    if closest is None or closest.best_loss is None:
        return f"Nothing reached {target} nats: no run has a loss to show."
    who = name_of(view, closest)
    return f"Nothing reached {target} nats: the closest, {who}, came to {nats(closest.best_loss)}."


def name_of(view: StudyView, record: Record) -> str:
    return "the baseline" if record is view.baseline else f"trial {record.trial}"


def _reached_for(view: StudyView, best: Record) -> str:
    costs = [
        objective_value(name, value) for name, value in zip(view.objectives, view.values(best), strict=True)
    ]
    spent = " and ".join(costs)
    return (
        f"Trial {best.trial} reached {nats(view.problem.target_loss)} nats for {spent} ({kind_words(view)})"
    )


def _baseline_fell_short(view: StudyView, best: Record, baseline: Record) -> str:
    first = view.objectives[0]
    spent = baseline.values.get(first)
    text = f"{_reached_for(view, best)}; the baseline did not reach it"
    if spent is None:
        return f"{text} ({baseline.outcome.value}: {baseline.outcome.advice})."
    bound = best.values[first] / spent if spent > 0 else math.inf
    text += f" with {objective_value(first, spent)}"
    if bound >= 1:
        return f"{text}, so which of the two costs less is not known."
    rounded_up = math.ceil(bound * 1000) / 1000
    return f"{text}, so the ratio of {label(first)} is at most {rounded_up:.3f}."


def _compared(view: StudyView, best: Record, baseline: Record) -> str:
    target = nats(view.problem.target_loss)
    clauses = [_share(view, name, best, baseline) for name in view.objectives]
    ratios = [view.ratio(best, name) for name in view.objectives]
    first, rest = clauses[0], list(zip(clauses[1:], ratios[1:], strict=True))
    saves = ratios[0] is not None and ratios[0] < 1
    parts = [f"{'but' if saves and r is not None and r > 1 else 'and'} {clause}" for clause, r in rest]
    lead = (
        f"Trial {best.trial} reached {target} nats with {first}"
        if saves
        else f"No trial saved {label(view.objectives[0])}: the cheapest, trial {best.trial}, "
        f"reached {target} nats with {first}"
    )
    return f"{' '.join([lead, *parts])}."


def _share(view: StudyView, objective: str, best: Record, baseline: Record) -> str:
    """`0.21 of the baseline's energy (12.3 J against 58.1 J, estimated by cpu_time)`."""
    ours = objective_value(objective, best.values[objective])
    theirs = objective_value(objective, baseline.values[objective])
    first = objective == view.objectives[0]
    meter = f", {kind_words(view)}" if is_energy(objective) else ""
    whose = "the baseline's" if first else "its"
    return (
        f"{ratio(view.ratio(best, objective))} of {whose} {label(objective)} ({ours} against {theirs}{meter})"
    )


def _caveats(view: StudyView) -> tuple[str, ...]:
    """Reasons to wait before repeating the headline."""
    best = view.best
    assert best is not None
    caveats = ["One run each, not yet confirmed with fresh seeds: a search picks lucky runs."]
    compared = [best] if view.baseline is None else [best, view.baseline]
    caveats += [
        f"{name_of(view, record).capitalize()} is flagged: {'; '.join(record.flags)}."
        for record in compared
        if record.flags
    ]
    widths = [(name_of(view, r), r.crossing.relative_interval) for r in compared if r.crossing is not None]
    if any(width > WIDE_INTERVAL for _, width in widths):
        parts = " and ".join(f"{number(100 * width, 2)} % ({who})" for who, width in widths)
        caveats.append(
            f"The target was crossed somewhere in the last {parts} of the counted joules, between two "
            "evaluations; the later one ranks."
        )
    return tuple(caveats)

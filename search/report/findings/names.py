"""What the report calls a run, a meter and a kind of energy."""

from __future__ import annotations

from search.record.meter_info import Kind
from search.record.record import Record
from search.report.view.data import StudyView
from search.report.view.side_by_side import StudyMeter


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


def name_of(view: StudyView, record: Record) -> str:
    if record is view.baseline:
        return "the baseline"
    role = {"baseline": " (baseline again)", "target": " (sets the target)"}.get(record.role, "")
    return f"trial {record.trial}{role}"


def marked_name(view: StudyView, record: Record) -> str:
    """The name, and a word on it where the run is lookup-like."""
    return f"{name_of(view, record)}{' (lookup-like)' if view.is_lookup(record) else ''}"


def meter_words(meter: StudyMeter) -> str:
    return f"{meter.name} ({meter.kind.value})"


def brief_run(label: str) -> str:
    """`7` for `trial 7`, `baseline` for `the baseline`: beside a mark there is little room."""
    return label.removeprefix("trial ").removeprefix("the ")


def capitalised(text: str) -> str:
    """The first letter, and no other: names of kernels and devices keep theirs."""
    return f"{text[:1].upper()}{text[1:]}"

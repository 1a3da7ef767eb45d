"""What `python -m search.train` prints of its run: the outcome, the ledger, the crossing, other meters."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search.record.ledger import Ledger, Phase
from search.record.outcome import Outcome
from search.record.record import Record
from search.record.target import TO_THE_END
from search.report.findings.advice import reachable_target
from search.report.findings.inference import inference_words


def print_summary(record: Record, console: Console) -> None:
    console.print(f"{record.outcome}: {escape(record.reason)}", highlight=False)
    if record.ledger is None:
        console.print(f"no energy: {escape(record.reason)}")
    else:
        console.print(_ledger_table(record, record.ledger))
        for line in _lines_below(record):
            console.print(line, highlight=False)
    if record.outcome is Outcome.OUT_OF_BUDGET and record.curve and not record.interrupted:
        console.print(_end_words(record), highlight=False, soft_wrap=True)


def _ledger_table(record: Record, ledger: Ledger) -> Table:
    table = Table(title=f"ledger ({record.meter.kind.value} by {record.meter.name})")
    for name in ("phase", "energy / J", "time / s", "counted"):
        table.add_column(name, justify="left" if name in ("phase", "counted") else "right")
    counted = record.counted_phases.phases
    for phase in Phase:
        energy_j, time_s = ledger.energy_j[phase], ledger.time_s[phase]
        table.add_row(phase, f"{energy_j:.3f}", f"{time_s:.3f}", "yes" if phase in counted else "")
    table.add_section()
    table.add_row("gross", f"{ledger.gross_energy_j:.3f}", f"{ledger.gross_time_s:.3f}", "")
    if record.counted_energy_j is not None and record.counted_time_s is not None:
        table.add_row("counted", f"{record.counted_energy_j:.3f}", f"{record.counted_time_s:.3f}", "yes")
    return table


def _lines_below(record: Record) -> Iterator[str]:
    """What is known besides the ledger, most important first."""
    metric = record.metric
    if record.test_loss is not None:
        at_end, on_test = metric.shown(record.curve[-1].loss), metric.shown(record.test_loss)
        yield (
            f"{metric.name} at the end {at_end:.4f}, and {on_test:.4f} on the test part, by which nothing is "
            "chosen"
        )
    elif record.crossing is not None:
        low, high = record.crossing.energy_low_j, record.crossing.energy_j
        yield (
            f"target {metric.shown(record.target_loss):g} crossed between {low:.3f} J and {high:.3f} J "
            f"({record.meter.kind.value}; {record.crossing.relative_interval:.1%} of the counted joules); "
            f"{high:.3f} J counts"
        )
    for one in () if record.inference is None else record.inference.batches:
        yield f"generating: {inference_words(one)}, {record.meter.kind.value}"
    if record.energy_error_j is not None:
        yield _error_words(record.energy_error_j)
    if rise := _temperature_words(record):
        yield rise
    for side in record.second_meters:
        joules = (
            f"unknown: {side.reason}" if side.counted_energy_j is None else f"{side.counted_energy_j:.3f} J"
        )
        yield f"beside it: {joules} ({side.kind.value} by {side.meter})"
    if record.flags:
        yield f"flags: {', '.join(record.flags)}"


def _error_words(error_j: float) -> str:
    """Which part of the error is known after one run, and which is not."""
    return (
        f"+- {error_j:.2g} J is the meter's tick alone (its update period and resolution): its gain is not "
        "in it, nor the noise between runs, which takes several runs to see"
    )


def _temperature_words(record: Record) -> str:
    """One line, empty where the device told no temperature."""
    start_c, max_c = record.observed.get("temperature_start_c"), record.observed.get("temperature_max_c")
    if start_c is None or max_c is None:
        return ""
    return (
        f"temperature {start_c:.1f} C at the start, {max_c:.1f} C at most: a rise of {max_c - start_c:.1f} K"
    )


def _end_words(record: Record) -> str:
    """For a run that missed its target, or had none (auto): how near it came, what to type."""
    auto, metric = record.target_loss == TO_THE_END, record.metric
    closest = record.curve[-1].loss if auto or record.best_loss is None else record.best_loss
    return (
        f"it {'ends at' if auto else 'came to'} {metric.either('', 'an accuracy of ')}"
        f"{metric.shown(closest):.4f}{metric.either(' nats per token', '')}; for a target that it reaches, "
        f"type {metric.typed(reachable_target(closest))}, or {metric.setting}=auto in a study"
    )

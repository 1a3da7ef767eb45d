"""Numbers with their units; names, flags and meters in the words that the report has for them."""

from __future__ import annotations

import math
import re
from typing import Any

from search.console.plural import counted
from search.energy.agreement import (
    MIN_RUNS,
    REGRET,
    RHO,
    Agreement,
    Correlation,
    Pair,
    Residual,
    Swap,
    Verdict,
)
from search.record.record import Kind, Record
from search.report.data import StudyView
from search.report.meters import Comparison, StudyMeter

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

ERROR_WORDS = (
    "what the meter's tick (its update period and resolution) may have moved into or out of the counted "
    "joules; its gain is not in it"
)
VISIBLE_ERROR = 0.0005  # of a value: a smaller error lies beyond the three digits that are shown
WIDE_INTERVAL = 0.02  # of the counted joules: beyond it the crossing's interval is said beside the number

LOOKUP_WORDS = (
    "Lookup-like variants (a bigram table, smeared embeddings) map the last tokens to the next by looking "
    "them up; they buy a loss that counting n-grams buys too, so they are a class of their own"
)


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


def objective_value(objective: str, value: float | None, error_j: float | None = None) -> str:
    """The value with its unit. `error_j` is that of counted joules, and so is shown beside these alone."""
    text = quantity(value, unit(objective))
    error = None if value is None else visible_error_j(objective, value, error_j)
    if error is None:
        return text
    shown, _, unit_name = text.rpartition(" ")
    factor = next((factor for factor, prefix in _PREFIXES if f"{prefix}J" == unit_name), 1.0)
    return f"{shown} ± {number(error / factor, 2)} {unit_name}"


def amount(objective: str, value: float) -> str:
    """The value as it stands in a sentence: a count with its noun."""
    return objective_value(objective, value) if unit(objective) else f"{value:,.0f} {label(objective)}"


def visible_error_j(objective: str, value: float, error_j: float | None) -> float | None:
    """The error where it belongs to this objective and can be seen in the digits shown, else None."""
    if objective != "energy_to_target_j" or error_j is None or not math.isfinite(error_j):
        return None
    return error_j if error_j >= VISIBLE_ERROR * abs(value) else None


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


NATS = "A nat is 1.44 bits; the loss is the mean cost of the next token, and lower is better."


def loss_words(loss: float, bytes_per_token: float | None) -> str:
    """`1.90 nats per token (2.75 bits per byte)`: the second compares data and tokenizers."""
    text = f"{nats(loss)} nats per token"
    if not bytes_per_token or not math.isfinite(loss):
        return text
    return f"{text} ({loss / math.log(2) / bytes_per_token:.2f} bits per byte)"


def parameter(value: Any) -> str:
    """A parameter's value in brief: floats to four digits, as the exact ones are in `trials.csv`."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def kelvin(rise_k: float) -> str:
    """A difference of temperatures, with its sign: sensors give whole degrees."""
    return f"{rise_k:+.0f} K"


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


def name_of(view: StudyView, record: Record) -> str:
    if record is view.baseline:
        return "the baseline"
    role = {"baseline": " (baseline again)", "target": " (sets the target)"}.get(record.role, "")
    return f"trial {record.trial}{role}"


def marked_name(view: StudyView, record: Record) -> str:
    """The name, and a word on it where the run is lookup-like."""
    return f"{name_of(view, record)}{' (lookup-like)' if view.is_apart(record) else ''}"


def meter_words(meter: StudyMeter) -> str:
    return f"{meter.name} ({meter.kind.value})"


def measured_hint(view: StudyView) -> str:
    """How to have a meter that is read from a device beside one that is not; empty where there is one."""
    if view.meter is None or view.meter.kind is Kind.MEASURED or view.meters.measured:
        return ""
    return (
        f"No measured meter was read beside {view.meter.name}, so how well it ranks is not known. Where the "
        "machine has an energy counter, meter.also=[nvml] (NVIDIA GPUs), meter.also=[rapl] (CPUs, Linux) or "
        "meter.also=[zeus] (AMD GPUs, Jetson) reads it over the same runs, and the report compares the two."
    )


def correlation_words(correlation: Correlation | None) -> str:
    """`0.93 [0.81, 0.98]`, without an interval where the runs are too few for one."""
    if correlation is None:
        return _NO_NUMBER
    if correlation.low is None or correlation.high is None:
        return f"{correlation.rho:.2f}"
    return f"{correlation.rho:.2f} [{correlation.low:.2f}, {correlation.high:.2f}]"


def verdict_words(agreement: Agreement) -> str:
    """`agrees`, `does not agree`, or why neither can be said."""
    if agreement.verdict is Verdict.AGREES:
        return "agrees"
    if agreement.verdict is Verdict.DISAGREES:
        return f"does not agree: {' and '.join(_disagreements(agreement))}"
    if agreement.verdict is Verdict.UNDECIDED:
        return f"not shown to agree: the interval reaches below {RHO:g}, more runs would tell"
    if agreement.runs < MIN_RUNS:
        return f"unknown: {agreement.runs} of the {MIN_RUNS} runs that it takes reached the target"
    return "unknown: one of the two meters reads every run the same"


def _disagreements(agreement: Agreement) -> list[str]:
    correlation, winners = agreement.correlation, agreement.winners
    reasons = []
    if winners is not None and winners.regret > REGRET:
        reasons.append(
            f"its winner, {winners.chosen.label}, costs {ratio(winners.regret)} times what "
            f"{winners.cheapest.label} costs"
        )
    if correlation is not None and correlation.high is not None and correlation.high < RHO:
        reasons.append(f"the interval of its rank correlation lies below {RHO:g}")
    return reasons


VERDICT_RULE = (
    f"A meter agrees where the 95 % interval of Spearman's ρ lies at or above {RHO:g} and the run that it "
    f"would choose costs at most {100 * (REGRET - 1):.0f} % more than the cheapest, by the reference. It "
    f"does not agree where the interval lies below {RHO:g} or that run costs more. Fewer than {MIN_RUNS} "
    "runs have no interval."
)


def residual_words(comparison: Comparison, residual: Residual) -> str:
    """How far one run is from the scale of its meter, with both numbers."""
    return (
        f"{residual.pair.label}: {ratio(residual.factor)} times the median ratio "
        f"({_both(comparison, residual.pair)})"
    )


def swap_words(comparison: Comparison, swap: Swap) -> str:
    """Two runs that change places, with all four numbers."""
    dearer, cheaper = swap.dearer, swap.cheaper
    ours, theirs = comparison.surrogate, comparison.reference
    return (
        f"{dearer.label} looks cheaper than {cheaper.label} by {ours.name} "
        f"({quantity(dearer.surrogate_j, 'J')} against {quantity(cheaper.surrogate_j, 'J')}, "
        f"{ours.kind.value}) and costs {ratio(swap.gap)} times as much by {theirs.name} "
        f"({quantity(dearer.reference_j, 'J')} against {quantity(cheaper.reference_j, 'J')}, "
        f"{theirs.kind.value})"
    )


def _both(comparison: Comparison, pair: Pair) -> str:
    both = ((pair.surrogate_j, comparison.surrogate), (pair.reference_j, comparison.reference))
    return ", ".join(f"{quantity(joules, 'J')} by {meter.name}, {meter.kind.value}" for joules, meter in both)


def brief_run(label: str) -> str:
    """`7` for `trial 7`, `baseline` for `the baseline`: beside a mark there is little room."""
    return label.removeprefix("trial ").removeprefix("the ")


def meter_warning(view: StudyView) -> str:
    """What must be said first: the meter that ranked, and a better one beside it, disagree. Else empty."""
    found = view.meters.of_the_ranking
    if found is None or found.agreement.verdict is not Verdict.DISAGREES:
        return ""
    agreement, ours, theirs = found.agreement, meter_words(found.surrogate), meter_words(found.reference)
    text = f"{theirs}, read beside {ours} over the same runs, orders the trials differently"
    winners = agreement.winners
    if winners is not None and winners.regret > 1:
        chosen, cheapest = winners.chosen, winners.cheapest
        text += (
            f": {chosen.label}, the cheapest by {found.surrogate.name}, costs {ratio(winners.regret)} times "
            f"what {cheapest.label} costs by {found.reference.name} ({quantity(chosen.reference_j, 'J')} "
            f"against {quantity(cheapest.reference_j, 'J')}, {found.reference.kind.value})"
        )
    return (
        f"{text}. Spearman's ρ is {correlation_words(agreement.correlation)} over "
        f"{counted(agreement.runs, 'run')}, and {len(agreement.swaps)} of "
        f"{counted(agreement.comparisons, 'pair')} of runs change places. Rank by "
        f"{found.reference.name} (meter={found.reference.name}) before you conclude."
    )


def meter_caveat(view: StudyView) -> str:
    """A better meter ran beside the one that ranked, and does not settle whether they agree. Else empty."""
    found = view.meters.of_the_ranking
    open_verdicts = (Verdict.UNDECIDED, Verdict.UNKNOWN)
    if found is None or found.agreement.verdict not in open_verdicts:
        return ""
    return (
        f"Ranked by {meter_words(found.surrogate)}, with {meter_words(found.reference)} read beside it; "
        f"whether the two agree is not settled ({verdict_words(found.agreement)})."
    )


# What makes a run doubtful. A flag that is not here is shown by its name.
FLAGS = {
    "counter_power_disagree": "the energy counter and the integrated power differ by over 5 %",
    "throttled_thermal": "heat held the clocks down",
    "throttled_power_brake": "an outside power brake held the clocks down",
    "throttled_hardware": "the hardware held the clocks down",
    "throttling_unknown": "whether the clocks were held down could not be read",
    "power_capped": "the power limit held the clocks down, as it may under heavy work on a healthy GPU",
    "power_limit_lowered": "the power limit is below the board's default",
    "foreign_process": "another process computed on the GPU, and its joules are in the run's",
    "processes_not_identifiable": "who else computed on the device could not be told, as in a container",
    "foreign_cpu_load": "other processes used over a tenth of a core",
    "cpu_contended": "a thread of the run waited for a core for over 5 % of the time",
    "cpu_stolen": "the hypervisor gave over 5 % of a core to others",
    "cpu_waiting": "the run left its core idle without a known cause: a disk, a lock, or a silent hypervisor",
    "cpu_throttled": "a CPU quota held the run back for over 5 % of the time",
    "cpu_load_unknown": "what else kept the CPU busy could not be read",
    "waited_for_data": "training waited for data for over 2 % of its time: a faster disk, or a text "
    "that fits on the device",
    "short_window": "so short that one update of the meter is over 1 % of what counts",
    "started_hot": "the device was above its temperature band at the start, and so may have drawn more",
    "started_cold": "the device was below its temperature band at the start, and so may have drawn less",
    "temperature_unknown": "the device gave no temperature, so whether it started in its band is not known",
    "device_not_exclusive": "nothing kept other runs off the device",
    "sampling_gap": "the power was not sampled for a while, so that its integral has a gap",
    "power_implausible": "the power read beside the counter was not above 0 W, so it checks nothing",
    "paused": "the run's process stood still for over a second (stopped, suspended, or asleep with its "
    "machine), and what was drawn meanwhile is in its joules",
    "threads_spinning": "threads never slept while one waited for a core, so they spin and burn core-seconds "
    "that no work needs; device.threads=1 avoids it",
    "energy_until_last_report": "the worker was lost: its joules are those up to its last report, at least",
}


def flag(name: str) -> str:
    """The flag as a clause, or its name where it has no words."""
    return FLAGS.get(name, name)

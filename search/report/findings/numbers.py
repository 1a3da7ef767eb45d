"""Numbers with their units, as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from model.metric import Metric

_LABELS = {
    "energy_to_target_j": ("energy", "J"),
    "time_to_target_s": ("time", "s"),
    "peak_memory_bytes": ("peak memory", "B"),
    "tokens_to_target": ("tokens", ""),
    "parameters": ("parameters", ""),
    "inference_energy_j_per_token": ("inference energy", "J/token"),
}


_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))


UNKNOWN = "unknown"


ERROR_WORDS = (
    "what the meter's tick (its update period and resolution) may have moved into or out of the counted "
    "joules; its gain is not in it"
)


VISIBLE_ERROR = 0.0005  # of a value: a smaller error lies beyond the three digits that are shown


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
        return UNKNOWN
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
        return UNKNOWN
    if not unit_name:
        return f"{value:,.0f}"
    if unit_name == "s" or value == 0 or not math.isfinite(value):
        return f"{number(value)} {unit_name}"
    size = abs(value)
    factor, prefix = next((pair for pair in _PREFIXES if size >= pair[0]), _PREFIXES[-1])
    return f"{number(value / factor)} {prefix}{unit_name}"


def duration(time_s: float) -> str:
    """In seconds; in hours from two hours on."""
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


def amounts(objectives: Sequence[str], values: Sequence[float]) -> str:
    """`12.3 J and 4.90 s`."""
    return " and ".join(amount(name, value) for name, value in zip(objectives, values, strict=True))


def visible_error_j(objective: str, value: float, error_j: float | None) -> float | None:
    """The error where it belongs to this objective and can be seen in the digits shown, else None."""
    if objective != "energy_to_target_j" or error_j is None or not math.isfinite(error_j):
        return None
    return error_j if error_j >= VISIBLE_ERROR * abs(value) else None


def ratio(value: float | None) -> str:
    """Two decimals, three below a tenth, and more where it takes them to tell the ratio from 0 and from 1."""
    if value is None:
        return UNKNOWN
    for places in (2, 3, 4) if value >= 0.1 else (3, 4):
        text = f"{value:.{places}f}"
        if float(text) not in (0.0, 1.0):
            return text
    return number(value)


def loss_words(loss: float, bytes_per_token: float | None, metric: Metric) -> str:
    """`1.90 nats per token (2.75 bits per byte)`: the second compares data and tokenizers. `an accuracy of
    0.25` where that is measured."""
    text = metric.words(loss)
    if metric.is_error_rate or not bytes_per_token or not math.isfinite(loss):
        return text
    return f"{text} ({loss / math.log(2) / bytes_per_token:.2f} bits per byte)"


def parameter(value: Any) -> str:
    """A parameter's value in brief: floats to four digits, as the exact ones are in `trials.csv`."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def kelvin(rise_k: float) -> str:
    """A difference of temperatures, with its sign: sensors give whole degrees."""
    return f"{rise_k:+.0f} K"

"""What stands below each figure: what it shows, and how to read it."""

from __future__ import annotations

from search.console.plural import counted
from search.report.figures.pareto import ParetoInfo
from search.report.figures.raw_runs import RawRunsInfo
from search.report.figures.temperature import TemperatureInfo
from search.report.findings import numbers
from search.report.findings.meters import correlation_words


def pareto_caption(info: ParetoInfo) -> str:
    """What the figure shows and how to read it; true of this study, whatever became of its runs."""
    if not info.has_marks:
        return ""
    many = len(info.planes) > 1
    parts = [_reading(info, many)]
    if info.reached:
        diamonds = " and diamonds" if any(name.startswith("lookup") for name in info.reached) else ""
        parts.append(
            f"Filled marks are the front and the baseline, open circles{diamonds} were beaten. "
            "Whiskers reach down to the evaluation before the target."
        )
    if info.reached and info.missed:
        where = "under each panel" if many else "below"
        parts.append(
            f"Runs that did not reach the target are in the strip {where}, at what they had spent when they "
            "ended: reaching it would have cost them more."
        )
    if info.undrawn:
        runs = f"{counted(info.undrawn, 'run')} {'is' if info.undrawn == 1 else 'are'}"
        parts.append(f"{runs} not drawn: killed, crashed, or without an energy that can be trusted.")
    return " ".join(parts)


def _reading(info: ParetoInfo, many: bool) -> str:
    if not info.reached:
        return (
            "No run reached the target: each mark is what a run had spent when it ended, so none of them is "
            "better than another."
        )
    if len(info.objectives) == 1:
        only, beside = map(numbers.label, info.axes)
        return (
            f"Every run in the plane reached the target. Further left is better; {only} is the only "
            f"objective, and {beside} ranks nothing."
        )
    if not many:
        return "Every run in the plane reached the target, and lower left is better."
    named = ", ".join(map(numbers.label, info.objectives))
    return (
        f"One panel for each pair of the {len(info.objectives)} objectives ({named}). Every run in a panel "
        "reached the target, and lower left is better in that pair. A run on the front is unbeaten over all "
        "of them together: where another lies lower left of it, it is better in what that panel "
        "does not show."
    )


def raw_runs_caption(info: RawRunsInfo) -> str:
    """What is shown, and what must not be read into it."""
    kind = f" ({info.kind})" if numbers.is_energy(info.objective) else ""
    others = f" {info.left_out} more vary: trials.csv has them." if info.left_out else ""
    return (
        f"Raw runs, not importance: one panel for each parameter that varies, lower is less "
        f"{numbers.label(info.objective)}{kind}, and what did not reach the target is in the strip. All "
        f"parameters vary at once, so a trend in one panel may be another's doing, or chance.{others}"
    )


def temperature_caption(info: TemperatureInfo) -> str:
    """How to read it, and the rank correlation of what it shows."""
    return (
        "A thermometer is no part of the meter: a device that draws more gets hotter. A run far off the "
        "others deserves a second look, though one that is short, or starts warm, warms up less. "
        f"Over {counted(info.runs, 'run')}, Spearman's ρ of temperature rise and mean power is "
        f"{correlation_words(info.correlation)}."
    )

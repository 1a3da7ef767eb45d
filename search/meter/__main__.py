"""`python -m search.meter [--check]`: what can be measured on this machine, how well, and what stands in the
way."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search.config.checks import check_run
from search.config.composition import start, to_config
from search.console import terminal
from search.console.leaving import end_with, leaving_at_once
from search.console.one_line_parser import OneLineParser
from search.energy.power_check import DISAGREE
from search.errors import MeterUnavailable
from search.meter.base import Meter
from search.meter.choose import METERS
from search.meter.settings import MeterSection
from search.meter.survey import POLL_EVERY_S, Idle, Load, Overhead, measure_idle, measure_overhead, windows
from search.record.meter_info import Kind

if TYPE_CHECKING:
    from search.worker.device import Device

MOST_OVERHEAD = 0.005
EXAMPLE = "python -m search.meter --check device=cpu"


def main() -> None:
    end_with(program)


def program() -> int:
    parser = _parser()
    options, overrides = parser.parse_known_args()
    unknown = next((text for text in overrides if text.startswith("-")), None)
    if unknown is not None:
        parser.error(f"there is no option {unknown}")

    def task(composed: DictConfig) -> int:
        if OmegaConf.is_missing(composed.study, "name"):
            composed.study.name = "meter"
        config = to_config(composed)
        check_run(config)
        with leaving_at_once():
            from search.worker.device import resolve

        device = resolve(config.device)
        console = terminal.console()
        console.print(f"device of a run here: {escape(device.name)}", highlight=False)
        meters = survey(config.meter, device, options.idle, console)
        if not options.check:
            console.print("\n--check puts the device under load for 20 s and compares what the meters say.")
            return 0
        try:
            return check(meters, device, options.seconds, console)
        finally:
            for meter in meters.values():
                meter.close()

    return start(task, "config", overrides)


def survey(section: MeterSection, device: Device, idle_s: float, console: Console) -> dict[str, Meter]:
    """Print a row a meter and why the others do not work; the meters that work, open."""
    meters: dict[str, Meter] = {}
    obstacles: dict[str, str] = {}
    table = Table(title="meters that work here", title_justify="left")
    for name in ("meter", "kind", "moves every", "resolution", "gain", "idle", "reads"):
        table.add_column(name, overflow="fold")
    for name, row in METERS.items():
        try:
            meter = row.build(section, device)
        except MeterUnavailable as error:
            obstacles[name] = str(error)
            continue
        meters[name] = meter
        idle = measure_idle(meter, idle_s)
        spec = meter.spec
        table.add_row(
            name,
            spec.kind.value,
            _period(idle, spec.counter.clocked),
            f"{spec.counter.resolution_j:.0e} J" if spec.counter.clocked else "",
            "unknown" if spec.gain_error is None else f"+- {spec.gain_error:.0%}",
            _watts(idle.power_w),
            escape("\n".join(spec.devices)),
        )
    console.print(table)
    if obstacles:
        console.print("\nnot here:", highlight=False)
    for name, why in obstacles.items():
        console.print(f"  {name}: {escape(why)}", highlight=False, soft_wrap=True)
    return meters


def check(meters: dict[str, Meter], device: Device, seconds: float, console: Console) -> int:
    """Idle, then load, read by every meter that reads a device; 1 where one of them cannot be trusted."""
    checked = {name: meter for name, meter in meters.items() if _is_checked(name, meter)}
    bad, compared = False, False
    for title, work in (("idle", time.sleep), ("load", device.work)):
        with console.status(f"{title}: {seconds:g} s"):
            zeus_j = _zeus_nvidia_j(checked)
            loads = dict(zip(checked, windows(list(checked.values()), work, seconds), strict=True))
            zeus_until_j = _zeus_nvidia_j(checked)
        table = Table(title=f"{title} for {seconds:g} s", title_justify="left")
        for name in ("meter", "energy", "mean power", "temperature", "flags"):
            table.add_column(name, overflow="fold")
        for name, load in loads.items():
            flags = "" if title == "idle" else _flags(load)  # idling waits, and others may work meanwhile
            joules = _joules(load, checked[name].spec.kind)
            table.add_row(name, joules, _watts(load.power_w), _rise(load), flags)
            bad |= load.energy_j is None
        console.print(table)
        for name, load in loads.items():
            ratio = load.observed.get("counter_over_power")
            if ratio is not None:
                compared = True
                bad |= abs(ratio - 1) > DISAGREE
                agree = "DO NOT AGREE" if abs(ratio - 1) > DISAGREE else "agree"
                console.print(f"{name}: counter over integrated power {ratio:.4f}: they {agree}")
        if title == "idle":
            for name, meter in checked.items():
                console.print(overhead_line(name, measure_overhead(meter)), highlight=False)
        if zeus_j is not None and zeus_until_j is not None:
            compared = True
            console.print(f"zeus reads {zeus_until_j - zeus_j:.2f} J of the same GPUs in the same window")
    if not compared:
        console.print(nothing_compared(tuple(checked)), highlight=False)
    return int(bad)


def overhead_line(name: str, overhead: Overhead) -> str:
    """What reading a meter takes of a run's time, beside what is allowed."""
    said = (
        f"{name}: own overhead {overhead.share:.3%} of the time ({1000 * overhead.read_s:.3f} ms a reading, "
    )
    verdict = "over" if overhead.share > MOST_OVERHEAD else "within"
    return f"{said}{overhead.rate_hz:g} a second at most): {verdict} the {MOST_OVERHEAD:.1%} that it may take"


def nothing_compared(names: Sequence[str]) -> str:
    """Why a check, though every meter gave joules, says nothing of whether they are right."""
    if len(names) > 1:
        return f"nothing was compared: {', '.join(names)} each read something else; their joules stand above"
    alone = f"only {names[0]} reads a device here" if names else "no meter here reads a device"
    return f"nothing was compared: {alone}"


def _zeus_nvidia_j(meters: Mapping[str, Meter]) -> float | None:
    """What zeus reads of the GPUs of our own meter, to be held against it; None where it is not installed."""
    if "nvml" not in meters:
        return None
    from search.meter.gpu.nvml_devices import inventory
    from search.meter.zeus.sources import nvidia_total_mj

    try:
        numbers = {gpu.uuid: gpu.index for gpu in inventory()}
        return sum(nvidia_total_mj(numbers[uuid]) for uuid in meters["nvml"].spec.devices) / 1000.0
    except MeterUnavailable:
        return None


def _is_checked(name: str, meter: Meter) -> bool:
    return meter.spec.counter.clocked and name != "simulated"


def _period(idle: Idle, clocked: bool) -> str:
    if not clocked:
        return "with the work"
    if idle.moves_always:
        return f"< {1000 * POLL_EVERY_S:g} ms"
    if idle.update_period_s is None:
        return "unknown"
    return f"{1000 * idle.update_period_s:.0f} ms"


def _joules(load: Load, kind: Kind) -> str:
    if load.energy_j is None:
        return escape(f"unknown: {load.reason}")
    error = f" +- {load.error_j:.2f}" if load.error_j and load.error_j >= 0.005 else ""
    return f"{load.energy_j:.2f}{error} J {kind.value}"


def _watts(power_w: float | None) -> str:
    return "unknown" if power_w is None else f"{power_w:.2f} W"


def _rise(load: Load) -> str:
    return "unknown" if load.temperature_rise_k is None else f"{load.temperature_rise_k:+.1f} K"


def _flags(load: Load) -> str:
    return escape(", ".join(load.flags)) or "none"


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        example=EXAMPLE,
        prog="python -m search.meter",
        description="What can be measured on this machine, of what kind and how well, and what stands in the "
        "way of the rest.",
        epilog="Keys of a study may follow (device=cpu, meter.watts_per_core=5).",
        allow_abbrev=False,
    )
    parser.add_argument("--check", action="store_true", help="idle and load, read by all meters side by side")
    parser.add_argument("--seconds", type=_seconds, default=20.0, help="of idle and of load in --check (20)")
    parser.add_argument("--idle", type=_seconds, default=2.0, help="seconds of idling in the list (2)")
    return parser


def _seconds(text: str) -> float:
    with suppress(ValueError):
        value = float(text)
        if 0 < value <= 86400:
            return value
    raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")


if __name__ == "__main__":
    main()

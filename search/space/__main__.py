"""`python -m search.space +study=NAME`: the search space of a study as this machine can offer it, and what is
left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import optuna
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape
from rich.table import Table

from model.capabilities import Capabilities
from model.config import RunConfig
from model.runnable import unrunnable
from search.config.checks import check_study
from search.config.complaints import unnamed
from search.config.composition import run, to_config
from search.console import terminal
from search.console.leaving import leaving_at_once
from search.console.plural import counted
from search.errors import UserError
from search.meter.choose import choose
from search.sampling.proposal import draw_at_random
from search.space.levers import by_function, lever_of
from search.space.model import Entry, Space
from search.space.offer import offered, slow_here
from search.space.paths import get_path
from search.worker.holding import holdable

# Combinations are looked through where they can be listed, else by drawing so many.
MOST_POINTS = 2_000
DRAWS = 1_000


def main() -> None:
    run(task, "config")


def task(composed: DictConfig) -> int:
    if OmegaConf.is_missing(composed.study, "name"):
        raise UserError(unnamed("search.space"))
    config = to_config(composed)
    wanted = check_study(config)
    with leaving_at_once():
        from search.worker.device import resolve  # imports torch

    device = resolve(config.device)
    capabilities = device.capabilities()
    if config.holds_gpus:
        limits = holdable(choose(config.meter, device))
        capabilities = replace(capabilities, **vars(limits))
    space, left_out = offered(wanted, capabilities)
    console = terminal.console()
    console.print(f"{escape(config.study.name)} on {escape(capabilities.device_name)}", highlight=False)
    console.print(printed_table(space))
    for line in left_out:
        console.print(f"left out: {escape(line)}", highlight=False, soft_wrap=True)
    for line in slow_here(space, capabilities):
        console.print(f"slow here: {escape(line)}", highlight=False, soft_wrap=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    combinations, impossible = look_through(space, capabilities)
    console.print(f"{combinations}{'' if impossible else ' all run here'}", highlight=False)
    for reason, share in impossible:
        console.print(f"never proposed ({share:.1%}): {escape(reason)}", highlight=False, soft_wrap=True)
    return 0


def printed_table(space: Space) -> Table:
    """A row a dimension."""
    rows = Table(title="offered", title_justify="left")
    for name in ("parameter", "lever of the", "baseline", "values", "only where"):
        rows.add_column(name, overflow="fold")
    for entry in space.entries:
        rows.add_row(
            entry.path,
            _lever(space, entry),
            escape(str(get_path(space.base, entry.path))),
            escape(values_of(entry)),
            escape("; ".join(f"{path} is {' or '.join(map(str, ok))}" for path, ok in entry.when.items())),
        )
    return rows


def _lever(space: Space, entry: Entry) -> str:
    """The lever of all values that the parameter may take, the baseline's included."""
    return lever_of(entry.path, (*entry.choices, get_path(space.base, entry.path)))


def values_of(entry: Entry) -> str:
    """What an entry may be, in words."""
    if entry.type == "categorical":
        kernels = [", ".join(group) for group in by_function(entry.path, entry.choices)]
        return " | ".join(kernels) or ", ".join(str(choice) for choice in entry.choices)
    multiple = f", multiples of {entry.multiple_of}" if entry.multiple_of else ""
    if entry.low == entry.high:
        return f"{entry.low:g}{multiple}"
    scale = ", log" if entry.log else ""
    step = f" by {entry.step:g}" if entry.step is not None else ""
    return f"{entry.low:g} to {entry.high:g}{step}{scale}{multiple}"


def look_through(space: Space, capabilities: Capabilities) -> tuple[str, Sequence[tuple[str, float]]]:
    """How many combinations there are, in words, and why which share of them does not run here."""
    points = space.points(MOST_POINTS)
    if points is None:
        points = [draw_at_random(space, number) for number in range(DRAWS)]
        said = f"more than {MOST_POINTS:,} combinations; of {DRAWS:,} drawn at random"
    else:
        said = f"{counted(len(points), 'combination')}:"
    reasons = Counter(
        reason
        for params in points
        if (reason := unrunnable(RunConfig.from_mapping(space.config(params)), capabilities.device_type))
    )
    return said, [(reason, count / len(points)) for reason, count in reasons.most_common()]


if __name__ == "__main__":
    main()

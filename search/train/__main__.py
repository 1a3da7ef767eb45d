"""`python -m search.train [key=value ...]`: one configuration to the target, metered as in a study; prints
its ledger.

`recipe=reports/NAME/best.yaml` starts from a study's winner; what stands on the command line wins over it.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from model.variants import absent
from search.config.checks import check_run
from search.config.composition import run, to_config
from search.config.schema import StudyConfig
from search.console import terminal
from search.console.leaving import leaving_at_once
from search.console.signals import Interruption, ends_like_ctrl_c
from search.errors import NO_RESULT, Stopped, UserError
from search.files.paths import absolute
from search.record.record import PHASES, Outcome, Record
from search.record.target import TO_THE_END, target_of
from search.report.advice import reachable_target
from search.study.progress import Watcher
from search.train.recipe import read_recipe
from search.worker.fresh_caches import fresh_caches_here


def with_recipe(composed: DictConfig, overrides: list[str]) -> DictConfig:
    """The recipe over the defaults, and the command line's own assignments over both."""
    if composed.recipe is None:
        return composed
    recipe = read_recipe(absolute(composed.recipe))
    typed = [text for text in overrides if not text.lstrip("+").startswith(("recipe=", "study="))]
    merged = OmegaConf.merge(composed, OmegaConf.create(recipe))
    assert isinstance(merged, DictConfig)
    with open_dict(merged):
        for text in typed:
            path = text.lstrip("+").partition("=")[0]
            if "/" not in path and OmegaConf.select(merged, path) is not None:
                OmegaConf.update(merged, path, OmegaConf.select(composed, path))
    return merged


def task(composed: DictConfig) -> int:
    with ends_like_ctrl_c() as interruption:
        return _task(composed, interruption)


def _task(composed: DictConfig, interruption: Interruption) -> int:
    from hydra.core.hydra_config import HydraConfig

    if OmegaConf.is_missing(composed.study, "name"):
        composed.study.name = "train"
    config = to_config(with_recipe(composed, list(HydraConfig.get().overrides.task)))
    check_run(config)
    console = terminal.console()
    with console.status("opening the device and its meter"), fresh_caches_here():
        record = train_one(config, console, interruption)
    _print(record, console)
    if record.outcome is Outcome.OUT_OF_BUDGET and record.curve and not record.interrupted:
        _say_end(record, console)
    if config.output is not None:
        _keep(config.output, record)
    if record.interrupted and record.outcome is Outcome.CRASHED:
        return interruption.status
    wanted = Outcome.OUT_OF_BUDGET if record.target_loss == TO_THE_END else Outcome.REACHED
    return 0 if record.outcome is wanted else NO_RESULT


def _say_end(record: Record, console: Console) -> None:
    """Of a run that missed its target or, by target_loss=auto, had none: how near it came, what to type."""
    auto = record.target_loss == TO_THE_END
    closest = record.curve[-1].loss if auto or record.best_loss is None else record.best_loss
    console.print(
        f"it {'ends at' if auto else 'came to'} {closest:.4f} nats per token; for a target that it reaches, "
        f"type target_loss={reachable_target(closest):g}, or target_loss=auto in a study",
        highlight=False,
        soft_wrap=True,
    )


def _check_output(output: str) -> None:
    """Raises UserError where the record could not be kept: found before there is one to lose."""
    from search.files.records import RecordsError, check_appendable

    if not absolute(output).parent.is_dir():
        raise UserError(f"output={output} lies in a folder that does not exist")
    try:
        check_appendable(absolute(output))
    except RecordsError as error:
        raise UserError(f"output={output} is no file of records ({error}); type output=ANOTHER") from error
    except OSError as error:
        raise UserError(
            f"output={output} cannot be written: {error.strerror or error}; type output=ANOTHER"
        ) from error


def _keep(output: str, record: Record) -> None:
    """Add the record to the file. Where it cannot be written any more, it goes to standard output: it is
    never lost."""
    from search.files.records import append_record, as_line

    try:
        append_record(absolute(output), record)
    except OSError as error:
        print(as_line(record))
        reason = error.strerror or error
        raise UserError(
            f"output={output} can no longer be written: {reason}; the record is the line above"
        ) from error


def train_one(config: StudyConfig, console: Console, interruption: Interruption) -> Record:
    """One run in this process, by the same code that a study's worker runs. Where nobody reads its lines any
    more, it is interrupted, and has a record."""
    with leaving_at_once():
        from search.files import provenance
        from search.files.paths import cache_dir
        from search.run.execute import RunRequest, Seen
        from search.study.loop import load_problem
        from search.worker.device import resolve
        from search.worker.handle import StationSetup
        from search.worker.process import Station

    resolve(config.device)  # a GPU that is not there is said before anything is downloaded
    if config.output is not None:
        _check_output(config.output)
    watcher = Watcher(console, config.study.name, 1)
    problem = load_problem(config, watcher.loading)
    target_loss = target_of(config.target_loss, config.target_margin, ())
    watcher.problem(problem.corpus, problem.ngram, target_loss, problem.validation_tokens)
    setup = StationSetup(
        study="train",
        data=asdict(config.data),
        data_sha256=problem.corpus.sha256,
        device=asdict(config.device),
        meter=asdict(config.meter),
        cache_dir=str(cache_dir()),
    )
    station = Station.open(setup)
    if missing := absent(config.run_config(), station.device.capabilities()):
        raise UserError(missing)
    hello = station.hello()
    console.print(
        f"{escape(station.device.name)}, meter {station.info.name} ({station.info.kind.value}): "
        f"{escape(station.info.chosen_because)}",
        highlight=False,
    )
    request = RunRequest(
        study="train",
        trial=0,
        run_id=uuid.uuid4().hex,
        role="single",
        params={},
        config=config.run_values(),
        target_loss=TO_THE_END if target_loss is None else target_loss,
        objectives=tuple(config.objective.names),
        vocab_size=problem.corpus.vocab_size,
        limits=config.limits(),
        provenance={
            "code": provenance.code(),
            "hardware": hello["hardware"],
            "software": hello["software"],
            "data": provenance.data(problem.corpus, problem.ngram, problem.validation_tokens),
        },
    )

    def report(seen: Seen) -> None:
        if seen.progress.loss is not None:
            energy_j, time_s = seen.counted
            kind = station.info.kind.value
            joules = "unknown" if energy_j is None else f"{energy_j:10.2f} J ({kind})"
            line = f"step {seen.progress.step:6d}  loss {seen.progress.loss:.4f}  {joules}  {time_s:8.2f} s"
            try:
                console.print(line, highlight=False)
            except Stopped as stopped:
                interruption.status = stopped.status
                raise KeyboardInterrupt from stopped

    said = ""

    def waiting(what: str) -> None:
        nonlocal said
        if what != said:
            said = what
            console.print(f"waiting for {escape(what)}", highlight=False)

    return station.run(request, report, waiting)


def _print(record: Record, console: Console) -> None:
    kind = record.meter.kind.value
    console.print(f"{record.outcome}: {escape(record.reason)}", highlight=False)
    if record.ledger is None:
        console.print(f"no energy: {escape(record.reason)}")
        return
    table = Table(title=f"ledger ({kind} by {record.meter.name})")
    for name in ("phase", "energy / J", "time / s", "counted"):
        table.add_column(name, justify="left" if name in ("phase", "counted") else "right")
    counted = record.meter.counted_phases.phases
    for phase in PHASES:
        energy_j, time_s = record.ledger.energy_j[phase], record.ledger.time_s[phase]
        table.add_row(phase, f"{energy_j:.3f}", f"{time_s:.3f}", "yes" if phase in counted else "")
    table.add_section()
    table.add_row("gross", f"{record.ledger.gross_energy_j:.3f}", f"{record.ledger.gross_time_s:.3f}", "")
    if record.counted_energy_j is not None and record.counted_time_s is not None:
        table.add_row("counted", f"{record.counted_energy_j:.3f}", f"{record.counted_time_s:.3f}", "yes")
    console.print(table)
    if record.crossing is not None:
        low, high = record.crossing.energy_low_j, record.crossing.energy_j
        console.print(
            f"target {record.target_loss:g} crossed between {low:.3f} J and {high:.3f} J "
            f"({kind}; {record.crossing.relative_interval:.1%} of the counted joules); {high:.3f} J counts",
            highlight=False,
        )
    if record.energy_error_j is not None:
        console.print(error_words(record.energy_error_j), highlight=False)
    rise = temperature_rise(record)
    if rise:
        console.print(rise, highlight=False)
    for side in record.also:
        joules = (
            f"unknown: {side.reason}" if side.counted_energy_j is None else f"{side.counted_energy_j:.3f} J"
        )
        console.print(f"beside it: {joules} ({side.kind.value} by {side.meter})", highlight=False)
    if record.flags:
        console.print(f"flags: {', '.join(record.flags)}", highlight=False)


def error_words(error_j: float) -> str:
    """Which part of the error is known after one run, and which is not."""
    return (
        f"+- {error_j:.2g} J is the meter's tick alone (its update period and resolution): its gain is not "
        "in it, nor the noise between runs, which takes several runs to see"
    )


def temperature_rise(record: Record) -> str:
    """One line, empty where the device told no temperature."""
    start_c, max_c = record.observed.get("temperature_start_c"), record.observed.get("temperature_max_c")
    if start_c is None or max_c is None:
        return ""
    return (
        f"temperature {start_c:.1f} C at the start, {max_c:.1f} C at most: a rise of {max_c - start_c:.1f} K"
    )


def main() -> None:
    run(task, "config")


if __name__ == "__main__":
    main()

"""`python -m search.train [key=value ...]`: one configuration to the target, metered as in a study; prints
its ledger.

`recipe=reports/NAME` starts from a study's winner, and with `trial=N` from any trial of it; what stands on
the command line wins over both. `save=FOLDER` keeps the trained model.
"""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from search.config.checks import check_run
from search.config.composition import run, to_config
from search.config.schema import NO_LAUNCHER
from search.console import terminal
from search.console.leaving import leaving_at_once
from search.console.signals import Interruption, ends_like_ctrl_c
from search.errors import NO_RESULT, UserError
from search.record.outcome import Outcome
from search.record.record import Record
from search.record.target import TO_THE_END
from search.train.output import append_to_output
from search.train.recipe import with_recipe
from search.train.summary import print_summary
from search.worker.fresh_caches import fresh_caches_here


def task(composed: DictConfig) -> int:
    with ends_like_ctrl_c() as interruption:
        return _train(composed, interruption)


def _train(composed: DictConfig, interruption: Interruption) -> int:
    from hydra.core.hydra_config import HydraConfig

    if OmegaConf.is_missing(composed.study, "name"):
        composed.study.name = "train"
    config = to_config(with_recipe(composed, list(HydraConfig.get().overrides.task)))
    check_run(config)
    if config.launcher.name != NO_LAUNCHER:
        raise UserError("launcher= belongs to python -m search, which starts studies; drop it")
    console = terminal.console()
    with console.status("opening the device and its meter"), fresh_caches_here():
        with leaving_at_once():  # imports torch, which must find the caches in place
            from search.train.single import train_one
        record, saving = train_one(config, console, interruption)
    print_summary(record, console)
    if saving is not None and (line := saving.line(record)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if config.output is not None:
        append_to_output(config.output, record)
    if saving is not None:
        saving.check()
    return _exit_status(record, interruption)


def _exit_status(record: Record, interruption: Interruption) -> int:
    if record.interrupted and record.outcome is Outcome.CRASHED:
        return interruption.status
    wanted = Outcome.OUT_OF_BUDGET if record.target_loss == TO_THE_END else Outcome.REACHED
    return 0 if record.outcome is wanted else NO_RESULT


def main() -> None:
    run(task, "config")


if __name__ == "__main__":
    main()

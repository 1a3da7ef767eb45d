"""`python -m search +study=NAME`: run a study, or continue it. `search/errors.py` lists its exit statuses."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from search.console.leaving import end_with, leaving_at_once

# What numpy and scipy multiply for a proposal is small: with two threads an ask takes three times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if TYPE_CHECKING:  # imported when needed: --help, --version and mistakes are answered without
    from omegaconf import DictConfig


def task(composed: DictConfig) -> int:
    from omegaconf import OmegaConf

    from search.config.complaints import unnamed
    from search.config.composition import to_config
    from search.config.schema import ONE_RUN, SLURM
    from search.errors import UserError

    if OmegaConf.is_missing(composed.study, "name"):
        raise UserError(unnamed())
    config = to_config(composed)
    of_one_run = next((key for key in ONE_RUN if getattr(config, key) is not None), None)
    if of_one_run is not None:
        raise UserError(f"{of_one_run}= belongs to python -m search.train; a study has its own space")
    with leaving_at_once():
        import optuna

        from search.console.terminal import console
        from search.study.loop import run_study
        from search.study.progress import Watcher
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    watcher = Watcher(console(), config.study.name, config.budget.n_trials, config.metric)
    if config.launcher.name == SLURM:
        from search.launch.slurm import submit_study

        return submit_study(config, _typed(), watcher)
    return run_study(config, watcher)


def _typed() -> list[str]:
    """The options and overrides that composed the study of this task: of one among several with -m."""
    from hydra.core.hydra_config import HydraConfig

    from search.config.command_line import config_dirs

    folders = [f"--config-dir={folder}" for folder in config_dirs(sys.argv[1:])]
    return [*folders, *HydraConfig.get().overrides.task]


def program() -> int:
    from search.config.command_line import checked
    from search.config.help import answer

    answered = answer(checked(sys.argv[1:]))
    if answered is not None:
        sys.stdout.write(answered)
        return 0
    import logging
    import warnings

    from optuna.exceptions import ExperimentalWarning

    from search.config.composition import start

    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    return start(task, "config", sys.argv[1:])


def main() -> None:
    end_with(program)


if __name__ == "__main__":
    main()

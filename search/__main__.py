"""`python -m search +study=NAME`: run a study, or go on with it. Exit status 0 done, 2 a mistake to put
right."""

from __future__ import annotations

import logging
import warnings

import optuna
from omegaconf import DictConfig, OmegaConf

from search.compose import missing_study, run, to_config
from search.errors import UserError
from search.progress import Watcher
from search.study import run_study
from search.terminal import console


def task(composed: DictConfig) -> int:
    if OmegaConf.is_missing(composed.study, "name"):
        raise UserError(missing_study())
    config = to_config(composed)
    if config.recipe is not None or config.output is not None:
        raise UserError("recipe= and output= belong to python -m search.train; a study has its own space")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    watcher = Watcher(console(), config.study.name, config.budget.n_trials)
    return run_study(config, watcher)


def main() -> None:
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    run(task, "config")


if __name__ == "__main__":
    main()

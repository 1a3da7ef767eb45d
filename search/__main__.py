"""`python -m search +study=NAME`: run a study, or go on with it. `search/errors.py` lists its exit
statuses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from search.leaving import end_with, leaving_at_once

if TYPE_CHECKING:  # imported when needed: --help, --version and mistakes are answered without
    from omegaconf import DictConfig


def task(composed: DictConfig) -> int:
    from omegaconf import OmegaConf

    from search.complaints import unnamed
    from search.compose import to_config
    from search.errors import UserError

    if OmegaConf.is_missing(composed.study, "name"):
        raise UserError(unnamed())
    config = to_config(composed)
    if config.recipe is not None or config.output is not None:
        raise UserError("recipe= and output= belong to python -m search.train; a study has its own space")
    with leaving_at_once():
        import optuna

        from search.progress import Watcher
        from search.study import run_study
        from search.terminal import console
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    watcher = Watcher(console(), config.study.name, config.budget.n_trials)
    return run_study(config, watcher)


def program() -> int:
    from search.command_line import checked
    from search.help import answer

    answered = answer(checked(sys.argv[1:]))
    if answered is not None:
        sys.stdout.write(answered)
        return 0
    import logging
    import warnings

    from optuna.exceptions import ExperimentalWarning

    from search.compose import start

    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    return start(task, "config", sys.argv[1:])


def main() -> None:
    end_with(program)


if __name__ == "__main__":
    main()

"""`python -m search.confirm reports/NAME [confirm.seeds=8 ...]`: fit and confirm the best of a study that has
been run, or continue where its confirmation stopped. `search/errors.py` lists its exit statuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.console.leaving import end_with, leaving_at_once
from search.console.one_line_parser import OneLineParser
from search.errors import ONE_LINE, USAGE_ERROR, say


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        return _confirm(asked.folder, asked.settings)
    except ONE_LINE as error:
        say(str(error))
        return USAGE_ERROR


def _confirm(folder: Path, overrides: Sequence[str]) -> int:
    with leaving_at_once():
        import logging
        import warnings

        import optuna
        from optuna.exceptions import ExperimentalWarning

        from search.config.from_folder import config_of_study
        from search.console.terminal import console
        from search.study.loop import run_study
        from search.study.progress import Watcher
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    config = config_of_study(folder, overrides)
    watcher = Watcher(console(), config.study.name, config.budget.n_trials, config.metric)
    return run_study(config, watcher, only_confirm=True)


def _parser() -> OneLineParser:
    parser = OneLineParser(
        example="python -m search.confirm reports/demo",
        prog="python -m search.confirm",
        description="Fit the length of a study's best recipes, run them beside the baseline with fresh "
        "seeds, and state the verdict. What has been measured is not measured again. Exit status: 0 SAVES, "
        "10 TIE, 11 COSTS, 12 UNPROVEN.",
    )
    parser.add_argument("folder", type=Path, help="a study's report folder, the one with records.jsonl in it")
    parser.add_argument("settings", nargs="*", help="settings of the confirmation, such as confirm.seeds=8")
    return parser


if __name__ == "__main__":
    end_with(main)

"""`python -m search.exam [+study=NAME] [exam.KEY=VALUE ...] [overrides of the study ...]`, or `make exam`:
all that is to be known of a machine, and a study on it. `search/errors.py` lists its exit statuses."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from search.console.leaving import end_with

if TYPE_CHECKING:  # imported when needed: --help and mistakes are answered without
    from omegaconf import DictConfig

_HELP = """\
python -m search.exam [+study=NAME] [exam.KEY=VALUE ...] [overrides of the study ...]

Looks at this machine, checks its meter, runs the tests that need a GPU, measures each kernel, and searches,
fits and confirms in a study (+study=shakespeare_char_gpu unless it is named). Every step goes on where it was
ended.

  exam.plan=true                what would be done, and how long it takes; does nothing
  exam.minutes=18               wall-clock minutes of the study
  exam.slice_minutes=9          ends this call in time, with status 3: the same command goes on
  exam.pack=DIR                 leaves in DIR what is needed to go on elsewhere
  exam.resume=DIR               goes on with such a folder
  exam.skip=[tests,variants]    steps to leave out; exam.only=[...]: the only ones
  exam.folder=FOLDER            where all of it is kept; reports/exam-STUDY without

Steps: environment, meter, tests, variants, profiles, study, report. More: docs/exam.md and
search/exam/settings.py.
"""


def program() -> int:
    from search.exam.settings import parted

    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.stdout.write(_HELP)
        return 0
    began_s = time.monotonic()
    settings, rest = parted(sys.argv[1:])

    def task(composed: DictConfig) -> int:
        from omegaconf import OmegaConf

        from search.config.checks import check_study
        from search.config.complaints import unnamed
        from search.config.composition import to_config
        from search.console.terminal import console
        from search.errors import UserError
        from search.exam.loop import run_exam

        if OmegaConf.is_missing(composed.study, "name"):
            raise UserError(unnamed())
        config = to_config(composed)
        check_study(config)
        return run_exam(config, settings, rest, console(), began_s)

    from search.config.composition import start

    return start(task, "config", rest)


def main() -> None:
    end_with(program)


if __name__ == "__main__":
    main()

"""`python -m search.exam.measure`: joules and seconds a step of each kernel, into variants.json.

A process of its own, which goes on where the one before it ended. Exit status 0: every kernel has its line;
3: there is more to do, since it was asked to end, or since a kernel failed and the next one needs a process
that it has not spoilt.
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from search.config.checks import check_run
from search.config.composition import start, to_config
from search.console.leaving import end_with, leaving_at_once
from search.exam.folder import ExamFolder
from search.exam.settings import parted
from search.files.paths import absolute
from search.study.signals import StopRequest
from search.worker.fresh_caches import fresh_caches_here


def program() -> int:
    settings, rest = parted(sys.argv[1:])

    def task(composed: DictConfig) -> int:
        config = to_config(composed)
        check_run(config)
        assert settings.folder is not None, "the exam names its folder"
        folder = ExamFolder(absolute(settings.folder))
        stop = StopRequest()
        with fresh_caches_here():
            with leaving_at_once():  # imports torch, which must find the caches in place
                from search.exam.measuring import measure_all
            stop.listen()
            return measure_all(config, settings, folder, stop)

    return start(task, "config", rest)


def main() -> None:
    end_with(program)


if __name__ == "__main__":
    main()

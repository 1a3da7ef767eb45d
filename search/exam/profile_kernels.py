"""`python -m search.exam.profile_kernels`: where the time and the joules of each measured kernel go, into
profiles.json.

It goes on where the process before it ended. Exit status 0: every kernel that was measured has a profile; 3:
there is more to do, since it was asked to end, or since a kernel failed and the next one needs a process that
it has not spoilt.
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
                from search.exam.profiling import profile_all
            stop.listen()
            return profile_all(config, folder, stop)

    return start(task, "config", rest)


def main() -> None:
    end_with(program)


if __name__ == "__main__":
    main()

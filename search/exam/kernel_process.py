"""A process of an exam that takes one kernel after another, and goes on where the one before it ended.

Its exit status is 0 where no kernel is left, and 3 where there is more to do: it was asked to end, or a
kernel failed and the next one needs a process that it has not spoilt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from omegaconf import DictConfig

from search.config.checks import check_run
from search.config.composition import start, to_config
from search.config.schema import StudyConfig
from search.console.leaving import leaving_at_once
from search.exam.folder import ExamFolder
from search.exam.settings import ExamSettings, parted
from search.files.paths import absolute
from search.study.signals import StopRequest
from search.worker.fresh_caches import fresh_caches_here

Work = Callable[[StudyConfig, ExamSettings, ExamFolder, StopRequest], int]


def take_kernels(importing: Callable[[], Work]) -> int:
    """Do the work that `importing` returns; it may import torch, which finds fresh caches in place."""
    settings, rest = parted(sys.argv[1:])

    def task(composed: DictConfig) -> int:
        config = to_config(composed)
        check_run(config)
        assert settings.folder is not None, "the exam names its folder"
        folder = ExamFolder(absolute(settings.folder))
        stop = StopRequest()
        with fresh_caches_here():
            with leaving_at_once():
                work = importing()
            stop.listen()
            return work(config, settings, folder, stop)

    return start(task, "config", rest)

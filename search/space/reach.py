"""How far a space reaches: whether the text of a study is long enough for all of it, and how many processes
train at most."""

from __future__ import annotations

import copy

from model.config import ConfigError, RunConfig
from model.data import Corpus
from model.fits import too_short
from search.space.model import Entry, Space
from search.space.paths import get_path, set_path

PROCESSES = "train.processes"
# What a text may be too short for.
_SIZES = ("model.block_size", "train.batch_size")


def check_reach(space: Space, corpus: Corpus) -> None:
    """Raises ConfigError where one of the space's sizes reaches further than the text does."""
    for entry in space.entries:
        if entry.path in _SIZES:
            largest = _largest(entry)
            values = copy.deepcopy(dict(space.base))
            set_path(values, entry.path, largest)
            if problem := too_short(RunConfig.from_mapping(values), corpus):
                raise ConfigError(f"space.{entry.path} goes up to {largest}: {problem}")


def most_processes(space: Space) -> int:
    """Of any configuration: by how many processes it is trained at most."""
    varied = [_largest(entry) for entry in space.entries if entry.path == PROCESSES]
    return max([int(get_path(space.base, PROCESSES)), *varied])


def _largest(entry: Entry) -> int:
    return int(max(entry.choices) if entry.choices else entry.high or 0)

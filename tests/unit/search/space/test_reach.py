from __future__ import annotations

from typing import Any

import pytest

from model.config import ConfigError
from model.data import Corpus
from search.config.schema import StudyConfig
from search.space.parse import parse_space
from search.space.reach import check_reach, most_processes

TEXT = Corpus.from_text("tale", "so it goes on and on " * 100)  # 1,890 training tokens


def check(**entries: Any) -> None:
    config = StudyConfig()
    config.evaluation.context = 8
    config.train.batch_size = 2
    check_reach(
        parse_space({key.replace("__", "."): e for key, e in entries.items()}, config.run_values()), TEXT
    )


def test_a_space_that_the_text_is_long_enough_for_is_left_alone() -> None:
    check(
        model__block_size={"type": "categorical", "choices": [8, 64]},
        train__batch_size={"type": "int", "low": 1, "high": 29},
        optimizer__lr={"type": "float", "low": 1e-4, "high": 1e-2},
    )


@pytest.mark.parametrize(
    ("entry", "base", "most"),
    [
        (None, 1, 1),
        (None, 3, 3),
        ({"type": "categorical", "choices": [1, 4, 2]}, 1, 4),
        ({"type": "int", "low": 1, "high": 2}, 3, 3),
    ],
)
def test_runs_are_of_as_many_processes_as_the_space_or_its_base_has(
    entry: dict[str, Any] | None, base: int, most: int
) -> None:
    config = StudyConfig()
    config.train.processes = base
    raw = {} if entry is None else {"train.processes": entry}
    assert most_processes(parse_space(raw, config.run_values())) == most


@pytest.mark.parametrize(
    ("path", "entry", "largest"),
    [
        ("model__block_size", {"type": "categorical", "choices": [4096, 8]}, 4096),
        ("model__block_size", {"type": "int", "low": 8, "high": 2000}, 2000),
        ("train__batch_size", {"type": "int", "low": 1, "high": 64}, 64),
    ],
)
def test_a_size_that_reaches_further_than_the_text_is_refused(
    path: str, entry: dict[str, Any], largest: int
) -> None:
    with pytest.raises(ConfigError, match=f"space.{path.replace('__', '.')} goes up to {largest}: .*; type "):
        check(**{path: entry})

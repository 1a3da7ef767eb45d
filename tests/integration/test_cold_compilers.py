"""A compiled run starts cold whatever lies on this machine, and leaves nothing for the next."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CONF, run
from this_cpu import needs_compiler

from search.files.records import read_records

PLACES = (
    "TMPDIR",
    "HOME",
    "XDG_CACHE_HOME",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "CUDA_CACHE_PATH",
)


@needs_compiler
@pytest.mark.slow  # half a minute of compiling
def test_a_compiled_run_writes_to_none_of_the_places_where_compilers_remember(
    tiny: Callable[..., list[str]], tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in PLACES}
    for folder in folders.values():
        folder.mkdir()
    data = [one for one in tiny() if one.startswith("data")]
    done = run(
        [
            *(sys.executable, "-m", "search.train", "--config-dir", str(CONF), "+study=tiny", *data),
            *("train.compile=true", "train.max_steps=5", f"output={tmp_path / 'run.jsonl'}"),
        ],
        **{name: str(folder) for name, folder in folders.items()},
    )
    ((record,), _) = read_records(tmp_path / "run.jsonl")
    assert record.observed["compiled_graphs"] > 0, done.stdout + done.stderr
    assert {name: list(folder.rglob("*")) for name, folder in folders.items()} == {n: [] for n in PLACES}

"""What every test shares: quiet Optuna, hypothesis without deadlines, the product run as a person does."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
import torch
from hypothesis import settings

from search.files.paths import root, study_dir

settings.register_profile("joulesearch", deadline=None, print_blob=True)
settings.load_profile("joulesearch")
optuna.logging.set_verbosity(optuna.logging.WARNING)

# Two threads on a busy machine take many times as long for networks as small as the tests'.
torch.set_num_threads(1)

CONF = Path(__file__).parent / "conf"


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60,000 characters of the plays: enough English for a run of a fraction of a second."""
    from model.data.config import DataConfig
    from model.data.shakespeare import read_plays

    path = tmp_path_factory.mktemp("text") / "english.txt"
    path.write_text(read_plays(DataConfig())[:60_000], encoding="utf-8")
    return path


@pytest.fixture
def study_name() -> Iterator[str]:
    """A name that nobody uses; what the study leaves behind is removed."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    shutil.rmtree(study_dir(name), ignore_errors=True)


@pytest.fixture
def tiny(text_file: Path, study_name: str) -> Callable[..., list[str]]:
    """The command line of a study of tiny runs."""

    def command(*overrides: str) -> list[str]:
        return [
            *(sys.executable, "-m", "search", "--config-dir", str(CONF), "+study=tiny"),
            *("data=text", f"data.path={text_file}", f"study.name={study_name}", *overrides),
        ]

    return command


def run(command: list[str], timeout: float = 600, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, in the repository, and give back what was printed."""
    return subprocess.run(
        command,
        cwd=root(),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )

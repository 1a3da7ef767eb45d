"""What every test shares: quiet Optuna, hypothesis without deadlines, the product run as a person does,
and reports that are written once and read by many."""

from __future__ import annotations

import importlib
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hypothesis import settings

from search.files.paths import root, study_dir
from search.worker.locks import VARIABLE

if TYPE_CHECKING:
    from postgres_server import PostgresServer
    from report_page import Page

settings.register_profile("joulesearch", deadline=None, print_blob=True, max_examples=40)
settings.register_profile("thorough", settings.get_profile("joulesearch"), max_examples=200)
settings.load_profile("joulesearch")
optuna.logging.set_verbosity(optuna.logging.WARNING)

# Two threads on a busy machine take many times as long for networks as small as the tests'.
torch.set_num_threads(1)

# Tests in the background, or under nohup, ignore some signals, and so would the programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

CONF = Path(__file__).parent / "conf"


@pytest.fixture(scope="session", autouse=True)
def _locks_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Studies of one test process wait for no other study of this machine."""
    os.environ[VARIABLE] = str(tmp_path_factory.mktemp("locks"))


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
    return partial(tiny_study, text_file, study_name)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study of every outcome: to be read, and left as it is."""
    from records_factory import make_study
    from report_page import report_of

    return report_of(tmp_path_factory.mktemp("report") / "demo", make_study()).parent


@pytest.fixture(scope="session")
def demo_page(demo_folder: Path) -> Page:
    from report_page import Page

    return Page((demo_folder / "report.html").read_text())


@pytest.fixture(scope="session")
def lookup_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study whose winner is lookup-like: to be read, and left as it is."""
    from records_factory import make_lookup_study
    from report_page import report_of

    return report_of(tmp_path_factory.mktemp("lookup") / "demo", make_lookup_study()).parent


@pytest.fixture(scope="session")
def lookup_page(lookup_folder: Path) -> Page:
    from report_page import Page

    return Page((lookup_folder / "report.html").read_text())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server on loopback; skipped where none is installed."""
    from postgres_server import running_server

    with running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The storage of an empty database there. Its password is `postgres_server.PASSWORD`."""
    return postgres_server.new_database()


def tiny_study(text_file: Path, name: str, *overrides: str) -> list[str]:
    return [
        *(sys.executable, "-m", "search", "--config-dir", str(CONF), "+study=tiny"),
        *("data=text", f"data.path={text_file}", f"study.name={name}", *overrides),
    ]


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


def run_here(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """What `run` gives, from the same `python -m` command, called in this process, which has imported
    everything: a new one spends seconds on that. The worker of a study is still a process of its own.
    Settings that Python reads only when it starts (the encoding of its streams, the library path) need `run`.
    """
    assert command[:2] == [sys.executable, "-m"]
    module = importlib.import_module(f"{command[2]}.__main__")
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with _as_before(environment), redirect_stdout(out), redirect_stderr(err):
        sys.argv = [str(module.__file__), *command[3:]]
        try:
            status = module.main()
        except SystemExit as left:
            status = left.code
    assert status is None or isinstance(status, int)
    return subprocess.CompletedProcess(command, status or 0, out.getvalue(), err.getvalue())


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _as_before(environment: dict[str, str]) -> Iterator[None]:
    """Puts back what a program changes in its process: it expects to end with it."""
    argv, folder, variables = sys.argv, Path.cwd(), dict(os.environ)
    handlers = [signal.getsignal(number) for number in _SIGNALS]
    logger = logging.getLogger()
    loggers, level = list(logger.handlers), logger.level
    threads, verbosity = torch.get_num_threads(), optuna.logging.get_verbosity()
    os.chdir(root())
    os.environ.update(environment)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()
        logging.captureWarnings(False)
        logger.handlers[:], logger.level = loggers, level
        optuna.logging.set_verbosity(verbosity)
        torch.set_num_threads(threads)
        for number, handler in zip(_SIGNALS, handlers, strict=True):
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(folder)
        sys.argv = argv

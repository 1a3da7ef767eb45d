"""Optuna's storage: how it is opened, what is wrong with it, and the few places where its private corners
must be touched.

What is written into it, and when, is `search.study.mirror`'s.
"""

from __future__ import annotations

import itertools
import os
import socket
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import psutil
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from search.errors import UserError
from search.files.paths import shown
from search.files.whole_file import naming
from search.study.secrets import scrub, without_secret

# A database server that does not answer is waited for.
PATIENCE_S = 600.0
# PostgreSQL's advisory lock while tables are made.
TABLES_LOCK = 7_041_976
HEARTBEAT_S = 10
GRACE_S = 60
# User attributes: of a study, what it was begun with; of a trial, which process runs it.
IDENTITY = "identity"
_OWNER = "owner"


class CorruptDatabase(UserError):
    """A SQLite file that is damaged or is none. `path` is where it lies."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"{shown(path)} is no database that can be read ({detail}); move it away and type the same "
            "command: what it held is built again from records.jsonl"
        )
        self.path = path
        self.detail = detail


_CANNOT_OPEN = (
    SQLAlchemyError,
    sqlite3.DatabaseError,
    ImportError,
    RuntimeError,
    OSError,
    StorageInternalError,
)


def open_storage(url: str, folder: Path) -> RDBStorage:
    """`auto` is SQLite in the study's folder. Raises UserError, without any password, where it cannot be
    opened, and CorruptDatabase where its file is damaged."""
    default = url == "auto"
    try:
        parsed = URL.create("sqlite", database=str(folder / "study.db")) if default else make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UserError(
            f"storage must be auto or an SQLAlchemy URL like sqlite:///file.db, got {without_secret(url)!r}"
        ) from error
    sqlite = parsed.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"timeout": 60} if sqlite else {}
    if parsed.get_backend_name() == "postgresql":
        arguments = server_arguments(GRACE_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = _made(parsed.render_as_string(hide_password=False), arguments)
        if sqlite:
            _check_sqlite(storage)
    except _CANNOT_OPEN as error:
        if sqlite and parsed.database and is_damaged(error):
            raise CorruptDatabase(Path(parsed.database), what_is_wrong(error, url)) from error
        raise UserError(
            f"the storage {place(url, folder)} cannot be opened: {what_is_wrong(error, url)}"
        ) from error
    return storage


def server_arguments(silence_s: float) -> dict[str, Any]:
    """Of a connection to PostgreSQL: a client that is gone is noticed within half a minute, and one that was
    stopped in the middle of a transaction is ended after so long, so that the others need not wait for it."""
    return {
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "options": f"-c idle_in_transaction_session_timeout={1000 * silence_s:.0f}",
    }


def _made(url: str, arguments: Mapping[str, Any]) -> RDBStorage:
    with _alone_in(url):
        return _open_or_make(url, arguments)


@contextmanager
def _alone_in(url: str) -> Iterator[None]:
    """Keep other processes from making Optuna's tables on a server at the same time, which they do not bear.
    SQLite's own lock does that for a file."""
    if make_url(url).get_backend_name() != "postgresql":
        yield
        return
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(TABLES_LOCK)))
            yield
    finally:
        engine.dispose()


def _open_or_make(url: str, arguments: Mapping[str, Any]) -> RDBStorage:
    try:
        return RDBStorage(
            url,
            engine_kwargs={"connect_args": arguments},
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
        )
    except AssertionError:  # it does not find the version that it has just written
        raise sqlite3.DatabaseError("Optuna's tables in it are not whole") from None


def _check_sqlite(storage: RDBStorage) -> None:
    with storage.engine.connect() as connection:
        found = connection.execute(sqlalchemy.text("PRAGMA quick_check(1)")).scalar_one()
        if found != "ok":
            raise sqlite3.DatabaseError(f"database disk image is malformed: {found}")
        connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))


def file_of(backend: RDBStorage) -> tuple[int, int] | None:
    """Which file a SQLite storage's path leads to now, None where it is none. A deleted or replaced file
    still takes what is written to it."""
    path = backend.engine.url.database
    try:
        found = os.stat(path) if is_local(backend) and path else None
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def wait_for_server(backend: RDBStorage, say: Callable[[str], None], patience_s: float = PATIENCE_S) -> None:
    """Wait until a database server answers, or for so long: it may restart, or its network be gone."""
    until_s, told = time.monotonic() + patience_s, False
    while not is_local(backend) and time.monotonic() < until_s:
        try:
            with backend.engine.connect() as connection:
                connection.execute(sqlalchemy.text("SELECT 1"))
            return
        except SQLAlchemyError as error:
            if not told:
                url = backend.engine.url.render_as_string(hide_password=False)
                say(f"the storage does not answer ({what_is_wrong(error, url)}): waiting for it")
                told = True
        backend.engine.dispose()
        time.sleep(1.0)


def sqlite_file(url: str, folder: Path) -> Path | None:
    """The file of a SQLite storage, None for another database."""
    if url == "auto":
        return folder / "study.db"
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def place(url: str, folder: Path) -> str:
    """Where the storage is, as it may be shown."""
    return shown(folder / "study.db") if url == "auto" else without_secret(url)


def what_is_wrong(error: BaseException, url: str) -> str:
    """The database's own words, of the innermost error, in one line without a password."""
    inner = _innermost(error)
    return scrub(" ".join(str(inner).split()) or type(inner).__name__, url)[:200]


def is_damaged(error: BaseException) -> bool:
    """Whether it says that a SQLite file is broken, of another program, or lacks what Optuna keeps in it."""
    inner = _innermost(error)
    if isinstance(inner, sqlite3.OperationalError):  # locked, full, read-only, ...: nothing is broken
        return str(inner).startswith(("no such table", "no such column", "malformed database schema"))
    return isinstance(inner, sqlite3.DatabaseError) and not isinstance(inner, sqlite3.IntegrityError)


def _innermost(error: BaseException) -> BaseException:
    while True:
        inner = getattr(error, "orig", None) or error.__cause__
        if not isinstance(inner, BaseException):
            return error
        error = inner


def remove_orphans(backend: RDBStorage) -> None:
    """Drop what is left in SQLite of trials that were deleted by hand: their ids are given out again."""
    if not is_local(backend):  # other databases do not let it come to this
        return
    kinds = ("params", "values", "intermediate_values", "user_attributes", "system_attributes", "heartbeats")
    with backend.engine.begin() as connection:
        for kind in kinds:
            statement = f"DELETE FROM trial_{kind} WHERE trial_id NOT IN (SELECT trial_id FROM trials)"
            connection.execute(sqlalchemy.text(statement))


def set_aside(path: Path) -> Path:
    """Rename a database file, and what SQLite keeps beside it, to a name that is free; returns that name."""
    for count in itertools.count(1):
        new = path.with_name(f"{path.name}.corrupt-{count}")
        if not new.exists():
            break
    with naming(path, "renamed"):
        for suffix in ("-wal", "-shm", "-journal"):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                beside.rename(new.with_name(new.name + suffix))
        path.rename(new)
    return new


def is_local(backend: RDBStorage) -> bool:
    """Whether only this machine can use the storage: SQLite does not cross machines."""
    return backend.engine.dialect.name == "sqlite"


def is_sqlite(url: str) -> bool:
    """Whether the URL names a SQLite file; False where it cannot be read as a URL."""
    try:
        return make_url(url).get_backend_name() == "sqlite"
    except (ArgumentError, ValueError):
        return False


def open_study(storage: RDBStorage, name: str, n_objectives: int) -> optuna.Study:
    """Create or load; every objective is minimised. A loaded study keeps what it was begun with."""
    return optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["minimize"] * n_objectives,
        sampler=optuna.samplers.RandomSampler(),
        load_if_exists=True,
    )


def name_objectives(study: optuna.Study, names: Sequence[str]) -> None:
    """What optuna-dashboard writes at the axes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(names))


def beat(storage: RDBStorage, trial: Trial) -> None:
    """Say that this trial's run is alive."""
    storage.record_heartbeat(trial._trial_id)


@contextmanager
def beating(storage: RDBStorage, trial: Trial) -> Iterator[None]:
    """Say so all the while: an evaluation or a compilation may be longer than the grace period.

    Errors of the storage are ignored: a deleted trial takes no heartbeat, and the run continues."""
    done = threading.Event()

    def pulse() -> None:
        while not done.wait(HEARTBEAT_S):
            with suppress(Exception):  # the next beat may get through
                beat(storage, trial)

    thread = threading.Thread(target=pulse, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def reopen(study: optuna.Study, frozen: FrozenTrial) -> Trial:
    """A handle on a trial that another process left RUNNING."""
    return Trial(study, frozen._trial_id)


def owner() -> dict[str, Any]:
    """User attributes that say which process runs a trial, so that a later one can tell whether it still
    does."""
    me = psutil.Process()
    return {_OWNER: {"host": this_host(), "pid": me.pid, "started": me.create_time()}}


def this_host() -> str:
    """Where process numbers mean what they mean here: two machines, or containers, may have one name."""
    boot, numbers = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts += [boot.read_text(encoding="utf-8").strip()[:8], str(numbers.stat().st_ino)]
    return " ".join(parts)


def abandoned(
    study: optuna.Study, local: bool, own: bool = False, by_heartbeat: bool = True
) -> list[FrozenTrial]:
    """RUNNING trials whose process is gone, of this machine. `own`: those of this process are over too.

    `local`: no other machine can use the storage, so that a trial without an owner belongs to a process that
    died before it could claim it, and one of another host to a container that had another name.
    `by_heartbeat`: those of other machines are failed once their heartbeat is stale.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    mine = owner()[_OWNER] if own else None
    gone = [
        trial
        for trial in running
        if _is_gone(held := trial.user_attrs.get(_OWNER), local) or (own and held == mine)
    ]
    if len(gone) < len(running) and by_heartbeat:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(study)
    return gone


def _is_gone(held: Any, local: bool) -> bool:
    try:
        if held is None or held["host"] != this_host():
            return local
        return abs(psutil.Process(held["pid"]).create_time() - float(held["started"])) > 1.0
    except psutil.NoSuchProcess:
        return True
    except (KeyError, TypeError, ValueError):  # written over by hand
        return local

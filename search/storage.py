"""Optuna's storage: how it is opened, and the few places where its private corners must be touched.

`Trial._trial_id` is private and the heartbeat needs it; optuna-dashboard reads constraints under another key
than Optuna writes. Both are kept here, and tested.
"""

from __future__ import annotations

import re
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import optuna
import psutil
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from search.errors import UserError
from search.objective import CONSTRAINT

HEARTBEAT_S = 10
GRACE_S = 60
_DASHBOARD_CONSTRAINTS = "constraints"
_OWNER = "owner"


def open_storage(url: str, folder: Path) -> RDBStorage:
    """`auto` is SQLite in the study's folder. Raises UserError, without any password, where it cannot be
    opened."""
    default = url == "auto"
    try:
        parsed = URL.create("sqlite", database=str(folder / "study.db")) if default else make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UserError(
            f"storage must be auto or an SQLAlchemy URL like sqlite:///file.db, got {without_secret(url)!r}"
        ) from error
    sqlite = parsed.get_backend_name() == "sqlite"
    arguments = {"timeout": 60} if sqlite else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = RDBStorage(
                parsed.render_as_string(hide_password=False),
                engine_kwargs={"connect_args": arguments},
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S,
            )
        if sqlite:
            with storage.engine.connect() as connection:
                connection.execute(sqlalchemy.text("PRAGMA journal_mode=WAL"))
    except (SQLAlchemyError, ImportError, RuntimeError, OSError) as error:
        detail = " ".join(str(getattr(error, "orig", error)).split())[:200]
        raise UserError(
            f"the storage {without_secret(url)} cannot be opened: {scrub(detail, url)}"
        ) from error
    return storage


def is_local(backend: RDBStorage) -> bool:
    """Whether only this machine can use the storage: SQLite does not cross machines."""
    return backend.engine.dialect.name == "sqlite"


def without_secret(url: str) -> str:
    """The URL as it may be shown: no password, whichever way it was typed.

    Where it does not parse, or more than one reading is possible, only its scheme is left.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return f"{url.split('://')[0]}://***" if "://" in url else "***" if set("@:") & set(url) else url
    if url.count("@") > 1:
        return f"{parsed.drivername}://***"
    shown = parsed.set(query=dict.fromkeys(parsed.query, "***"))
    return shown.render_as_string(hide_password=True)


def scrub(text: str, url: str) -> str:
    """`text` without the password that `url` holds, in any of its spellings."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(url: str) -> set[str]:
    found = set(re.findall(r"://[^:/@]*:(.*)@", url)) | set(re.findall(r"[?&][^=&]*=([^&]*)", url))
    try:
        parsed = make_url(url)
        found |= {str(parsed.password)} if parsed.password else set()
        found |= {str(value) for value in parsed.query.values()}
    except (ArgumentError, ValueError):
        found |= set(re.findall(r":([^:@/]+)[@/]", url)) | {url}
    return {form for secret in found if secret for form in (secret, unquote(secret), quote(secret, safe=""))}


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


def set_constraint(trial: Trial, gap: float) -> None:
    """Optuna's own constraint, and the key that optuna-dashboard reads. Both on every COMPLETE trial."""
    if CONSTRAINT not in trial.storage.get_trial(trial._trial_id).constraints:  # told before, then killed
        trial.set_constraint(CONSTRAINT, float(gap))
    trial.storage.set_trial_system_attr(trial._trial_id, _DASHBOARD_CONSTRAINTS, [float(gap)])


def note(trial: Trial, system_attrs: Mapping[str, Any]) -> None:
    """Keep what a sampler wrote beside its proposal, for the samplers after it."""
    for key, value in system_attrs.items():
        trial.storage.set_trial_system_attr(trial._trial_id, key, value)


def beat(storage: RDBStorage, trial: Trial) -> None:
    """Say that this trial's run is alive."""
    storage.record_heartbeat(trial._trial_id)


@contextmanager
def beating(storage: RDBStorage, trial: Trial) -> Iterator[None]:
    """Say so all the while: an evaluation or a compilation may be longer than the grace period."""
    done = threading.Event()

    def pulse() -> None:
        while not done.wait(HEARTBEAT_S):
            with suppress(SQLAlchemyError, StorageInternalError):  # the next beat may get through
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


def claim(trial: Trial) -> None:
    """Write down which process runs this trial, so that a later one can tell whether it still does."""
    me = psutil.Process()
    trial.set_user_attr(_OWNER, {"host": socket.gethostname(), "pid": me.pid, "started": me.create_time()})


def abandoned(study: optuna.Study, local: bool) -> list[FrozenTrial]:
    """RUNNING trials whose process is gone, of this machine.

    `local`: no other machine can use the storage, so that a trial without an owner belongs to a process that
    died before it could claim it, and one of another host to a container that had another name.
    Trials of other machines are failed once their heartbeat is stale.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    gone = [trial for trial in running if _is_gone(trial.user_attrs.get(_OWNER), local)]
    if len(gone) < len(running):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(study)
    return gone


def _is_gone(owner: Mapping[str, Any] | None, local: bool) -> bool:
    if owner is None or owner["host"] != socket.gethostname():
        return local
    try:
        return abs(psutil.Process(owner["pid"]).create_time() - float(owner["started"])) > 1.0
    except psutil.NoSuchProcess:
        return True

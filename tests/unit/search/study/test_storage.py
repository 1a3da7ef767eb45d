from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import optuna
import psutil
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState, create_trial
from sqlalchemy import text
from sqlalchemy.engine import URL

from search.errors import UserError
from search.sampling.history import constraint_attrs
from search.study.secrets import without_secret
from search.study.storage import (
    GRACE_S,
    HEARTBEAT_S,
    CorruptDatabase,
    abandoned,
    beat,
    beating,
    is_local,
    name_objectives,
    open_storage,
    open_study,
    owner,
    reopen,
    scrub,
    set_aside,
)

# Optuna warns on every ask that heartbeats are for `optimize`; ours are recorded by hand.
pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed to be used:UserWarning")

OBJECTIVES = ("energy_to_target_j", "time_to_target_s")


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[RDBStorage]:
    opened = open_storage("auto", tmp_path)
    yield opened
    opened.remove_session()
    opened.engine.dispose()


@pytest.fixture
def study(storage: RDBStorage) -> optuna.Study:
    return open_study(storage, "a study", len(OBJECTIVES))


def one(storage: RDBStorage, query: str, **values: Any) -> Any:
    with storage.engine.connect() as connection:
        return connection.execute(text(query), values).scalar_one()


def journal_mode(path: Path) -> str:
    """As a connection of its own sees the file."""
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


# ---- opening


def test_auto_is_a_sqlite_file_in_the_studys_folder(storage: RDBStorage, tmp_path: Path) -> None:
    assert (tmp_path / "study.db").is_file()
    assert is_local(storage)


def test_sqlite_writes_ahead_so_that_readers_and_writers_do_not_block_each_other(
    storage: RDBStorage, tmp_path: Path
) -> None:
    assert storage.engine.dialect.name == "sqlite"
    assert journal_mode(tmp_path / "study.db") == "wal"


def test_sqlite_waits_a_minute_for_a_lock(storage: RDBStorage) -> None:
    assert one(storage, "PRAGMA busy_timeout") == 60_000


def test_a_url_of_sqlite_is_opened_as_auto_is(tmp_path: Path) -> None:
    opened = open_storage(f"sqlite:///{tmp_path / 'other.db'}", tmp_path)
    assert journal_mode(tmp_path / "other.db") == "wal"
    assert is_local(opened)
    opened.engine.dispose()


def test_a_study_is_created_once_and_loaded_again(storage: RDBStorage) -> None:
    first = open_study(storage, "a study", len(OBJECTIVES))
    first.ask()
    again = open_study(storage, "a study", len(OBJECTIVES))
    assert len(again.get_trials()) == 1


def test_every_objective_is_minimised_and_named(study: optuna.Study) -> None:
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    name_objectives(study, OBJECTIVES)
    assert study.metric_names == list(OBJECTIVES)


@pytest.mark.parametrize(
    "url",
    [
        "postgres",
        "",
        "nonsense://someone:hunter2@host/db",
        "postgresql+nodriver://someone:hunter2@host/db",
        "my-sql://someone:hunter2@host/db",
        "sqlite:////no/such/folder/study.db",
        pytest.param("postgresql://someone:hunter2/db"),
        pytest.param("someone:hunter2@host/db"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_line_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_storage(url, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert "storage" in message
    assert "hunter2" not in message


# ---- secrets

SHOWN = "postgresql+psycopg://someone:***@db.example:5432/studies"
odd = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=3, max_size=20)


def url_with(password: str) -> str:
    """As SQLAlchemy itself writes it, with whatever a URL cannot hold percent-encoded."""
    url = URL.create("postgresql+psycopg", "someone", password, "db.example", 5432, "studies")
    return url.render_as_string(hide_password=False)


@given(odd)
@example("p@ss:w/rd")
@example("hunter2%40")
@example("$€ 'x' #?&=+")
def test_a_url_is_shown_without_its_password(password: str) -> None:
    assert without_secret(url_with(password)) == SHOWN


@given(odd)
@example("p@ss:w/rd")
@example("hunter2%40")
@example("back\\slash.*")
def test_a_text_is_shown_without_the_urls_password(password: str) -> None:
    error = 'FATAL: password authentication failed for "***"'
    assume(password not in error)
    assert scrub(error.replace("***", password), url_with(password)) == error


@given(odd)
@example("p@ss")
def test_a_text_is_shown_without_the_password_as_it_was_typed_either(password: str) -> None:
    for spelling in (quote(password, safe=""), quote_plus(password)):
        url = f"postgresql+psycopg://someone:{spelling}@db.example:5432/studies"
        assert spelling == password or spelling not in scrub(f"cannot connect to {url}", url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hunter2@host/db",
        "postgresql://someone:hunter2@host",
        "mysql+pymysql://someone:hun:ter2@host/db",
        "postgresql://someone:hun/ter2@host/db",
        pytest.param("postgresql://someone:x@hunter2@host/db"),
        pytest.param("postgresql://host/db?user=someone&password=hunter2"),
        pytest.param("postgresql://someone:hunter2@host:port/db"),
        pytest.param("someone:hunter2@host/db"),
    ],
)
def test_no_part_of_a_password_is_shown_however_the_url_was_typed(url: str) -> None:
    shown = without_secret(url)
    assert "hunter2" not in shown
    assert "ter2" not in shown


@pytest.mark.parametrize(
    "url", ["sqlite:///study.db", "postgresql://someone@host/db", "auto", "nonsense", ""]
)
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert without_secret(url) == url
    assert scrub("some text", url) == "some text"


# ---- constraints


def test_both_keys_of_the_constraint_are_set(study: optuna.Study) -> None:
    study.add_trial(create_trial(values=[1.0, 2.0], system_attrs=constraint_attrs(0.25)))
    (trial,) = study.get_trials()
    assert trial.constraints["loss_gap"] == 0.25  # what Optuna's samplers read
    assert trial.system_attrs["constraints"] == [0.25]  # what optuna-dashboard reads


def test_only_a_trial_that_reached_the_target_is_on_optunas_front(study: optuna.Study) -> None:
    for gap, values in ((0.1, [1.0, 1.0]), (-0.1, [2.0, 2.0]), (0.0, [3.0, 1.5])):
        study.add_trial(create_trial(values=values, system_attrs=constraint_attrs(gap)))
    assert sorted(trial.number for trial in study.best_trials) == [1, 2]


# ---- who is alive


def beats(storage: RDBStorage, trial: Trial) -> int:
    return int(one(storage, "SELECT count(*) FROM trial_heartbeats WHERE trial_id = :id", id=trial._trial_id))


def age_heartbeat(storage: RDBStorage, trial: Trial, seconds: float) -> None:
    then = datetime.now() - timedelta(seconds=seconds)
    with storage.engine.begin() as connection:
        connection.execute(
            text("UPDATE trial_heartbeats SET heartbeat = :then WHERE trial_id = :id"),
            {"then": then.strftime("%Y-%m-%d %H:%M:%S"), "id": trial._trial_id},
        )


def owned(study: optuna.Study, **changed: Any) -> Trial:
    """A running trial of another process: as `claim` writes it, with some of it replaced."""
    trial = study.ask()
    [(key, held)] = owner().items()
    trial.set_user_attr(key, held | changed)
    return trial


def numbers(study: optuna.Study, local: bool = True) -> list[int]:
    return [trial.number for trial in abandoned(study, local)]


@pytest.fixture
def other() -> Iterator[psutil.Popen]:
    """Another process, alive until the test ends it."""
    with psutil.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def test_a_beat_is_recorded(study: optuna.Study, storage: RDBStorage) -> None:
    trial = study.ask()
    beat(storage, trial)
    beat(storage, trial)
    assert beats(storage, trial) == 1


def test_a_heart_beats_in_the_background_only_until_the_block_ends(
    study: optuna.Study, storage: RDBStorage
) -> None:
    before = threading.active_count()
    with beating(storage, study.ask()):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_beating_trial_goes_stale_only_after_the_grace_period(
    study: optuna.Study, storage: RDBStorage
) -> None:
    trial = study.ask()
    beat(storage, trial)
    assert storage._get_stale_trial_ids(study._study_id) == []
    age_heartbeat(storage, trial, 10 * (GRACE_S + HEARTBEAT_S) + 86_400)
    assert storage._get_stale_trial_ids(study._study_id) == [trial._trial_id]


def test_a_trial_of_a_process_that_ended_is_abandoned(study: optuna.Study, other: psutil.Popen) -> None:
    owned(study, pid=other.pid, started=other.create_time())
    assert numbers(study) == []
    other.stdin.close()
    other.wait()
    assert numbers(study) == [0]
    assert numbers(study, local=False) == [0]


def test_a_trial_of_another_process_that_lives_is_not(study: optuna.Study, other: psutil.Popen) -> None:
    owned(study, pid=other.pid, started=other.create_time())
    assert numbers(study) == []
    assert numbers(study, local=False) == []


def test_a_process_number_that_was_given_out_again_is_another_process(
    study: optuna.Study, other: psutil.Popen
) -> None:
    owned(study, pid=other.pid, started=other.create_time() - 3600.0)
    assert numbers(study) == [0]


def test_this_process_number_of_an_earlier_process_is_another_process_too(study: optuna.Study) -> None:
    """In a container every study has the same number."""
    owned(study, started=psutil.Process().create_time() - 3600.0)
    assert numbers(study) == [0]


def test_a_trial_of_this_process_is_not_abandoned(study: optuna.Study) -> None:
    owned(study)
    assert numbers(study) == []
    assert [trial.number for trial in abandoned(study, local=True, own=True)] == [0]


@pytest.mark.parametrize("local", [True, False])
def test_a_trial_that_nobody_claimed_is_abandoned_only_where_no_other_machine_can_have_it(
    study: optuna.Study, local: bool
) -> None:
    study.ask()
    assert numbers(study, local) == ([0] if local else [])


def test_a_trial_of_another_machine_is_not_abandoned_where_machines_share_the_storage(
    study: optuna.Study, storage: RDBStorage
) -> None:
    beat(storage, owned(study, host="elsewhere", pid=1))
    assert numbers(study, local=False) == []
    assert study.get_trials()[0].state is TrialState.RUNNING


def test_another_host_on_a_storage_of_this_machine_is_a_container_that_is_gone(study: optuna.Study) -> None:
    owned(study, host="an-earlier-container", pid=1)
    assert numbers(study, local=True) == [0]


def test_a_trial_of_another_machine_fails_once_its_heartbeat_is_stale(
    study: optuna.Study, storage: RDBStorage
) -> None:
    trial = owned(study, host="elsewhere", pid=1)
    beat(storage, trial)
    age_heartbeat(storage, trial, 10 * (GRACE_S + HEARTBEAT_S) + 86_400)
    numbers(study, local=False)
    assert study.get_trials()[0].state is TrialState.FAIL


def test_a_finished_trial_is_not_abandoned(study: optuna.Study) -> None:
    trial = owned(study, pid=2**22 - 1)
    assert numbers(study) == [0]
    study.tell(trial, [1.0, 2.0])
    assert numbers(study) == []


def test_an_abandoned_trial_can_be_taken_up_and_told(study: optuna.Study) -> None:
    study.ask()
    [frozen] = abandoned(study, local=True)
    trial = reopen(study, frozen)
    study.tell(trial, [1.0, 2.0])
    assert study.get_trials()[0].state is TrialState.COMPLETE


@pytest.mark.parametrize("held", ["nonsense", {"host": "here"}, {}, [1], {"host": None, "pid": "x"}])
def test_an_owner_that_was_written_over_by_hand_is_one_that_nobody_is(
    study: optuna.Study, held: object
) -> None:
    trial = owned(study)
    trial.set_user_attr(next(iter(owner())), held)
    assert numbers(study, local=True) == [0]
    assert numbers(study, local=False) == []


# ---- files that are broken


@pytest.mark.parametrize("content", [b"garbage " * 1000, b"\0" * 8192, b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_no_database_is_told_from_one_that_cannot_be_opened(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(CorruptDatabase, match=r"study\.db is no database that can be read") as caught:
        open_storage("auto", tmp_path)
    assert caught.value.path == tmp_path / "study.db"
    assert (tmp_path / "study.db").read_bytes() == content


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_truncated_database_is_damaged(tmp_path: Path, kept: float) -> None:
    backend = open_storage("auto", tmp_path)
    filled = open_study(backend, "a study", 2)
    for _ in range(40):
        filled.add_trial(create_trial(values=[1.0, 2.0], user_attrs={"text": "x" * 1000}))
    backend.remove_session()
    backend.engine.dispose()
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = (tmp_path / "study.db").read_bytes()
    (tmp_path / "study.db").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(CorruptDatabase):
        open_storage("auto", tmp_path)


def test_what_is_set_aside_takes_what_sqlite_keeps_beside_it_and_writes_over_nothing(tmp_path: Path) -> None:
    for name in ("study.db", "study.db-wal", "study.db.corrupt-1"):
        (tmp_path / name).write_text(name)
    assert set_aside(tmp_path / "study.db") == tmp_path / "study.db.corrupt-2"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "study.db.corrupt-1": "study.db.corrupt-1",
        "study.db.corrupt-2": "study.db",
        "study.db.corrupt-2-wal": "study.db-wal",
    }


def test_a_database_that_is_deleted_while_it_is_made_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna asserts that it finds the version that it has just written."""

    def made(*_: object, **__: object) -> RDBStorage:
        raise AssertionError

    monkeypatch.setattr("search.study.storage.RDBStorage", made)
    with pytest.raises(CorruptDatabase, match="tables in it are not whole"):
        open_storage("auto", tmp_path)

"""A study keeps its trials in PostgreSQL, and the server's password reaches nothing that it writes."""

from collections.abc import Callable

import optuna
import pytest
from conftest import run
from optuna.storages import RDBStorage
from postgres_server import PASSWORD

from search.files.paths import study_dir

pytestmark = pytest.mark.slow


def test_a_study_in_postgresql_runs_to_its_end_and_says_no_password(
    tiny: Callable[..., list[str]], study_name: str, postgres_url: str
) -> None:
    done = run(tiny("budget.n_trials=2", "target_loss=3.5", f"storage={postgres_url}"))
    assert done.returncode == 0, done.stderr
    storage = RDBStorage(postgres_url)
    trials = optuna.load_study(study_name=study_name, storage=storage).trials
    storage.remove_session()
    storage.engine.dispose()
    assert len(trials) == 2
    assert all(trial.state.is_finished() for trial in trials)
    said = done.stdout + done.stderr
    written = [path.read_text(errors="replace") for path in study_dir(study_name).glob("*") if path.is_file()]
    assert written
    for text in (said, *written):
        assert PASSWORD not in text
        assert PASSWORD.replace("/", "%2F") not in text

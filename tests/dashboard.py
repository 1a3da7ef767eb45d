"""optuna-dashboard's buttons, and worse that may happen to the storage of a study."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from mirrored_study import Study
from optuna.trial import create_trial


class Dashboard:
    """The program itself, asked in this process."""

    def __init__(self, folder: Path) -> None:
        dashboard = pytest.importorskip("optuna_dashboard")
        self.app = dashboard.wsgi(f"sqlite:///{folder / 'study.db'}")

    def ask(self, method: str, path: str, **body: Any) -> tuple[str, Any]:
        content = json.dumps(body).encode()
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        environ |= {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(content)),
            "wsgi.input": BytesIO(content),
        }
        status = ""

        def start(line: str, headers: object, problem: object = None) -> None:
            nonlocal status
            status = line

        answer = b"".join(self.app(environ, start))
        return status, json.loads(answer or b"null")

    def study_id(self) -> int:
        found = self.ask("GET", "/api/studies")[1]["study_summaries"]
        return int(next(one["study_id"] for one in found if one["study_name"] == "a study"))

    def detail(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/api/studies/{self.study_id()}")[1]
        return found

    def trial_id(self, number: int) -> int:
        return int(next(one["trial_id"] for one in self.detail()["trials"] if one["number"] == number))

    def press(self, method: str, path: str, **body: Any) -> None:
        status, answer = self.ask(method, path, **body)
        assert status.startswith("20"), (status, answer)


Press = Callable[[Study], None]


def fail_the_running_trial(study: Study) -> None:
    board = Dashboard(study.folder)
    board.press("POST", f"/api/trials/{board.trial_id(len(study.records))}/tell", state="Fail")


def complete_the_running_trial(study: Study) -> None:
    board = Dashboard(study.folder)
    path = f"/api/trials/{board.trial_id(len(study.records))}/tell"
    board.press("POST", path, state="Complete", values=[0.0, 0.0])


def rename_the_study(study: Study) -> None:
    board = Dashboard(study.folder)
    board.press("POST", f"/api/studies/{board.study_id()}/rename", study_name="mine")


def delete_the_study(study: Study) -> None:
    board = Dashboard(study.folder)
    board.press("DELETE", f"/api/studies/{board.study_id()}")


def delete_the_study_and_make_another_of_its_name(study: Study) -> None:
    delete_the_study(study)
    Dashboard(study.folder).press("POST", "/api/studies", study_name="a study", directions=["maximize"])


def replace_the_study_by_another_of_its_id(study: Study) -> None:
    delete_the_study(study)
    Dashboard(study.folder).press("POST", "/api/studies", study_name="other", directions=["minimize"] * 2)


def run_sql(study: Study, *statements: str) -> None:
    with closing(sqlite3.connect(study.folder / "study.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def delete_the_running_trial(study: Study) -> None:
    run_sql(study, f"DELETE FROM trials WHERE number = {len(study.records)}")


def delete_a_finished_trial(study: Study) -> None:
    run_sql(study, "DELETE FROM trials WHERE number = 1")


def delete_all_trials(study: Study) -> None:
    run_sql(study, "DELETE FROM trials")


def change_a_value(study: Study) -> None:
    run_sql(study, "UPDATE trial_values SET value = 0.0")


def drop_a_table(study: Study) -> None:
    run_sql(study, "DROP TABLE trial_user_attributes")


def delete_the_file(study: Study) -> None:
    for path in study.folder.glob("study.db*"):
        path.unlink()


def put_garbage_in_its_place(study: Study) -> None:
    delete_the_file(study)
    (study.folder / "study.db").write_bytes(b"garbage " * 1000)


def overwrite_it_with_garbage(study: Study) -> None:
    with (study.folder / "study.db").open("r+b") as file:
        file.write(os.urandom(30_000))
    for path in study.folder.glob("study.db-*"):
        path.unlink()


def empty_it(study: Study) -> None:
    delete_the_file(study)
    (study.folder / "study.db").touch()


def finish_a_trial_of_ones_own(study: Study) -> None:
    study.storage.add_trial(create_trial(values=[0.0, 0.0]))


def ask_for_a_trial_of_ones_own(study: Study) -> None:
    study.storage.ask()


PRESSED: list[Press] = [
    *(fail_the_running_trial, complete_the_running_trial, rename_the_study, delete_the_study),
    *(delete_the_study_and_make_another_of_its_name, replace_the_study_by_another_of_its_id),
    *(delete_the_running_trial, delete_a_finished_trial, delete_all_trials, change_a_value, drop_a_table),
    *(delete_the_file, put_garbage_in_its_place, overwrite_it_with_garbage, empty_it),
    *(finish_a_trial_of_ones_own, ask_for_a_trial_of_ones_own),
]

"""What a trial costs in a PostgreSQL database of 1,000 finished ones, as a share of a run of 30 s: all but
training and asking the sampler, and of that what is spent waiting for the server. Printed, not asserted: the
times of a machine are noise."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from postgres_server import running_server
from replay.composing import composed
from test_asking import TIMES, TRIALS, finished, made, shares

from search.config.checks import check_study
from search.record.outcome import Role
from search.sampling.ask import Proposal
from search.study.exchange import exchange_of
from search.study.folder import StudyFolder
from search.study.mirror import Mirror
from search.study.progress import Watcher
from search.study.search_settings import SearchSettings
from search.study.seats import seated
from search.study.shared import SharedStudy


class Quiet:
    def __getattr__(self, name: str) -> object:
        return lambda *what: None


class Waited:
    """For how long this process has waited for the server: whatever psycopg does there goes through one
    method."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        wait = psycopg.Connection.wait

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return wait(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - began

        patch.setattr(psycopg.Connection, "wait", timed)


@pytest.mark.bench
def test_the_database_takes_a_small_share_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(["+study=shakespeare_char_cpu", "space=char_cpu"])
    space = check_study(config)
    settings = SearchSettings(config, space, 65)
    records = list(finished(TRIALS, config, space))
    times, waits, waited = [], [], Waited(monkeypatch)
    with running_server() as server, seated(tmp_path, "a study") as seat:
        url = server.new_database()
        exchange = exchange_of(url, "a study", lambda line: None)
        mirror = Mirror.open(url, tmp_path, "a study", config.objective.names, {}, space, lambda line: None)
        shared = SharedStudy(StudyFolder(tmp_path), seat, exchange, [], mirror, cast("Watcher", Quiet()))
        exchange.give(records)
        exchange.start_renewing()
        with shared.deciding():
            mirror.reconcile(shared.records)
        for turn in range(TIMES + 1):
            request = settings.request(Role.SEARCH, Proposal({}), space.config({}), records, None)
            request = replace(request, run_id=f"new-{turn}", index=TRIALS + turn, params=records[1].params)
            begun = replace(
                made(request.index, request.config, False, 20.0, Role.SEARCH), run_id=request.run_id
            )
            began, waited.seconds = time.perf_counter(), 0.0
            with shared.deciding():
                mirror.waiting(shared.records)
                number = shared.begin(request, begun, 0)
            shared.end(replace(begun, trial=number, params=dict(request.params)), 0)
            if turn:
                times.append(time.perf_counter() - began)
                waits.append(waited.seconds)
        exchange.close()
        mirror.close()
    print(f"\n{TRIALS:,} trials: {shares('for the database', times)}; {shares('waiting for it', waits)}")
    assert len(shared.records) == TRIALS + TIMES + 1

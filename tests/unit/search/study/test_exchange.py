"""What the machines of one study tell each other over PostgreSQL: records, leases, one decision at a time."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from postgres_server import PostgresServer, running_server
from records_factory import make_record

from search.errors import UserError
from search.record.late import EXPIRED
from search.record.record import Record
from search.study.exchange import Alone, exchange_of, is_shared
from search.study.exchange.base import TooLate
from search.study.exchange.postgres import PostgresExchange

pytestmark = pytest.mark.slow
LEASE_S = 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def join(server: PostgresServer) -> Iterator[Callable[..., PostgresExchange]]:
    """Another process of the study."""
    url, opened = server.new_database(), []

    def another(study: str = "a study", said: list[str] | None = None, **changed: Any) -> PostgresExchange:
        say = [].append if said is None else said.append
        exchange = PostgresExchange.open(url, study, uuid.uuid4().hex, say, LEASE_S)
        for name, value in changed.items():
            setattr(exchange, name, value)
        opened.append(exchange)
        return exchange

    yield another
    for exchange in opened:
        exchange.close()


Join = Callable[..., PostgresExchange]


def run_of(trial: int, **changed: Any) -> Record:
    return replace(make_record(0), trial=trial, run_id=f"run-{trial}", index=trial, **changed)


def claimed(exchange: PostgresExchange, record: Record) -> None:
    exchange.going()
    exchange.claim(record)


def test_only_a_postgresql_storage_is_shared() -> None:
    assert is_shared("postgresql+psycopg://me:secret@here/db")
    assert not any(map(is_shared, ("auto", "sqlite:///study.db", "mysql://here/db", "no url at all")))
    assert isinstance(exchange_of("auto", "a study", print), Alone)


def test_a_record_reaches_every_machine_once_and_in_order(join: Join) -> None:
    here, there, other = join(), join(), join("another study")
    here.give([run_of(0), run_of(1)])
    there.give([run_of(1), run_of(2)])
    assert [record.trial for record in there.lacking({"run-1"})] == [0, 2]
    assert here.lacking(set()) == [run_of(0), run_of(1), run_of(2)]
    assert other.lacking(set()) == []


def test_what_one_runs_the_others_know_until_it_has_ended(join: Join) -> None:
    here, there = join(), join()
    claimed(here, run_of(3))
    assert [record.trial for record in there.going()] == [3]
    assert here.going() == []
    here.keep(run_of(3, steps=70))
    here.renew()
    assert there.going()[0].steps == 70
    assert here.finish(run_of(3, steps=400))
    assert there.going() == []
    assert there.lacking(set()) == [run_of(3, steps=400)]


def test_a_decision_that_did_not_know_of_a_claim_is_too_late(join: Join) -> None:
    here, there = join(), join()
    here.going()
    claimed(there, run_of(0))
    with pytest.raises(TooLate):
        here.claim(run_of(1))
    assert [record.trial for record in here.going()] == [0]
    here.claim(run_of(1))
    assert [record.trial for record in there.going()] == [1]


def test_a_claim_that_is_not_renewed_is_recorded_once_with_what_it_had_spent(join: Join) -> None:
    here, there, third = join(), join(), join()
    claimed(here, run_of(4, gross_energy_j=3.5))
    assert there.expire() == 0
    time.sleep(1.2 * LEASE_S)
    assert sorted(each.expire() for each in (there, third)) == [0, 1]
    assert there.going() == []
    (lost,) = third.lacking(set())
    assert (lost.trial, lost.interrupted, lost.feasible) == (4, True, False)
    assert (lost.gross_energy_j, lost.reason) == (3.5, EXPIRED)
    assert not here.finish(run_of(4))
    assert third.lacking({"run-4"}) == []


def test_a_claim_that_had_not_begun_leaves_no_record(join: Join) -> None:
    here, there = join(), join()
    claimed(here, run_of(-1))
    time.sleep(1.2 * LEASE_S)
    assert there.expire() == 1
    assert there.lacking(set()) == []


def test_renewing_keeps_a_claim_and_says_that_the_process_lives(join: Join) -> None:
    here, there = join(), join()
    here.start_renewing()
    claimed(here, run_of(0))
    assert there.others()
    time.sleep(3 * LEASE_S)
    assert there.expire() == 0
    assert there.others()
    here.close()
    assert not there.others()


def test_a_process_that_lost_its_claims_to_a_new_database_can_end_its_run(join: Join) -> None:
    """Nothing there says that the lease ran out, so the result counts."""
    assert join().finish(run_of(0))


def test_one_process_decides_at_a_time(join: Join) -> None:
    within, most = 0, 0
    lock = threading.Lock()

    def decide(exchange: PostgresExchange) -> None:
        nonlocal within, most
        for _ in range(5):
            with exchange.deciding():
                with lock:
                    within += 1
                    most = max(most, within)
                time.sleep(0.005)
                with lock:
                    within -= 1

    threads = [threading.Thread(target=decide, args=(join(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_process_that_was_stopped_while_it_decided_is_not_waited_for_and_too_late(join: Join) -> None:
    stopped, other = join(), join()
    with stopped.deciding():
        stopped.going()
        with other.deciding():
            claimed(other, run_of(0))
        with pytest.raises(TooLate):
            stopped.claim(run_of(1))
    with stopped.deciding():
        claimed(stopped, run_of(1))
    assert [record.trial for record in other.going()] == [1]


def test_a_database_that_restarts_is_waited_for_and_nothing_is_lost(
    server: PostgresServer, join: Join
) -> None:
    said: list[str] = []
    here = join(said=said)
    here.give([run_of(0)])
    server.stop()
    threading.Timer(1.5, server.start).start()
    here.give([run_of(1)])
    assert [record.trial for record in here.lacking(set())] == [0, 1]
    assert len(said) == 1
    assert "waiting for it" in said[0]
    assert "hush" not in said[0]


def test_a_database_that_stays_away_is_one_line_without_its_password(
    server: PostgresServer, join: Join
) -> None:
    here = join(patience_s=0.1)
    server.stop()
    try:
        with pytest.raises(
            UserError, match=r"did not answer for 0.1 s .*the same command continues"
        ) as caught:
            here.give([run_of(0)])
    finally:
        server.start()
    assert "hush" not in str(caught.value)

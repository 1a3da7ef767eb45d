"""What the machines that work on one study tell each other, in the study's PostgreSQL database.

Records travel in a table of their own, so that every machine has them all. A run that goes on is a claim: a
lease that its process renews, with what the run has spent so far. Where it is not renewed for long enough, by
the database's clock, whoever notices first records what had been spent, and the configuration is tried again
elsewhere. One process decides at a time, by an advisory lock. Where that does not hold, because its holder
was stopped in the middle of a decision, a counter tells: a claim is refused whose decision did not know the
claims before it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from search.errors import UserError
from search.files.records import as_line, from_line
from search.record.late import cut_off_by_expiry
from search.record.record import Record
from search.study.exchange.base import TooLate
from search.study.exchange.tables import CLAIMS, DECISIONS, METADATA, PROCESSES, RECORDS, STUDIES
from search.study.storage import PATIENCE_S, TABLES_LOCK, server_arguments, what_is_wrong

LEASE_S = 60.0
# A lease is renewed so often while it lasts.
RENEWALS = 6
# And at least so often, since what was spent after the last renewal of a machine that is lost is not known.
RENEW_EVERY_S = 5.0
RETRY_EVERY_S = 1.0
_AWAY = (OperationalError, InterfaceError, PoolTimeout)
T = TypeVar("T")


@dataclass
class PostgresExchange:
    """One process's view of a study in a database. `holder` names the process among all, `say` is told where
    the database is waited for."""

    engine: sa.Engine
    study: str
    holder: str
    say: Callable[[str], None]
    lease_s: float = LEASE_S
    patience_s: float = PATIENCE_S
    is_shared: bool = True
    _decided: int = 0
    _partials: dict[str, Record] = field(default_factory=dict)
    _done: threading.Event = field(default_factory=threading.Event)

    @staticmethod
    def open(
        url: str,
        study: str,
        holder: str,
        say: Callable[[str], None],
        lease_s: float = LEASE_S,
        patience_s: float = PATIENCE_S,
    ) -> PostgresExchange:
        """The tables are made where they are not there. Raises UserError where the database does not answer
        for long."""
        engine = sa.create_engine(
            url, pool_size=1, max_overflow=2, pool_pre_ping=True, connect_args=server_arguments(lease_s)
        )
        exchange = PostgresExchange(engine, study, holder, say, lease_s, patience_s)
        exchange._patiently(exchange._make_tables)
        return exchange

    def start_renewing(self) -> None:
        """Say that this process works on the study, and renew its leases from now on, until `close`."""
        self._patiently(self.renew)
        threading.Thread(target=self._renew_on, daemon=True).start()

    def close(self) -> None:
        self._done.set()
        mine = sa.delete(PROCESSES).where(PROCESSES.c.study == self.study, PROCESSES.c.holder == self.holder)
        with suppress(sa.exc.SQLAlchemyError), self.engine.begin() as connection:
            connection.execute(mine)
        self.engine.dispose()

    def others(self) -> bool:
        """Whether any other process works on the study."""
        theirs = sa.select(PROCESSES.c.holder).where(
            PROCESSES.c.study == self.study,
            PROCESSES.c.holder != self.holder,
            PROCESSES.c.renewed_at >= self._stale(),
        )

        def read() -> bool:
            with self.engine.begin() as connection:
                return connection.execute(theirs).first() is not None

        return self._patiently(read)

    # ---- deciding

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """No other process of the study decides meanwhile, unless this one is stopped for long."""
        connection = self._patiently(self._locked)
        try:
            yield
        finally:
            with suppress(DBAPIError):  # a connection that broke has let go of the lock
                connection.commit()
            with suppress(DBAPIError):
                connection.close()

    def _locked(self) -> sa.Connection:
        """With a transaction that holds the lock. The server ends it where nothing is heard of its process
        for a lease; what that one decides is then too late, if another has decided since."""
        connection = self.engine.connect()
        try_lock = sa.select(sa.func.pg_try_advisory_xact_lock(_lock_number(self.study)))
        until_s = time.monotonic() + 2 * self.lease_s
        while not connection.execute(try_lock).scalar_one() and time.monotonic() < until_s:
            connection.commit()
            time.sleep(0.05)
        return connection

    # ---- claims

    def going(self) -> list[Record]:
        """The runs of other processes, as far as they have come. What this process decides from now on
        supposes them."""

        def read() -> list[Record]:
            with self.engine.begin() as connection:
                count = sa.select(DECISIONS.c.count).where(DECISIONS.c.study == self.study)
                self._decided = connection.execute(count).scalar_one_or_none() or 0
                theirs = sa.select(CLAIMS.c.partial).where(
                    CLAIMS.c.study == self.study, CLAIMS.c.holder != self.holder
                )
                return [from_line(line) for line in connection.execute(theirs).scalars()]

        return self._patiently(read)

    def claim(self, partial: Record) -> None:
        """Take a run that was decided on. Raises TooLate, also where the database did not answer: whether the
        claim is there is not known then, and nobody renews it."""
        try:
            self._claim(partial)
        except _AWAY as error:
            raise TooLate from error
        self._decided += 1
        self._partials[partial.run_id] = partial

    def _claim(self, partial: Record) -> None:
        counted = sa.update(DECISIONS).where(
            DECISIONS.c.study == self.study, DECISIONS.c.count == self._decided
        )
        with self.engine.begin() as connection:
            first = insert(DECISIONS).values(study=self.study, count=0).on_conflict_do_nothing()
            connection.execute(first)
            if connection.execute(counted.values(count=self._decided + 1)).rowcount != 1:
                raise TooLate
            connection.execute(
                sa.insert(CLAIMS).values(
                    study=self.study,
                    run_id=partial.run_id,
                    holder=self.holder,
                    partial=as_line(partial),
                    renewed_at=sa.func.now(),
                )
            )

    def keep(self, partial: Record) -> None:
        """What the run has spent so far: the next renewal says so."""
        if partial.run_id in self._partials:
            self._partials[partial.run_id] = partial

    def expire(self) -> int:
        """Record what lost runs had spent whose lease has run out. Returns how many there were.

        A claim that has no trial yet had not begun. The record and the end of the claim are one transaction:
        nothing is counted twice, and nothing lost.
        """

        def move() -> int:
            ended = (
                sa.delete(CLAIMS)
                .where(CLAIMS.c.study == self.study, CLAIMS.c.renewed_at < self._stale())
                .where(CLAIMS.c.holder != self.holder)
                .returning(CLAIMS.c.partial)
            )
            with self.engine.begin() as connection:
                lost = [from_line(line) for line in connection.execute(ended).scalars()]
                self._insert(connection, [cut_off_by_expiry(one) for one in lost if one.trial >= 0])
            return len(lost)

        return self._patiently(move)

    def _renew_on(self) -> None:
        while not self._done.wait(min(self.lease_s / RENEWALS, RENEW_EVERY_S)):
            with suppress(sa.exc.SQLAlchemyError):  # the next one may get through
                self.renew()

    def renew(self) -> None:
        """This process lives, and so do its runs, as far as they have come."""
        now = {"renewed_at": sa.func.now()}
        here = insert(PROCESSES).values(study=self.study, holder=self.holder, **now)
        with self.engine.begin() as connection:
            connection.execute(here.on_conflict_do_update(constraint=PROCESSES.primary_key, set_=now))
            for run_id, partial in list(self._partials.items()):
                connection.execute(
                    sa.update(CLAIMS).where(*self._is_claim(run_id)).values(partial=as_line(partial), **now)
                )

    def _stale(self) -> sa.ColumnElement[Any]:
        """What was renewed before this has run out."""
        return sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, self.lease_s)

    # ---- records

    def finish(self, record: Record) -> bool:
        """End the claim of a run and give its record to all. False where its lease had run out, and what it
        had spent until then is recorded already: nothing is given then."""

        claim = sa.delete(CLAIMS).where(CLAIMS.c.study == self.study, CLAIMS.c.run_id == record.run_id)

        def write() -> bool:
            with self.engine.begin() as connection:
                held = connection.execute(claim).rowcount
                if not held and self._is_known(connection, record.run_id):
                    return False
                self._insert(connection, [record])
                return True

        done = self._patiently(write)
        self._partials.pop(record.run_id, None)
        return done

    def give(self, records: Sequence[Record]) -> None:
        """Records that others may lack; those that are there stay as they are."""

        def write() -> None:
            with self.engine.begin() as connection:
                known = set(connection.execute(self._run_ids()).scalars())
                self._insert(connection, [record for record in records if record.run_id not in known])

        self._patiently(write)

    def lacking(self, known: Collection[str]) -> list[Record]:
        """The records that are not known here by the names of their runs, in the order in which they came."""

        def read() -> list[Record]:
            with self.engine.begin() as connection:
                missing = set(connection.execute(self._run_ids()).scalars()) - set(known)
                if not missing:
                    return []
                lines = (
                    sa.select(RECORDS.c.line)
                    .where(RECORDS.c.study == self.study, RECORDS.c.run_id.in_(missing))
                    .order_by(RECORDS.c.sequence)
                )
                return [from_line(line) for line in connection.execute(lines).scalars()]

        return self._patiently(read)

    # ---- the configuration

    def keep_config(self, config: Mapping[str, Any]) -> None:
        """As it may be written down: what a report says of the study."""
        now = {"config": json.dumps(config)}
        kept = insert(STUDIES).values(study=self.study, **now)

        def write() -> None:
            with self.engine.begin() as connection:
                connection.execute(kept.on_conflict_do_update(constraint=STUDIES.primary_key, set_=now))

        self._patiently(write)

    def config(self) -> dict[str, Any] | None:
        """What was kept last, None where the database holds no such study."""

        def read() -> str | None:
            with self.engine.begin() as connection:
                kept = sa.select(STUDIES.c.config).where(STUDIES.c.study == self.study)
                return connection.execute(kept).scalar_one_or_none()

        text = self._patiently(read)
        return None if text is None else dict(json.loads(text))

    def _insert(self, connection: sa.Connection, records: Sequence[Record]) -> None:
        rows = [{"study": self.study, "run_id": one.run_id, "line": as_line(one)} for one in records]
        if rows:
            connection.execute(insert(RECORDS).on_conflict_do_nothing(), rows)

    def _run_ids(self) -> sa.Select[str]:
        return sa.select(RECORDS.c.run_id).where(RECORDS.c.study == self.study)

    def _is_known(self, connection: sa.Connection, run_id: str) -> bool:
        return connection.execute(self._run_ids().where(RECORDS.c.run_id == run_id)).first() is not None

    def _is_claim(self, run_id: str) -> tuple[sa.ColumnElement[bool], ...]:
        return CLAIMS.c.study == self.study, CLAIMS.c.run_id == run_id, CLAIMS.c.holder == self.holder

    # ---- a database that is away

    def _make_tables(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TABLES_LOCK)))
            METADATA.create_all(connection)

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Try again until the database answers. Raises UserError where that takes too long."""
        until_s = time.monotonic() + self.patience_s
        told = False
        while True:
            try:
                return attempt()
            except _AWAY as error:
                if time.monotonic() >= until_s:
                    raise UserError(
                        f"the study's database did not answer for {self.patience_s:g} s "
                        f"({self._wrong(error)}); what has run is safe here, and the same command continues"
                    ) from error
                if not told:
                    self.say(f"the study's database does not answer ({self._wrong(error)}): waiting for it")
                    told = True
            time.sleep(RETRY_EVERY_S)

    def _wrong(self, error: BaseException) -> str:
        return what_is_wrong(error, self.engine.url.render_as_string(hide_password=False))


def _lock_number(name: str) -> int:
    """What PostgreSQL knows the lock by: 63 bits."""
    return int.from_bytes(hashlib.sha256(f"joulesearch {name}".encode()).digest()[:8], "big") >> 1

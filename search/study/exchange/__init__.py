"""What the machines of one study tell each other: over PostgreSQL, or nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from search.study.exchange.alone import Alone
from search.study.exchange.base import Exchange, TooLate
from search.study.exchange.postgres import PostgresExchange

__all__ = ["Exchange", "TooLate", "exchange_of", "is_shared"]


def is_shared(storage: str) -> bool:
    """Whether several machines can work on a study with this storage."""
    try:
        return storage != "auto" and make_url(storage).get_backend_name() == "postgresql"
    except (ArgumentError, ValueError):
        return False


def exchange_of(storage: str, study: str, say: Callable[[str], None], lease_s: float = 60.0) -> Exchange:
    """This process's part in the exchange. Raises UserError where the database does not answer for long."""
    if not is_shared(storage):
        return Alone()
    return PostgresExchange.open(storage, study, uuid.uuid4().hex, say, lease_s)

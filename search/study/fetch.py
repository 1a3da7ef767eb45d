"""Bringing a study that lives in a database into a folder of this machine, to draw its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from search.errors import UserError
from search.files.whole_file import write_atomically
from search.study.exchange import is_shared
from search.study.exchange.postgres import PostgresExchange
from search.study.folder import StudyFolder
from search.study.seats import Seat
from search.study.secrets import without_secret

PATIENCE_S = 10.0


def fetch(url: str, path: Path, say: Callable[[str], None]) -> None:
    """Add the records that `path` lacks of the study with its name, and write down its configuration. The
    folder is made. Raises UserError where the database does not answer or holds no such study."""
    if not is_shared(url):
        raise UserError(
            f"--storage={without_secret(url)}: expected a database that machines share, such as "
            "postgresql+psycopg://USER@HOST/DATABASE"
        )
    exchange = PostgresExchange.open(url, path.name, "report", say, patience_s=PATIENCE_S)
    try:
        config = exchange.config()
        if config is None:
            raise UserError(
                f"{without_secret(url)} holds no study {path.name!r}: name the folder as the study"
            )
        folder, seat = StudyFolder(path), Seat(path)
        folder.make()
        with seat.reading():
            known = {record.run_id for record in folder.read_records()}
            for record in exchange.lacking(known):
                folder.append(record)
        if not (path / "config.yaml").exists():
            write_atomically(path / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    finally:
        exchange.close()

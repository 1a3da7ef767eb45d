"""The exchange of a study whose storage no other machine can use: there is nothing to exchange."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from search.record.record import Record


class Alone:
    """No other machine works on the study."""

    is_shared = False

    def start_renewing(self) -> None:
        pass

    def close(self) -> None:
        pass

    def others(self) -> bool:
        return False

    def deciding(self) -> AbstractContextManager[None]:
        return nullcontext()

    def going(self) -> list[Record]:
        return []

    def claim(self, partial: Record) -> None:
        pass

    def keep(self, partial: Record) -> None:
        pass

    def renew(self) -> None:
        pass

    def expire(self) -> int:
        return 0

    def finish(self, record: Record) -> bool:
        return True

    def give(self, records: Sequence[Record]) -> None:
        pass

    def keep_config(self, config: Mapping[str, Any]) -> None:
        pass

    def lacking(self, known: Collection[str]) -> list[Record]:
        return []

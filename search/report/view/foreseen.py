"""How the forecast of losses did: the runs that it ended, and how often it was wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from search.confirm.intervals import RATIO_LEVEL, clopper_pearson
from search.record.ledger import Phase
from search.record.record import Record


@dataclass(frozen=True)
class ForecastStops:
    """What came of ending runs by the forecast of their loss."""

    ended: Annotated[int, "Runs that were ended by it."]
    audited: Annotated[int, "Runs that it would have ended and that went on, to see how often it is wrong."]
    wrong: Annotated[int, "Of the audited, those that reached the target all the same."]
    wrong_low: Annotated[float | None, "Lower end of the 95 % interval of that share; null where none is."]
    wrong_high: Annotated[float | None, "Its upper end."]
    saved_j: Annotated[
        float,
        "An estimate: the train joules of the steps that the ended runs had left until they would have ended "
        "otherwise.",
    ]


def forecast_stops(records: Sequence[Record]) -> ForecastStops | None:
    """None where nothing was foreseen of any run."""
    foreseen = [record for record in records if record.foreseen is not None]
    if not foreseen:
        return None
    audited = [record for record in foreseen if record.foreseen is not None and record.foreseen.audited]
    ended = [record for record in foreseen if record.foreseen is not None and not record.foreseen.audited]
    wrong = sum(record.feasible for record in audited)
    share = clopper_pearson(wrong, len(audited), RATIO_LEVEL)
    return ForecastStops(
        ended=len(ended),
        audited=len(audited),
        wrong=wrong,
        wrong_low=None if share is None else share.low,
        wrong_high=None if share is None else share.high,
        saved_j=math.fsum(_left_j(record) for record in ended),
    )


def _left_j(record: Record) -> float:
    if record.foreseen is None or record.ledger is None or record.steps <= 0:
        return 0.0
    left = max(0, record.foreseen.until - record.steps)
    return left * record.ledger.energy_j[Phase.TRAIN] / record.steps

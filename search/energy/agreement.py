"""How well one meter stands in for another, from the joules that both counted over the same runs: rank
agreement, scale, regret, and a verdict.

Joules of any completed run compare two meters, so the scale and the residuals take all of them. Order and
regret take only the runs that rank (those that reached the target): a run that was ended early is cheap by
either meter, and mixing such runs in would stretch the range and flatter the correlation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
import numpy.typing as npt

MIN_RUNS = 5  # fewer have no interval
RHO = 0.9  # the least rank correlation that counts as agreement
REGRET = 1.05  # the most that the surrogate's winner may cost, as a ratio to the reference's winner
_Z95 = 1.959964  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class Pair:
    """One run's joules by both meters. `ranks`: whether it reached the target and competes.

    Raises ValueError where one is not a positive finite number: what is unknown cannot be compared.
    """

    label: str
    reference_j: float
    surrogate_j: float
    ranks: bool = True

    def __post_init__(self) -> None:
        for joules in (self.reference_j, self.surrogate_j):
            if not (math.isfinite(joules) and joules > 0):
                raise ValueError(f"expected positive joules of both meters for {self.label}, got {joules}")

    @property
    def ratio(self) -> float:
        """Surrogate over reference."""
        return self.surrogate_j / self.reference_j


class Verdict(StrEnum):
    """Whether ranking by the surrogate may stand for ranking by the reference."""

    AGREES = "AGREES"
    DISAGREES = "DISAGREES"
    UNDECIDED = "UNDECIDED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho with its 95 % interval; the ends are None for fewer than `MIN_RUNS` values."""

    rho: Annotated[float, "From -1 to 1."]
    low: Annotated[float | None, "Lower end of the 95 % interval."]
    high: Annotated[float | None, "Upper end of the 95 % interval."]


@dataclass(frozen=True)
class Residual:
    """A run that the surrogate reads `factor` times as high as its scale would have it."""

    pair: Pair
    factor: float


@dataclass(frozen=True)
class Swap:
    """Two runs that the meters order differently: by the reference `cheaper` costs less, by the surrogate
    more."""

    cheaper: Pair
    dearer: Pair

    @property
    def gap(self) -> float:
        """What the surrogate's choice costs by the reference, as a ratio above 1."""
        return self.dearer.reference_j / self.cheaper.reference_j


@dataclass(frozen=True)
class Winners:
    """The run that the surrogate would choose, the run that is cheapest by the reference, and the ratio of
    their joules by the reference: 1 is no regret."""

    chosen: Pair
    cheapest: Pair

    @property
    def regret(self) -> float:
        return self.chosen.reference_j / self.cheapest.reference_j


@dataclass(frozen=True)
class Agreement:
    """What `compare` found. `scale` is the median of surrogate over reference (None without runs).

    `residuals` are those of all runs, the largest first; `swaps` all pairs of ranking runs in different
    order, the costliest first, out of `comparisons`.
    """

    pairs: tuple[Pair, ...]
    runs: int  # that rank
    correlation: Correlation | None
    scale: float | None
    winners: Winners | None
    residuals: tuple[Residual, ...]
    swaps: tuple[Swap, ...]
    comparisons: int
    verdict: Verdict


def compare(pairs: Iterable[Pair]) -> Agreement:
    """Compare the meters over these runs."""
    every = tuple(pairs)
    ranking = [pair for pair in every if pair.ranks]
    correlation = spearman([p.reference_j for p in ranking], [p.surrogate_j for p in ranking])
    scale = math.exp(float(np.median([math.log(pair.ratio) for pair in every]))) if every else None
    winners = _winners(ranking) if len(ranking) > 1 else None
    return Agreement(
        pairs=every,
        runs=len(ranking),
        correlation=correlation,
        scale=scale,
        winners=winners,
        residuals=() if scale is None else _residuals(every, scale),
        swaps=_swaps(ranking),
        comparisons=math.comb(len(ranking), 2),
        verdict=_verdict(correlation, winners),
    )


def spearman(x: Sequence[float], y: Sequence[float]) -> Correlation | None:
    """Spearman's rho, ties at their mean rank; None where one of the two does not vary.

    The interval is Fisher's z with the standard error sqrt((1 + rho^2 / 2) / (n - 3)) of Bonett and Wright
    (2000), doi:10.1007/BF02294183. A perfect order has no error by that formula: its interval is that of the
    same order with two neighbours swapped, and reaches to 1. In simulated normal pairs of 8 to 40 runs it
    covers 93 to 97 % up to a true rho of 0.95; at 0.99 only 80 to 89 %, because it then lies too low, never
    too high. It errs towards doubting the surrogate.
    """
    n = len(x)
    if n != len(y):
        raise ValueError(f"expected as many values of both, got {n} and {len(y)}")
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    rho = float(np.clip(np.corrcoef(_ranks(x), _ranks(y))[0, 1], -1.0, 1.0))
    if n < MIN_RUNS:
        return Correlation(rho, None, None)
    one_swap = 1.0 - 12.0 / (n * (n * n - 1))
    inner = min(max(rho, -one_swap), one_swap)
    z, error = math.atanh(inner), _Z95 * math.sqrt((1.0 + inner * inner / 2.0) / (n - 3))
    return Correlation(rho, min(rho, math.tanh(z - error)), max(rho, math.tanh(z + error)))


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Ranks from 1, ties at their mean. `scipy.stats.rankdata`, without the two seconds that its import
    takes at every start of the program."""
    _, place, counts = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _winners(ranking: Sequence[Pair]) -> Winners:
    """Where the surrogate cannot tell its cheapest runs apart, the dearest of them is its choice."""
    return Winners(
        chosen=min(ranking, key=lambda pair: (pair.surrogate_j, -pair.reference_j)),
        cheapest=min(ranking, key=lambda pair: pair.reference_j),
    )


def _residuals(pairs: Sequence[Pair], scale: float) -> tuple[Residual, ...]:
    found = (Residual(pair, pair.ratio / scale) for pair in pairs)
    return tuple(sorted(found, key=lambda residual: -abs(math.log(residual.factor))))


def _swaps(ranking: Sequence[Pair]) -> tuple[Swap, ...]:
    """O(n^2) in the runs of one study. A tie of either meter is no difference in order."""
    order = sorted(ranking, key=lambda pair: pair.reference_j)
    swaps = [
        Swap(cheaper, dearer)
        for index, cheaper in enumerate(order)
        for dearer in order[index + 1 :]
        if cheaper.reference_j < dearer.reference_j and cheaper.surrogate_j > dearer.surrogate_j
    ]
    return tuple(sorted(swaps, key=lambda swap: -swap.gap))


def _verdict(correlation: Correlation | None, winners: Winners | None) -> Verdict:
    """A winner that costs too much disagrees however few the runs: it needs no statistics."""
    if winners is not None and winners.regret > REGRET:
        return Verdict.DISAGREES
    if correlation is None or correlation.low is None or correlation.high is None:
        return Verdict.UNKNOWN
    if correlation.high < RHO:
        return Verdict.DISAGREES
    return Verdict.AGREES if correlation.low >= RHO else Verdict.UNDECIDED

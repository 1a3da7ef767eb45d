"""The coefficients of the modelled meter, fitted to what variants of one network were measured to take. Pure.

    energy_j = time_s * static_w + sum over precisions of flops * pj_per_flop + bytes_moved * pj_per_byte

All coefficients are at least zero, and errors count relative to each row's joules. The form is that of Choi
et al., "A roofline model of energy" (IPDPS 2013), its constant power included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

PICO = 1e-12
TIME, BYTES = "static_w", "pj_per_byte"
# Two columns whose shares of the joules differ by less than this cannot be told apart.
SMALLEST_SINGULAR = 1e-3


@dataclass(frozen=True)
class MeasuredStep:
    """One variant: what a step took, and what `model.work` counts in it."""

    name: str
    energy_j: float
    time_s: float
    flops: Mapping[str, float]
    bytes_moved: float


@dataclass(frozen=True)
class Fit:
    """`static_w` is in watts, the others in picojoules. `error`: by row, modelled over measured minus one.
    `left_out_error`: the same where the row took no part in the fit."""

    static_w: float
    pj_per_byte: float
    pj_per_flop: Mapping[str, float]
    error: Mapping[str, float]
    left_out_error: Mapping[str, float]

    def parts_j(self, step: MeasuredStep) -> dict[str, float]:
        """Modelled joules of a step: standing still, moving bytes, arithmetic by precision."""
        arithmetic = {
            f"{name} arithmetic": PICO * step.flops.get(name, 0.0) * price
            for name, price in self.pj_per_flop.items()
        }
        return {
            "constant power": self.static_w * step.time_s,
            "bytes": PICO * self.pj_per_byte * step.bytes_moved,
        } | arithmetic


class NotEnough(ValueError):
    """The rows do not say what the coefficients are. The text is one line."""


def fit(steps: Sequence[MeasuredStep]) -> Fit:
    """Raises NotEnough where the rows are too few or too much alike."""
    names = (TIME, BYTES, *sorted({name for one in steps for name in one.flops}))
    if len(steps) <= len(names):
        raise NotEnough(f"{len(names)} coefficients need more than {len(names)} variants, got {len(steps)}")
    columns = np.array([[_amount(one, name) for name in names] for one in steps])
    joules = np.array([one.energy_j for one in steps])
    _check_told_apart(columns / joules[:, None], names)
    prices = _solve(columns, joules)
    left_out = {
        one.name: float(columns[row] @ _solve(np.delete(columns, row, 0), np.delete(joules, row)))
        / one.energy_j
        - 1
        for row, one in enumerate(steps)
    }
    by_name = {name: float(price) for name, price in zip(names, prices, strict=True)}
    return Fit(
        static_w=by_name.pop(TIME),
        pj_per_byte=by_name.pop(BYTES),
        pj_per_flop=by_name,
        error={
            one.name: float(modelled) / one.energy_j - 1
            for one, modelled in zip(steps, columns @ prices, strict=True)
        },
        left_out_error=left_out,
    )


def _amount(step: MeasuredStep, name: str) -> float:
    """Joules of a step for each unit of a coefficient."""
    if name == TIME:
        return step.time_s
    return PICO * (step.bytes_moved if name == BYTES else step.flops.get(name, 0.0))


def _solve(columns: np.ndarray, joules: np.ndarray) -> np.ndarray:
    relative = columns / joules[:, None]
    scale = np.linalg.norm(relative, axis=0)
    scale[scale == 0.0] = 1.0
    prices, _ = nnls(relative / scale, np.ones(len(joules)))
    return np.asarray(prices / scale)


def _check_told_apart(relative: np.ndarray, names: Sequence[str]) -> None:
    scaled = relative / np.linalg.norm(relative, axis=0)
    *_, directions = (parts := np.linalg.svd(scaled))
    smallest = parts[1][-1]
    if smallest < SMALLEST_SINGULAR:
        alike = [name for name, weight in zip(names, directions[-1], strict=True) if abs(weight) > 0.3]
        raise NotEnough(
            f"the variants are too much alike to tell {' and '.join(alike)} apart: in all of them these grow "
            "together"
        )

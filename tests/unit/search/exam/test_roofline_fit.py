"""The coefficients of the modelled meter, from measured steps."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.exam.roofline_fit import PICO, MeasuredStep, NotEnough, fit

W, BYTE, FP32, BF16 = 80.0, 25.0, 9.0, 0.6


def made(count: int = 10, seed: int = 0, noise: float = 0.0) -> list[MeasuredStep]:
    """Steps of a device whose coefficients are those above."""
    draw = random.Random(seed)
    found = []
    for index in range(count):
        time_s = draw.uniform(0.005, 0.02)
        flops = {"fp32": draw.uniform(1e10, 2e11), "bf16": draw.uniform(1e12, 4e12)}
        moved = draw.uniform(1e9, 2e10)
        joules = W * time_s + PICO * (BYTE * moved + FP32 * flops["fp32"] + BF16 * flops["bf16"])
        found.append(MeasuredStep(f"v{index}", joules * (1 + noise * draw.gauss(0, 1)), time_s, flops, moved))
    return found


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_the_coefficients_of_a_device_are_found(seed: int) -> None:
    found = fit(made(seed=seed))
    assert found.static_w == pytest.approx(W, rel=1e-6)
    assert found.pj_per_byte == pytest.approx(BYTE, rel=1e-6)
    assert found.pj_per_flop == pytest.approx({"fp32": FP32, "bf16": BF16}, rel=1e-6)


def test_errors_of_rows_that_took_no_part_are_larger() -> None:
    found = fit(made(noise=0.05))
    inside, outside = (sum(map(abs, one.values())) for one in (found.error, found.left_out_error))
    assert 0 < inside < outside


def test_parts_add_up_to_what_is_modelled() -> None:
    steps = made()
    found = fit(steps)
    assert sum(found.parts_j(steps[3]).values()) == pytest.approx(steps[3].energy_j)


def test_no_coefficient_is_below_zero() -> None:
    steps = [replace(one, energy_j=W * one.time_s) for one in made(noise=0.1)]
    found = fit(steps)
    assert min(found.static_w, found.pj_per_byte, *found.pj_per_flop.values()) >= 0


def test_too_few_or_too_similar_variants_give_no_coefficients() -> None:
    with pytest.raises(NotEnough, match="4 coefficients need more than 4 variants, got 4"):
        fit(made(4))
    alike = [replace(one, bytes_moved=one.flops["bf16"] / 100) for one in made()]
    with pytest.raises(NotEnough, match="tell pj_per_byte and bf16 apart"):
        fit(alike)

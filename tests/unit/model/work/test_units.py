"""Work is a sum by precision."""

from __future__ import annotations

from model.work import (
    Work,
)


def test_work_adds_up_by_precision():
    total = Work({"bf16": 1.0}, 5.0, 7.0) + Work({"bf16": 2.0, "fp32": 3.0}, 1.0, 1.0)

    assert total == Work({"bf16": 3.0, "fp32": 3.0}, 6.0, 8.0)
    assert total.flops == {"bf16": 3.0, "fp32": 9.0}
    assert total.times(2) == total + total

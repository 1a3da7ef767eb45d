"""How fast a device multiplies matrices: what model FLOP utilisation is a share of. Imports torch."""

from __future__ import annotations

import time

import torch

from model.tables import PRECISIONS
from search.worker.device import Device

SIDE = {"cuda": 8192, "cpu": 1024}
SECONDS = 1.0
# What tensors are in, by the format of the matrix products. Products in fp8 need scales, and are not tried.
_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def peak_flops_per_s(device: Device, matmuls: str) -> float | None:
    """The best rate of square matrix products seen within a second, in operations a second; None where the
    format is not tried."""
    if matmuls not in _DTYPES:
        return None
    side = SIDE[device.type]
    one = torch.randn(side, side, device=device.torch_device).to(_DTYPES[matmuls])
    with PRECISIONS[matmuls].load().both_passes():
        torch.mm(one, one)
        device.synchronize()
        best_s = float("inf")
        until_s = time.perf_counter() + SECONDS
        while time.perf_counter() < until_s:
            began_s = time.perf_counter()
            torch.mm(one, one)
            device.synchronize()
            best_s = min(best_s, time.perf_counter() - began_s)
    return 2.0 * side**3 / best_s

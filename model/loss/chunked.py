"""Cross entropy over a part of the tokens at a time, so that all logits never exist at once.

The gradients are computed where the logits are at hand, in the forward pass: nothing is computed twice, and
between the passes lie gradients of the size of x, the head and the lookup table.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from model.loss import MOST_PARTS
from model.loss.head import Head, logits_of


def cross_entropy(x: Tensor, targets: Tensor, head: Head) -> Tensor:
    """In as many parts as make the logits of one no larger than x, up to `MOST_PARTS`."""
    parts = min(MOST_PARTS, math.ceil(head.weight.size(0) / x.size(1)))
    loss: Tensor = _InParts.apply(  # type: ignore[no-untyped-call]
        x, head.weight, head.lookup_table, targets, head.rows, head.softcap, parts
    )
    return loss


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        lookup_table: Tensor | None,
        targets: Tensor,
        rows: Tensor | None,
        softcap: float,
        parts: int,
    ) -> Tensor:
        N = x.size(0)
        wide = torch.promote_types(x.dtype, torch.float32)
        dx = torch.empty_like(x)
        dweight = torch.zeros_like(weight, dtype=wide)
        dlookup = None if lookup_table is None else torch.zeros_like(lookup_table, dtype=wide)
        total = torch.zeros((), dtype=wide, device=x.device)
        size = math.ceil(N / parts)
        for start in range(0, N, size):
            part = slice(start, start + size)
            head = Head(weight, softcap, lookup_table, None if rows is None else rows[part])
            logits = logits_of(x[part], head)
            wanted = targets[part, None]
            log_sums = logits.logsumexp(dim=-1, keepdim=True)
            total += (log_sums - logits.gather(1, wanted)).sum()
            # d loss / d logits: (probability - 1 where wanted) / N, through the cap where there is one
            slope = (logits - log_sums).exp()
            slope = slope.scatter_add(1, wanted, torch.full_like(log_sums, -1.0)) / N
            if softcap > 0:
                slope = slope * (1.0 - (logits / softcap).square())
            if dlookup is not None:
                assert rows is not None
                dlookup.index_add_(0, rows[part], slope)
            slope = slope.to(_matmul_dtype(x))
            dx[part] = slope @ weight.to(slope.dtype)
            dweight += slope.t() @ x[part].to(slope.dtype)
        dlookup = None if dlookup is None else dlookup.to(weight.dtype)
        ctx.save_for_backward(dx, dweight.to(weight.dtype), dlookup)
        return total / N

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [None if g is None else g * gradients[0].to(g.dtype) for g in ctx.saved_tensors]
        return (*scaled, None, None, None, None)


def _matmul_dtype(x: Tensor) -> torch.dtype:
    """What autocast, where it is on, makes of x before a matmul."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype

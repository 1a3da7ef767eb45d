"""From the last hidden states to logits."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Head(NamedTuple):
    """`weight`: (V, C). `softcap`: 0, or what logits stay below. `lookup_table`: (R, V) logits, of which row
    `rows[i]` is added to those of token i; `rows`: (N,)."""

    weight: Tensor
    softcap: float = 0.0
    lookup_table: Tensor | None = None
    rows: Tensor | None = None


def logits_of(x: Tensor, head: Head) -> Tensor:
    """softcap tanh((x weight^T + lookup_table[rows]) / softcap). x: (N, C) -> (N, V), in fp32 or wider."""
    raw = F.linear(x, head.weight)
    logits = raw.to(torch.promote_types(raw.dtype, torch.float32))
    if head.lookup_table is not None:
        assert head.rows is not None
        logits = logits + F.embedding(head.rows, head.lookup_table)
    if head.softcap > 0:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    return logits

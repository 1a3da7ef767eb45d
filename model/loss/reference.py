"""What the training losses compute, written out plainly."""

import torch
from torch import Tensor

from model.loss.head import Head


def logits(x: Tensor, head: Head) -> Tensor:
    """(N, C) -> (N, V), in fp32 or wider."""
    raw = x @ head.weight.T
    raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
    if head.lookup_table is not None:
        raw = raw + head.lookup_table[head.rows]
    return head.softcap * torch.tanh(raw / head.softcap) if head.softcap else raw


def cross_entropy(x: Tensor, targets: Tensor, head: Head) -> Tensor:
    chosen = torch.log_softmax(logits(x, head), dim=-1)[torch.arange(len(targets)), targets]
    return -chosen.mean()

"""Attention written out: two matmuls around a masked softmax."""

import math

import torch.nn.functional as F
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor, causal: Tensor, dropout_p: float) -> Tensor:
    scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(q.size(-1)))
    weights = F.softmax(scores.masked_fill(~causal, float("-inf")), dim=-1)
    # softmax autocasts to fp32; the second matmul wants the values' own dtype
    weights = F.dropout(weights.to(v.dtype), dropout_p) if dropout_p > 0 else weights.to(v.dtype)
    return weights @ v

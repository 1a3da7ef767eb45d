"""Attention of the newest token over the keys and values that are kept of it and of those before it: one
function for each function that kernels compute, named on their rows as `cached`.

q: (B, H, 1, D); k, v: (B, K, T, D) with K dividing H. The row's settings come by name.
"""

import torch.nn.functional as F
from torch import Tensor


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=q.size(1) != k.size(1))


def sliding_window(q: Tensor, k: Tensor, v: Tensor, attention_window: int) -> Tensor:
    return causal(q, k[:, :, -attention_window:], v[:, :, -attention_window:])

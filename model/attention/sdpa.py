"""scaled_dot_product_attention with the backend that torch picks."""

import torch.nn.functional as F
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor, dropout_p: float) -> Tensor:
    grouped = q.size(1) != k.size(1)
    return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout_p, is_causal=True, enable_gqa=grouped)


def repeated(q: Tensor, k: Tensor) -> Tensor:
    """Keys or values (B, K, T, D) -> (B, H, T, D), for backends without grouped queries."""
    return k if q.size(1) == k.size(1) else k.repeat_interleave(q.size(1) // k.size(1), dim=1)

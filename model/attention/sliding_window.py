"""Sliding-window attention (Beltagy et al., Longformer, 2020): a token sees itself and some before it.

It computes another function than the other rows, so it has a reference of its own, below, and counts as a
lever of the model. Tokens are taken in blocks of one window, and the queries of a block see keys of their own
block and the one before. So there are T x 2 W scores and not T x T: fewer where the context is longer than
two windows.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from model.attention.reference import attention


def reference(q: Tensor, k: Tensor, v: Tensor, attention_window: int) -> Tensor:
    """Attention of each token over itself and the `attention_window` - 1 tokens before it."""
    place = torch.arange(q.size(2), device=q.device)
    back = place[:, None] - place
    return attention(q, k, v, (back >= 0) & (back < attention_window))


def attend(
    q: Tensor, k: Tensor, v: Tensor, hidden: Tensor, dropout_p: float, attention_window: int
) -> Tensor:
    B, H, T, D = q.shape
    K = k.size(1)
    W = min(attention_window, T)
    N = -(-T // W)  # blocks; the last one is filled up with tokens that nobody sees
    filled = N * W - T
    # The query heads of a group are rows of one matrix, so that their keys are not repeated.
    q = F.pad(q, (0, 0, 0, filled)) if filled else q
    q = q.reshape(B, K, H // K, N, W, D).transpose(2, 3).reshape(B * K * N, H // K * W, D)
    k, v = (_with_the_block_before(x, W, filled) for x in (k, v))  # (B K N, 2 W, D)
    outside = _outside(N, W, q.device).to(q.dtype)  # (N, W, 2 W)
    outside = outside.repeat(B * K, H // K, 1)
    scores = torch.baddbmm(outside, q, k.transpose(1, 2), alpha=1.0 / math.sqrt(D))
    weights = F.softmax(scores, dim=-1).to(v.dtype)  # CUDA's autocast makes it fp32
    if dropout_p > 0:
        weights = F.dropout(weights, dropout_p)
    y = torch.bmm(weights, v).view(B, K, N, H // K, W, D).transpose(2, 3).reshape(B, H, N * W, D)
    return y[:, :, :T]


def _with_the_block_before(x: Tensor, W: int, filled: int) -> Tensor:
    """(B, K, T, D) -> (B K N, 2 W, D): each block of W tokens after the one before it, zeros at first."""
    blocks = F.pad(x, (0, 0, W, filled)).unfold(2, 2 * W, W)  # (B, K, N, D, 2 W), a view
    return blocks.transpose(3, 4).reshape(-1, 2 * W, x.size(-1))


def _outside(N: int, W: int, device: torch.device) -> Tensor:
    """(N, W, 2 W): minus infinity where a block's query does not see the key, else 0."""
    query = torch.arange(W, device=device)[:, None]
    key = torch.arange(2 * W, device=device) - W  # of the block before: negative
    visible = (key <= query) & (key > query - W)
    block = torch.arange(N, device=device)[:, None, None]
    visible = visible & ((block > 0) | (key >= 0))  # nothing comes before the first block
    return torch.zeros(visible.shape, device=device).masked_fill(~visible, -math.inf)

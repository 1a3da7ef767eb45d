"""Causal attention kernels, a file each.

Every one has the signature of `AttentionKernel`. Rows that share a `reference`, a function of q, k, v and the
settings, compute the same function, and the first of them is what an evaluation takes. Grouped queries: of H
query heads, H / K after one another share each of K heads of keys and values.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class AttentionKernel(Protocol):
    """softmax(q k^T / sqrt(D) + hidden) v, where the function is causal attention.

    q: (B, H, T, D); k, v: (B, K, T, D) with K dividing H; `hidden`: (T, T), 0 where visible and minus
    infinity above the diagonal. `dropout_p` is the share of the weights that is dropped. The row's settings
    come by name.
    """

    def __call__(
        self, q: "Tensor", k: "Tensor", v: "Tensor", hidden: "Tensor", dropout_p: float
    ) -> "Tensor": ...

"""Causal attention kernels: a file each, a row here.

Every one has the signature of `AttentionKernel`. Rows that share a `reference`, a function of q, k, v and the
settings, compute the same function, and the first of them is what an evaluation takes. Grouped queries: of H
query heads, H / K after one another share each of K heads of keys and values.
"""

from typing import TYPE_CHECKING, Protocol

from model.variants import Variant

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


_CUDA = frozenset({"cuda"})
_CAUSAL = "model.attention.reference:causal"

ATTENTION = {
    "sdpa": Variant(
        "model.attention.sdpa:attend",
        "scaled_dot_product_attention, torch picks: nanoGPT's flash path",
        _CAUSAL,
    ),
    "manual": Variant(
        "model.attention.manual:attend",
        "matmul and mask in one, softmax, matmul: nanoGPT's slow path",
        _CAUSAL,
    ),
    "sdpa_math": Variant(
        "model.attention.sdpa_math:attend", "scaled_dot_product_attention, MATH backend", _CAUSAL
    ),
    "sdpa_flash": Variant(
        "model.attention.sdpa_flash:attend",
        "scaled_dot_product_attention, FLASH backend",
        _CAUSAL,
        bf16_only_on=_CUDA,
        compute_capability=80,
    ),
    "sdpa_efficient": Variant(
        "model.attention.sdpa_efficient:attend",
        "scaled_dot_product_attention, EFFICIENT backend",
        _CAUSAL,
        devices=_CUDA,
        compute_capability=50,
    ),
    "sdpa_cudnn": Variant(
        "model.attention.sdpa_cudnn:attend",
        "scaled_dot_product_attention, CUDNN backend",
        _CAUSAL,
        devices=_CUDA,
        bf16_only_on=_CUDA,
        compute_capability=80,
    ),
    # It has no backward pass on a CPU.
    "flex": Variant(
        "model.attention.flex:attend",
        "FlexAttention, compiled for this mask",
        _CAUSAL,
        devices=_CUDA,
        compute_capability=80,
    ),
    "sliding_window": Variant(
        "model.attention.sliding_window:attend",
        "each token sees the last model.attention_window tokens, block by block",
        "model.attention.sliding_window:reference",
        settings=("attention_window",),
    ),
}

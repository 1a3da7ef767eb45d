"""Causal attention kernels: a file each, a row here.

Every one has the signature of `AttentionKernel`; all compute the same function. Grouped queries: of H query
heads, H / K after one another share each of K heads of keys and values.
"""

from typing import TYPE_CHECKING, Protocol

from model.variants import Variant

if TYPE_CHECKING:
    from torch import Tensor


class AttentionKernel(Protocol):
    """softmax(q k^T / sqrt(D) + hidden) v.

    q: (B, H, T, D); k, v: (B, K, T, D) with K dividing H; `hidden`: (T, T), 0 where visible and minus
    infinity above the diagonal. `dropout_p` is the share of the weights that is dropped.
    """

    def __call__(
        self, q: "Tensor", k: "Tensor", v: "Tensor", hidden: "Tensor", dropout_p: float
    ) -> "Tensor": ...


_CUDA = frozenset({"cuda"})

ATTENTION = {
    "manual": Variant(
        "model.attention.manual:attend", "matmul and mask in one, softmax, matmul: nanoGPT's slow path"
    ),
    "sdpa": Variant(
        "model.attention.sdpa:attend", "scaled_dot_product_attention, torch picks: nanoGPT's flash path"
    ),
    "sdpa_math": Variant("model.attention.sdpa_math:attend", "scaled_dot_product_attention, MATH backend"),
    "sdpa_flash": Variant(
        "model.attention.sdpa_flash:attend",
        "scaled_dot_product_attention, FLASH backend",
        bf16_only_on=_CUDA,
        compute_capability=80,
    ),
    "sdpa_efficient": Variant(
        "model.attention.sdpa_efficient:attend",
        "scaled_dot_product_attention, EFFICIENT backend",
        devices=_CUDA,
        compute_capability=50,
    ),
    "sdpa_cudnn": Variant(
        "model.attention.sdpa_cudnn:attend",
        "scaled_dot_product_attention, CUDNN backend",
        devices=_CUDA,
        bf16_only_on=_CUDA,
        compute_capability=80,
    ),
    # It has no backward pass on a CPU.
    "flex": Variant(
        "model.attention.flex:attend",
        "FlexAttention, compiled for this mask",
        devices=_CUDA,
        compute_capability=80,
    ),
}

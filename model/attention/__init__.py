"""Causal attention kernels: a file each, a row here.

Every one has the signature of `AttentionKernel`; all compute the same function.
"""

from typing import TYPE_CHECKING, Protocol

from model.variants import Variant

if TYPE_CHECKING:
    from torch import Tensor


class AttentionKernel(Protocol):
    """softmax(q k^T / sqrt(D), causal) v. q, k, v: (B, H, T, D); `causal`: (T, T) bool, True where
    visible."""

    def __call__(
        self, q: "Tensor", k: "Tensor", v: "Tensor", causal: "Tensor", dropout_p: float
    ) -> "Tensor": ...


ATTENTION = {
    "manual": Variant("model.attention.manual:attend", "matmul, mask, softmax, matmul: nanoGPT's slow path"),
    "sdpa": Variant(
        "model.attention.sdpa:attend", "scaled_dot_product_attention, torch picks: nanoGPT's flash path"
    ),
    "sdpa_math": Variant("model.attention.sdpa_math:attend", "scaled_dot_product_attention, MATH backend"),
    "sdpa_flash": Variant("model.attention.sdpa_flash:attend", "scaled_dot_product_attention, FLASH backend"),
}

"""scaled_dot_product_attention with its EFFICIENT backend, which has no grouped queries."""

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.attention import sdpa


def attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor, dropout_p: float) -> Tensor:
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
        return sdpa.attend(q, sdpa.repeated(q, k), sdpa.repeated(q, v), hidden, dropout_p)

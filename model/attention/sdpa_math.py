"""scaled_dot_product_attention with its MATH backend."""

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.attention import sdpa


def attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor, dropout_p: float) -> Tensor:
    with sdpa_kernel(SDPBackend.MATH):
        return sdpa.attend(q, k, v, hidden, dropout_p)

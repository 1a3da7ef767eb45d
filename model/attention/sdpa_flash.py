"""scaled_dot_product_attention with its FLASH backend.

On a CPU it has no dropout, and on a GPU no fp32: torch raises, and `model.runnable` refuses both beforehand.
"""

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.attention import sdpa


def attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor, dropout_p: float) -> Tensor:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return sdpa.attend(q, k, v, hidden, dropout_p)

"""scaled_dot_product_attention held to its FLASH backend.

On a CPU the flash backend has no dropout and torch raises; `model.train` refuses that combination beforehand.
"""

import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


def attend(q: Tensor, k: Tensor, v: Tensor, causal: Tensor, dropout_p: float) -> Tensor:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout_p, is_causal=True)

"""FlexAttention: torch generates a kernel for this mask, and leaves out the blocks above the diagonal.

It has no dropout and, on a CPU, no backward pass. The blocks are found anew in every pass, inside the
compiled graph: a mask kept on the module would not move to its device.
"""

from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention


def attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor, dropout_p: float) -> Tensor:
    T = q.size(2)
    mask = create_block_mask(_causal, None, None, T, T, device=q.device)
    y = flex_attention(q, k, v, block_mask=mask, enable_gqa=q.size(1) != k.size(1))
    assert isinstance(y, Tensor)
    return y


def _causal(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
    return query >= key

"""torch's own linear layer and cross entropy in one, over a part of the tokens at a time.

It takes no soft-cap and no lookup table, and breaks a compiled graph: `model.runnable` refuses these.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import LinearCrossEntropyOptions

from model.loss.head import Head


def cross_entropy(x: Tensor, targets: Tensor, head: Head) -> Tensor:
    weight, device = head.weight, x.device.type
    if torch.is_autocast_enabled(device):  # which does not know this function
        dtype = torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
    return F.linear_cross_entropy(x, weight, targets, options=LinearCrossEntropyOptions())

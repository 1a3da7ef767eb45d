"""Cross entropy over every position."""

import torch.nn.functional as F
from torch import Tensor

from model.loss.head import Head, logits_of


def cross_entropy(x: Tensor, targets: Tensor, head: Head) -> Tensor:
    return F.cross_entropy(logits_of(x, head), targets)

"""Liger's fused linear cross entropy: Triton kernels, a part of the tokens at a time, no lookup table."""

from torch import Tensor

from model.loss.head import Head


def cross_entropy(x: Tensor, targets: Tensor, head: Head) -> Tensor:
    from liger_kernel.transformers import functional  # type: ignore[import-not-found]

    loss: Tensor = functional.liger_fused_linear_cross_entropy(
        x, head.weight, targets, softcap=head.softcap or None
    )
    return loss

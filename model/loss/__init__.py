"""Training losses: a file each, a row here. All compute the same function."""

from typing import TYPE_CHECKING, Protocol

from model.variants import Variant

if TYPE_CHECKING:
    from torch import Tensor

    from model.loss.head import Head


class Loss(Protocol):
    """Mean nats per token. x: (N, C), what goes into the head; targets: (N,) int64."""

    def __call__(self, x: "Tensor", targets: "Tensor", head: "Head") -> "Tensor": ...


LOSSES = {
    "plain": Variant("model.loss.plain:cross_entropy", "all logits, then F.cross_entropy: nanoGPT's"),
    "chunked": Variant(
        "model.loss.chunked:cross_entropy", "a part of the tokens at a time, so never all logits at once"
    ),
    "linear_cross_entropy": Variant(
        "model.loss.linear_cross_entropy:cross_entropy",
        "torch's F.linear_cross_entropy, a part of the tokens at a time",
        torch=(2, 13),
    ),
    "liger": Variant(
        "model.loss.liger:cross_entropy",
        "Liger's fused linear cross entropy, in Triton",
        devices=frozenset({"cuda"}),
        modules=("liger_kernel",),
    ),
}

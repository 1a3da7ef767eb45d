"""Training losses: a file each, a row here. A `reference` has the signature of `Loss`."""

from typing import TYPE_CHECKING, Protocol

from model.variants import Variant

if TYPE_CHECKING:
    from torch import Tensor

    from model.loss.head import Head


class Loss(Protocol):
    """Mean nats per token. x: (N, C), what goes into the head; targets: (N,) int64."""

    def __call__(self, x: "Tensor", targets: "Tensor", head: "Head") -> "Tensor": ...


_CROSS_ENTROPY = "model.loss.reference:cross_entropy"

LOSSES = {
    "plain": Variant(
        "model.loss.plain:cross_entropy", "all logits, then F.cross_entropy: nanoGPT's", _CROSS_ENTROPY
    ),
    "chunked": Variant(
        "model.loss.chunked:cross_entropy",
        "a part of the tokens at a time, so never all logits at once",
        _CROSS_ENTROPY,
    ),
    "linear_cross_entropy": Variant(
        "model.loss.linear_cross_entropy:cross_entropy",
        "torch's F.linear_cross_entropy, a part of the tokens at a time",
        _CROSS_ENTROPY,
        torch=(2, 13),
    ),
    "liger": Variant(
        "model.loss.liger:cross_entropy",
        "Liger's fused linear cross entropy, in Triton",
        _CROSS_ENTROPY,
        devices=frozenset({"cuda"}),
        modules=("liger_kernel",),
    ),
}

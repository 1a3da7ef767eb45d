"""Number formats of training: a row here, each an object of `model.precision.formats.Precision`.

Evaluation is in fp32 whatever the trial trains in: `evaluable` gives the model for it.
"""

from model.variants import Variant

PRECISIONS = {
    "fp32": Variant("model.precision.formats:FP32", "everything in fp32: nanoGPT's on a CPU"),
    "tf32": Variant(
        "model.precision.formats:TF32",
        "fp32 tensors, matmuls round their inputs to 10 bits of mantissa",
        devices=frozenset({"cuda"}),
        compute_capability=80,
    ),
    "bf16": Variant("model.precision.formats:BF16", "autocast: matmuls in bf16, weights and sums in fp32"),
    "bf16_weights": Variant(
        "model.precision.formats:BF16_WEIGHTS", "weights, gradients and activations in bf16"
    ),
    "fp8": Variant(
        "model.precision.formats:FP8",
        "bf16 autocast, and the blocks' matmuls in 8 bits, scaled by tensor",
        devices=frozenset({"cuda"}),
        torch=(2, 13),
        compute_capability=89,
    ),
}

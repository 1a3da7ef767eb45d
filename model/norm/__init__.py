"""Normalisations: a file each, a row here. Each is a function (ModelConfig) -> module over the last
dimension. `model.norm_eps` is always passed on: torch's own default depends on the number format.

A `reference` is a function of x, eps and the module's parameters by name."""

from model.variants import Variant

NORMS = {
    "layernorm": Variant(
        "model.norm.layernorm:layernorm",
        "LayerNorm with weight, bias by model.bias: nanoGPT's",
        "model.norm.reference:layernorm",
    ),
    "layernorm_weightless": Variant(
        "model.norm.layernorm:weightless",
        "LayerNorm without parameters",
        "model.norm.reference:layernorm_weightless",
    ),
    "rmsnorm": Variant(
        "model.norm.rmsnorm:RMSNorm",
        "divided by the root mean square, with weight",
        "model.norm.reference:rmsnorm",
    ),
    "rmsnorm_weightless": Variant(
        "model.norm.rmsnorm:WeightlessRMSNorm",
        "divided by the root mean square, no parameters",
        "model.norm.reference:rmsnorm_weightless",
    ),
    "rmsnorm_liger": Variant(
        "model.norm.rmsnorm_liger:rmsnorm",
        "rmsnorm in one Triton kernel each way",
        "model.norm.reference:rmsnorm",
        devices=frozenset({"cuda"}),
        modules=("liger_kernel",),
    ),
}

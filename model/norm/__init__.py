"""Normalisations: a file each, a row here. Each is a function (ModelConfig) -> module over the last
dimension."""

from model.variants import Variant

NORMS = {
    "layernorm": Variant(
        "model.norm.layernorm:layernorm", "LayerNorm with weight, bias by model.bias, eps 1e-5"
    )
}

"""MLP blocks: a file each, a row here. A block is a module built from (ModelConfig) with input and output
(B, T, C)."""

from model.variants import Variant

MLPS = {"gelu": Variant("model.mlp.gelu:GeluMLP", "linear, exact GELU, linear: nanoGPT's")}

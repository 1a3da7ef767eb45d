"""MLP blocks: a file each, a row here. A block is a module built from (ModelConfig) with input and output
(B, T, C); between them it is `mlp_width` wide, and its way back is called `c_proj`."""

from model.variants import Variant

MLPS = {
    "gelu": Variant("model.mlp.gelu:GeluMLP", "linear, exact GELU, linear: nanoGPT's"),
    "relu2": Variant("model.mlp.relu2:Relu2MLP", "linear, squared ReLU, linear"),
    "swiglu": Variant("model.mlp.swiglu:SwigluMLP", "two linears, one gates the other with SiLU, linear"),
    "swiglu_liger": Variant(
        "model.mlp.swiglu_liger:swiglu",
        "swiglu with its gate in one Triton kernel each way",
        devices=frozenset({"cuda"}),
        modules=("liger_kernel",),
    ),
}

"""MLP blocks: a file each, a row here. A block is a module built from (ModelConfig) with input and output
(B, T, C); between them it is `mlp_width` wide; its way in is called `c_fc`, its way back `c_proj`. A
`reference` is what happens between the two."""

from model.variants import Variant

MLPS = {
    "gelu": Variant(
        "model.mlp.gelu:GeluMLP", "linear, exact GELU, linear: nanoGPT's", "model.mlp.reference:gelu"
    ),
    "relu2": Variant("model.mlp.relu2:Relu2MLP", "linear, squared ReLU, linear", "model.mlp.reference:relu2"),
    "swiglu": Variant(
        "model.mlp.swiglu:SwigluMLP",
        "two linears, one gates the other with SiLU, linear",
        "model.mlp.reference:swiglu",
    ),
    "swiglu_liger": Variant(
        "model.mlp.swiglu_liger:swiglu",
        "swiglu with its gate in one Triton kernel each way",
        "model.mlp.reference:swiglu",
        devices=frozenset({"cuda"}),
        modules=("liger_kernel",),
    ),
}

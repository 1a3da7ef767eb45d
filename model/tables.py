"""Every variant that there is: a row each, in one table for each configuration path that chooses.

To add one, write its file and its row here. Of the rows that compute one function, an evaluation uses the
first. This imports no torch, and neither do the rows until they are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from model.variant import (
    ALL_DEVICES,
    CUDA,
    CompileModeRow,
    CompileScopeRow,
    Compiling,
    HeadSize,
    PrecisionRow,
    Variant,
)

# Liger's kernels replace what a compiler would fuse; nobody has tried them under one here.
_NOT_WITH_LIGER = Compiling(
    required=False, because="is not tried under torch.compile", remedy="train.compile=false"
)
_LIGER = ("liger_kernel",)

_CAUSAL = "model.attention.reference:causal"
_CAUSAL_CACHED = "model.attention.cached:causal"

ATTENTION: Mapping[str, Variant] = {
    "sdpa": Variant(
        "model.attention.sdpa:attend",
        "scaled_dot_product_attention, torch picks: nanoGPT's flash path",
        _CAUSAL,
        _CAUSAL_CACHED,
    ),
    "manual": Variant(
        "model.attention.manual:attend",
        "matmul and mask in one, softmax, matmul: nanoGPT's slow path",
        _CAUSAL,
    ),
    "sdpa_math": Variant(
        "model.attention.sdpa_math:attend", "scaled_dot_product_attention, MATH backend", _CAUSAL
    ),
    "sdpa_flash": Variant(
        "model.attention.sdpa_flash:attend",
        "scaled_dot_product_attention, FLASH backend",
        _CAUSAL,
        compute_capability=80,
        bf16_only_on=CUDA,
        no_dropout_on=frozenset({"cpu"}),
        head_size=HeadSize(most=256, devices=CUDA),
    ),
    "sdpa_efficient": Variant(
        "model.attention.sdpa_efficient:attend",
        "scaled_dot_product_attention, EFFICIENT backend",
        _CAUSAL,
        devices=CUDA,
        compute_capability=50,
        head_size=HeadSize(vector_bytes=16),
    ),
    "sdpa_cudnn": Variant(
        "model.attention.sdpa_cudnn:attend",
        "scaled_dot_product_attention, CUDNN backend",
        _CAUSAL,
        devices=CUDA,
        compute_capability=80,
        bf16_only_on=CUDA,
        head_size=HeadSize(multiple=8, most=128),
        least_block_size=2,
    ),
    # On a CPU it has no backward pass.
    "flex": Variant(
        "model.attention.flex:attend",
        "FlexAttention, compiled for this mask",
        _CAUSAL,
        devices=CUDA,
        compute_capability=80,
        no_dropout_on=ALL_DEVICES,
        head_size=HeadSize(least=16),
        compiling=Compiling(
            required=True,
            because="writes out all its scores unless it is compiled",
            remedy="train.compile=true",
        ),
    ),
    "sliding_window": Variant(
        "model.attention.sliding_window:attend",
        "each token sees the last model.attention_window tokens, block by block",
        "model.attention.sliding_window:reference",
        "model.attention.cached:sliding_window",
        settings=("attention_window",),
    ),
}

MLPS: Mapping[str, Variant] = {
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
        devices=CUDA,
        modules=_LIGER,
        compiling=_NOT_WITH_LIGER,
    ),
}

NORMS: Mapping[str, Variant] = {
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
        devices=CUDA,
        modules=_LIGER,
        compiling=_NOT_WITH_LIGER,
    ),
}

_CROSS_ENTROPY = "model.loss.reference:cross_entropy"

LOSSES: Mapping[str, Variant] = {
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
        ignores=("model.lookup_table", "model.logit_softcap"),
        instead="chunked",
        compiling=Compiling(
            required=False, because="breaks the graph of train.compile", remedy="model.loss=chunked"
        ),
    ),
    "liger": Variant(
        "model.loss.liger:cross_entropy",
        "Liger's fused linear cross entropy, in Triton",
        _CROSS_ENTROPY,
        devices=CUDA,
        modules=_LIGER,
        ignores=("model.lookup_table",),
        instead="chunked",
        compiling=_NOT_WITH_LIGER,
    ),
}

POSITIONS: Mapping[str, Variant] = {
    "learned": Variant(
        "model.embed.learned:Learned",
        "a learned vector for each place, added to the input: nanoGPT's",
        "model.embed.reference:LEARNED",
    ),
    "rope": Variant(
        "model.embed.rope:Rope",
        "queries and keys turned by their place, base 10,000",
        "model.embed.reference:ROPE",
        head_size=HeadSize(multiple=2),
    ),
    "none": Variant(
        "model.embed.none:NoPositions",
        "nothing; the causal mask alone tells order",
        "model.embed.reference:NONE",
    ),
}

OPTIMIZERS: Mapping[str, Variant] = {
    "adamw": Variant("model.optim.adamw:adamw", "AdamW, weight decay on matrices only: nanoGPT's"),
    "muon": Variant("model.optim.muon:muon", "Muon for hidden matrices, AdamW for everything else"),
}

KERNELS: Mapping[str, Variant] = {
    "forloop": Variant("model.optim.adamw:FORLOOP", "one parameter after another: torch's default on a CPU"),
    "foreach": Variant("model.optim.adamw:FOREACH", "multi-tensor operations: torch's default on CUDA"),
    "fused": Variant("model.optim.adamw:FUSED", "one kernel for everything: nanoGPT's choice on CUDA"),
    "compiled": Variant("model.optim.adamw:COMPILED", "torch.compile of the step; on a CPU needs a compiler"),
}

# Settings of Muon. They are not in `TABLES`: whatever they are, it runs on every device.
MUON_SCALES: Mapping[str, Variant] = {
    "original": Variant(
        "model.optim.muon:keep_operator_norm", "an update of equal size for every output: Keller Jordan's"
    ),
    "match_rms_adamw": Variant(
        "model.optim.muon:match_adamw", "an update of the size of AdamW's: Moonshot's"
    ),
}
NS_DTYPES: Mapping[str, Variant] = {
    "fp32": Variant("torch:float32", "Newton-Schulz steps in fp32"),
    "bf16": Variant("torch:bfloat16", "Newton-Schulz steps in bf16: Keller Jordan's"),
}

SCHEDULES: Mapping[str, Variant] = {
    "cosine": Variant("model.schedule:cosine", "cosine decay from peak to minimum: nanoGPT's"),
    "linear": Variant("model.schedule:linear", "straight line from peak to minimum"),
    "trapezoid": Variant("model.schedule:trapezoid", "constant, then down over schedule.cooldown_fraction"),
}

PRECISIONS: Mapping[str, PrecisionRow] = {
    "fp32": PrecisionRow("model.precision.formats:FP32", "everything in fp32: nanoGPT's on a CPU"),
    "tf32": PrecisionRow(
        "model.precision.formats:TF32",
        "fp32 tensors, matmuls round their inputs to 10 bits of mantissa",
        devices=CUDA,
        compute_capability=80,
        matmuls="tf32",
    ),
    "bf16": PrecisionRow(
        "model.precision.formats:BF16",
        "autocast: matmuls in bf16, weights and sums in fp32",
        tensors="bf16",
        matmuls="bf16",
    ),
    "bf16_weights": PrecisionRow(
        "model.precision.formats:BF16_WEIGHTS",
        "weights, gradients and activations in bf16",
        tensors="bf16",
        matmuls="bf16",
        weights="bf16",
    ),
    "fp8": PrecisionRow(
        "model.precision.formats:FP8",
        "bf16 autocast, and the blocks' matmuls in 8 bits, scaled by tensor",
        devices=CUDA,
        torch=(2, 13),
        compute_capability=89,
        tensors="bf16",
        matmuls="bf16",
        linear="fp8",
        sides=16,
    ),
}

MATMUL_FORMATS = tuple(
    dict.fromkeys(name for row in PRECISIONS.values() for name in (row.matmuls, row.linear) if name)
)
"""What some precision multiplies in: each has its own operations per joule."""

COMPILE_MODES: Mapping[str, CompileModeRow] = {
    "default": CompileModeRow("model.compiling:DEFAULT", "one kernel for what can be fused: torch's default"),
    "reduce-overhead": CompileModeRow(
        "model.compiling:REDUCE_OVERHEAD",
        "the same kernels, replayed as CUDA graphs",
        devices=CUDA,
        cuda_graphs=True,
    ),
    "max-autotune": CompileModeRow(
        "model.compiling:MAX_AUTOTUNE",
        "tries kernels for each matmul, then CUDA graphs",
        devices=CUDA,
        cuda_graphs=True,
    ),
    # On a CPU, which has no graphs to replay, max-autotune has this name alone.
    "max-autotune-no-cudagraphs": CompileModeRow(
        "model.compiling:MAX_AUTOTUNE_NO_GRAPHS", "tries kernels for each matmul"
    ),
}

_OF_A_BLOCK = frozenset({"model.attention", "model.mlp", "model.norm", "model.positions"})

COMPILE_SCOPES: Mapping[str, CompileScopeRow] = {
    "model": CompileScopeRow(
        "model.compiling:whole_model",
        "forward pass and loss are one graph",
        parts=_OF_A_BLOCK | {"model.loss"},
    ),
    "block": CompileScopeRow(
        "model.compiling:each_block",
        "one graph for every block, compiled once for all of them",
        parts=_OF_A_BLOCK,
    ),
    "mlp": CompileScopeRow(
        "model.compiling:each_mlp",
        "one graph for norm and MLP of every block; the rest is eager",
        parts=frozenset({"model.mlp", "model.norm"}),
    ),
}

TABLES: Mapping[str, Mapping[str, Variant]] = MappingProxyType(
    {
        "model.attention": ATTENTION,
        "model.mlp": MLPS,
        "model.norm": NORMS,
        "model.loss": LOSSES,
        "model.positions": POSITIONS,
        "optimizer.name": OPTIMIZERS,
        "optimizer.kernel": KERNELS,
        "schedule.name": SCHEDULES,
        "train.precision": PRECISIONS,
        "train.compile_mode": COMPILE_MODES,
        "train.compile_scope": COMPILE_SCOPES,
    }
)
"""Every table of variants by the configuration path that chooses from it."""

# The rows of each of these tables compute the same, but for rounding.
_OF_ONE_FUNCTION = frozenset(
    {"optimizer.kernel", "train.precision", "train.compile_mode", "train.compile_scope"}
)


def functions(path: str) -> tuple[tuple[str, ...], ...]:
    """The rows of the table of a configuration path, grouped by the function that they compute."""
    groups: dict[str, tuple[str, ...]] = {}
    for name, row in TABLES[path].items():
        function = path if path in _OF_ONE_FUNCTION else row.reference or row.target
        groups[function] = (*groups.get(function, ()), name)
    return tuple(groups.values())


def evaluated(path: str, name: str) -> str:
    """The row that an evaluation takes in the place of `name`: the first that computes the same function, so
    that the instrument does not depend on the kernel that a trial trains with."""
    return next((group[0] for group in functions(path) if name in group), name)


def idle_settings(model_config: object) -> tuple[str, ...]:
    """The settings that are read only by rows that are not chosen here."""
    named: set[str] = set()
    read: set[str] = set()
    for path, table in TABLES.items():
        section, _, key = path.partition(".")
        if section == "model":
            named.update(*(row.settings for row in table.values()))
            read.update(table[getattr(model_config, key)].settings)
    return tuple(sorted(named - read))

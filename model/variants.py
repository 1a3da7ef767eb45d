"""A variant is a small function in a file of its own; its row says where it is and where it can run.

Rows name their function as "module:function" and load it on use, so that a configuration can be checked
against the tables without importing torch.

What cannot run is told in two steps, both pure: `missing` looks at one value and the device, `unrunnable` at
values together. Head sizes and the like are those of torch's own checks (sdp_utils.cpp, flex_attention.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.config import ModelConfig, RunConfig

ALL_DEVICES = frozenset({"cpu", "cuda"})
NOWHERE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    `target` is "module:function". `devices` are the torch device types that it runs on, `bf16_only_on` those
    of them on which its kernel takes no fp32. `modules` must be importable. `torch` is the oldest version
    that it is known to run with. `compute_capability` is the least that it needs of a GPU, as CUDA writes it
    in sm_89.
    """

    target: str
    summary: str
    devices: frozenset[str] = ALL_DEVICES
    bf16_only_on: frozenset[str] = NOWHERE
    modules: tuple[str, ...] = ()
    torch: tuple[int, int] = (0, 0)
    compute_capability: int = 0

    def load(self) -> Any:
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class Capabilities:
    """What a device and its software can do, as far as variants care.

    `bf16`: whether it calculates in bf16, and not by way of fp32, which takes several times as long.
    `compiler` is the path of the C++ compiler that torch.compile needs on a CPU, or None.
    `compute_capability` is a GPU's, 89 for 8.9, None where there is none or it is unknown. `modules` are the
    importable ones among those that rows ask for (`find_modules`).
    """

    device_type: str
    device_name: str
    torch_version: str
    bf16: bool
    compiler: str | None
    compute_capability: int | None = None
    modules: Sequence[str] = ()

    @property
    def can_compile(self) -> bool:
        return self.device_type == "cuda" or self.compiler is not None


def find_compiler() -> str | None:
    """The C++ compiler that TorchInductor would call, or None."""
    return next((path for name in ("g++", "c++", "clang++") if (path := shutil.which(name))), None)


def find_modules() -> tuple[str, ...]:
    """The modules that some row asks for and that are installed here. Imports none of them."""
    wanted = {name for table in tables().values() for row in table.values() for name in row.modules}
    return tuple(sorted(name for name in wanted if find_spec(name) is not None))


def missing(path: str, value: object, capabilities: Capabilities) -> str | None:
    """Why `value` of the configuration path `path` cannot run here, or None where it can (or no table knows
    it)."""
    table = tables().get(path)
    row = table.get(str(value)) if table is not None else None
    if row is not None and (reason := _missing_row(row, capabilities)):
        return f"{path}={value} {reason}"
    if path == "train.compile" and value is True and not capabilities.can_compile:
        return "train.compile=true needs a C++ compiler (g++ or clang++), and none is on the PATH"
    if path == "train.precision" and not capabilities.bf16 and tensors_of(str(value)) == "bf16":
        return f"train.precision={value} {_needs_bf16(capabilities)}"
    if path == "optimizer.ns_dtype" and not capabilities.bf16 and value == "bf16":
        return f"optimizer.ns_dtype={value} {_needs_bf16(capabilities)}"
    return None


def _needs_bf16(capabilities: Capabilities) -> str:
    return f"needs bf16 arithmetic, and {capabilities.device_name} has none"


def _missing_row(row: Variant, capabilities: Capabilities) -> str | None:
    if capabilities.device_type not in row.devices:
        return f"does not run on {capabilities.device_type}"
    absent = [name for name in row.modules if name not in capabilities.modules]
    if absent:
        return f"needs {' and '.join(absent)}; pip install 'joulesearch[kernels]'"
    if _version(capabilities.torch_version) < row.torch:
        return f"needs torch {row.torch[0]}.{row.torch[1]}, and this is {capabilities.torch_version}"
    if capabilities.device_type == "cuda" and (capabilities.compute_capability or 0) < row.compute_capability:
        return f"needs compute capability {row.compute_capability / 10}, and {_has(capabilities)}"
    return None


def _has(capabilities: Capabilities) -> str:
    if capabilities.compute_capability is None:
        return f"that of {capabilities.device_name} is not known"
    return f"{capabilities.device_name} has {capabilities.compute_capability / 10}"


def _version(text: str) -> tuple[int, int]:
    """(2, 13) of "2.13.0+cpu"; (0, 0) of what is no version."""
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def unrunnable(config: RunConfig, device_type: str) -> str | None:
    """Why values that run by themselves do not run together on this device, or None. Says what to change."""
    return next((reason for rule in _RULES if (reason := rule(config, device_type))), None)


def unfit(config: RunConfig, vocab_size: int, train_tokens: int) -> str | None:
    """Why a configuration cannot be trained on this text, or None. Says what to change."""
    block = config.model.block_size
    if train_tokens <= block:
        return (
            f"the training part has {train_tokens} tokens, and a model.block_size of {block} needs more; "
            "give a longer text"
        )
    return table_too_large(config.model, vocab_size)


# A table of more logits is a mistake: 8 GiB, and as much again for its gradient and each of its moments.
_MOST_TABLE_LOGITS = 2**31


def table_too_large(config: ModelConfig, vocab_size: int) -> str | None:
    """Why the table of logits would not fit in any memory, or None."""
    rows = config.table_rows(vocab_size)
    if not config.bigram_table or rows * vocab_size <= _MOST_TABLE_LOGITS:
        return None
    return (
        f"model.table_order={config.table_order} gives the table {rows:,} rows of {vocab_size:,} logits; "
        "set model.bigram_rows to fewer rows"
    )


def _heads(config: RunConfig, device_type: str) -> str | None:
    model = config.model
    if model.n_head % model.kv_heads:
        return (
            f"model.n_kv_head={model.n_kv_head} must divide model.n_head={model.n_head}; "
            f"set model.n_kv_head=null for as many"
        )
    if model.positions == "rope" and model.head_size % 2:
        return (
            f"model.positions=rope turns pairs, and the head size is model.n_embd / model.n_head = "
            f"{model.head_size}; set model.n_head so that it is even"
        )
    return None


def _context(config: RunConfig, device_type: str) -> str | None:
    context, block = config.evaluation.context, config.model.block_size
    if block < context and context % block:
        return (
            f"evaluation.context={context} must be a multiple of model.block_size={block}, which is shorter"
        )
    return None


def _attention(config: RunConfig, device_type: str) -> str | None:
    model, name = config.model, config.model.attention
    row = tables()["model.attention"].get(name)
    if row is not None and device_type in row.bf16_only_on and tensors_of(config.train.precision) == "fp32":
        return f"model.attention={name} has no fp32 on {device_type}; set train.precision=bf16"
    if name == "sdpa_flash" and device_type == "cpu" and model.dropout > 0:
        return "model.attention=sdpa_flash has no dropout on a CPU; set model.dropout=0"
    if name == "flex" and model.dropout > 0:
        return "model.attention=flex has no dropout; set model.dropout=0"
    if name == "flex" and not config.train.compile:
        return "model.attention=flex writes out all its scores unless it is compiled; set train.compile=true"
    if name == "flex" and config.train.compile_scope == "mlp":
        return "train.compile_scope=mlp leaves model.attention=flex out; set train.compile_scope=block"
    if device_type == "cuda":
        return _head_size(config)
    return None


def _head_size(config: RunConfig) -> str | None:
    """On a GPU. Fused kernels load whole vectors, and hold a head on the chip."""
    size, name = config.model.head_size, config.model.attention
    multiple = 4 if tensors_of(config.train.precision) == "fp32" else 8
    expected = {
        "sdpa_flash": ("at most 256", size <= 256),
        "sdpa_cudnn": ("a multiple of 8, at most 128", size % 8 == 0 and size <= 128),
        "sdpa_efficient": (f"a multiple of {multiple}", size % multiple == 0),
        "flex": ("16 or more", size >= 16),
    }.get(name)
    if expected is not None and not expected[1]:
        return (
            f"model.attention={name} needs a head size (model.n_embd / model.n_head) of {expected[0]}, "
            f"got {size}; set model.n_head"
        )
    if name == "sdpa_cudnn" and config.model.block_size == 1:
        return "model.attention=sdpa_cudnn needs a model.block_size of 2 or more"
    return None


def _loss(config: RunConfig, device_type: str) -> str | None:
    model = config.model
    fused = model.loss in ("linear_cross_entropy", "liger")
    if fused and model.bigram_table:
        return f"model.loss={model.loss} knows no model.bigram_table; set model.loss=chunked"
    if model.loss == "linear_cross_entropy" and model.logit_softcap > 0:
        return "model.loss=linear_cross_entropy knows no model.logit_softcap; set model.loss=chunked"
    if model.loss == "linear_cross_entropy" and _compiles_all(config):
        return "model.loss=linear_cross_entropy breaks the graph of train.compile; set model.loss=chunked"
    return None


def _compiles_all(config: RunConfig) -> bool:
    return config.train.compile and config.train.compile_scope == "model"


def _liger(config: RunConfig, device_type: str) -> str | None:
    """Its kernels are made to replace what a compiler would fuse; nobody has tried them under one here."""
    chosen = [("model.norm", config.model.norm), ("model.mlp", config.model.mlp)]
    if _compiles_all(config):
        chosen.append(("model.loss", config.model.loss))
    for path, name in chosen:
        row = tables()[path].get(name)
        if row is not None and "liger_kernel" in row.modules and config.train.compile:
            return f"{path}={name} is not tried under torch.compile; set train.compile=false"
    return None


def _cuda_graphs(config: RunConfig, device_type: str) -> str | None:
    from model.compiling import replays_graphs

    if replays_graphs(config) and config.train.grad_accum > 1:
        return (
            f"train.compile_mode={config.train.compile_mode} keeps gradients where the next micro-batch "
            "writes over them; set train.grad_accum=1"
        )
    return None


def _fp8(config: RunConfig, device_type: str) -> str | None:
    model = config.model
    tokens = config.train.batch_size * model.block_size
    sides = {
        "model.n_embd": model.n_embd,
        "the width of the MLP": model.mlp_width,
        "the width of q, k and v": (model.n_head + 2 * model.kv_heads) * model.head_size,
        "train.batch_size x model.block_size": tokens,
    }
    for name, size in sides.items():
        if config.train.precision == "fp8" and size % 16:
            return f"train.precision=fp8 multiplies tiles of 16, and {name} is {size}; make it a multiple"
    return None


_RULES: tuple[Callable[[RunConfig, str], str | None], ...] = (
    _heads,
    _attention,
    _loss,
    _liger,
    _cuda_graphs,
    _fp8,
    _context,
)


def tensors_of(precision: str) -> str:
    """What the kernels of a `train.precision` are given: "fp32" or "bf16"."""
    return "fp32" if precision in ("fp32", "tf32") else "bf16"


def compiles(config: RunConfig) -> bool:
    """Whether anything of a run is compiled, so that it has a compile phase."""
    return config.train.compile or config.optimizer.kernel == "compiled"


def lookup_like(config: ModelConfig) -> bool:
    """Whether part of the model maps the last tokens to the next one by looking them up.

    The bigram table does so outright, and smearing gives it, or the head, pairs of tokens without attention.
    They buy a loss that counting would buy too, so fronts are shown with and without them. A value embedding
    is a table as well, but of single tokens, and what it holds only counts through attention.
    """
    return config.bigram_table or config.smear


def tables() -> Mapping[str, Mapping[str, Variant]]:
    """Every table of variants by the configuration path that chooses from it."""
    from model.attention import ATTENTION
    from model.compiling import COMPILE_MODES, COMPILE_SCOPES
    from model.embed import POSITIONS
    from model.loss import LOSSES
    from model.mlp import MLPS
    from model.norm import NORMS
    from model.optim import KERNELS, OPTIMIZERS
    from model.precision import PRECISIONS
    from model.schedule import SCHEDULES

    return {
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

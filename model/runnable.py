"""What cannot run, and what to type instead, by the limits on the rows of the tables.

`missing` looks at one value and the device, `unrunnable` at values together. Both are pure and import no
torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from model.capabilities import POWER_LIMIT, SM_CLOCK, Capabilities, cannot_hold
from model.config import ModelConfig, RunConfig
from model.schedule import plateaus
from model.tables import ATTENTION, COMPILE_SCOPES, PRECISIONS, TABLES, evaluated
from model.variant import ELEMENT_BYTES, HeadSize, Variant

PRECISION, NS_DTYPE = "train.precision", "optimizer.ns_dtype"
_WORDS = {"cpu": "a CPU", "cuda": "a GPU"}


def missing(path: str, value: object, capabilities: Capabilities) -> str | None:
    """Why `value` of the configuration path `path` cannot run here, or None where it can (or no table knows
    it)."""
    row = TABLES[path].get(str(value)) if path in TABLES else None
    if row is not None and (reason := _missing_row(row, capabilities)):
        return f"{path}={value} {reason}"
    if path == "train.processes" and isinstance(value, int) and value > capabilities.processes:
        return _too_many_processes(value, capabilities)
    if path == "train.compile" and value is True and not capabilities.can_compile:
        return "train.compile=true needs a C++ compiler (g++ or clang++), and none is on the PATH"
    if by_way_of_fp32(path, value, capabilities):
        return f"{path}={value} needs bf16 arithmetic, and {capabilities.device_name} has none"
    return cannot_hold(path, value, capabilities)


def _too_many_processes(wanted: int, capabilities: Capabilities) -> str:
    most, plural = capabilities.processes, "es" if capabilities.processes > 1 else ""
    what = "one GPU each" if capabilities.device_type == "cuda" else "device.threads cores each"
    return (
        f"train.processes={wanted} needs {what}, and {capabilities.device_name} has them for {most} "
        f"process{plural}; set train.processes={most}"
    )


def by_way_of_fp32(path: str, value: object, capabilities: Capabilities) -> bool:
    """Whether the value asks for bf16 of a device that has no arithmetic for it. It gets what it asked for,
    by way of fp32, in several times the time."""
    name = str(value)
    if capabilities.bf16:
        return False
    if path == NS_DTYPE:
        return name == "bf16"
    return path == PRECISION and name in PRECISIONS and PRECISIONS[name].tensors == "bf16"


def absent(config: RunConfig, capabilities: Capabilities) -> str | None:
    """What of a configuration a device does not have or cannot run, or None.

    A device without bf16 arithmetic calculates it by way of fp32: slow, but who asks for it by name gets it.
    """
    for path, name, row in chosen_rows(config):
        if reason := _missing_row(row, capabilities):
            return f"{path}={name} {reason}"
    for path in ("train.compile", "train.processes", POWER_LIMIT, SM_CLOCK):
        if missing_here := missing(path, config.value_of(path), capabilities):
            return missing_here
    return unrunnable(config, capabilities.device_type)


def chosen_rows(config: RunConfig) -> Iterator[tuple[str, str, Variant]]:
    """(path, name, row) of every variant that a configuration chooses."""
    for path, table in TABLES.items():
        name = str(config.value_of(path))
        if name in table:
            yield path, name, table[name]


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
    for rule in (_kv_heads, _evaluation_context, _cuda_graphs, _averaging, _sides, not_together):
        if reason := rule(config):
            return reason
    for path, name, row in chosen_rows(config):
        for limit in _LIMITS:
            if reason := limit(row, config, device_type, path):
                return f"{path}={name} {reason}"
    return None


def not_cached(model: ModelConfig) -> str:
    """Why no keys and values can be kept between the tokens that a model generates; empty where they can."""
    row = evaluated("model.attention", model.attention)
    return (
        "" if ATTENTION[row].cached else f"model.attention={row} has no attention over kept keys and values"
    )


# One function for each limit of a row: what is wrong with the other values, after `PATH=NAME `.


def _number_format(row: Variant, config: RunConfig, device_type: str, path: str) -> str | None:
    if device_type in row.bf16_only_on and PRECISIONS[config.train.precision].tensors == "fp32":
        return f"has no fp32 on {_WORDS[device_type]}; set train.precision=bf16"
    return None


def _dropout(row: Variant, config: RunConfig, device_type: str, path: str) -> str | None:
    if device_type in row.no_dropout_on and config.model.dropout > 0:
        return f"has no dropout on {_WORDS[device_type]}; set model.dropout=0"
    return None


def _ignored(row: Variant, config: RunConfig, device_type: str, path: str) -> str | None:
    for setting in row.ignores:
        if config.value_of(setting) not in (0, "none"):
            return f"does not support {setting}; set {path}={row.instead}"
    return None


def _compiling(row: Variant, config: RunConfig, device_type: str, path: str) -> str | None:
    limit, compiles = row.compiling, config.train.compile
    if limit is None:
        return None
    inside = path in COMPILE_SCOPES[config.train.compile_scope].parts
    if limit.required and compiles and not inside:
        wider = next(name for name in ("block", "model") if path in COMPILE_SCOPES[name].parts)
        return (
            f"must be compiled, and train.compile_scope={config.train.compile_scope} leaves it out; "
            f"set train.compile_scope={wider}"
        )
    if limit.required != (compiles and inside):
        return f"{limit.because}; set {limit.remedy}"
    return None


def _head_size(row: Variant, config: RunConfig, device_type: str, path: str) -> str | None:
    limit, size = row.head_size, config.model.head_size
    if limit is None or device_type not in limit.devices:
        return None
    element_bytes = ELEMENT_BYTES[PRECISIONS[config.train.precision].tensors]
    multiple = max(limit.multiple, limit.vector_bytes // element_bytes)
    if size % multiple == 0 and limit.least <= size and (limit.most is None or size <= limit.most):
        return None
    return (
        f"needs a head size (model.n_embd / model.n_head) of {_in_words(limit, multiple)}, got {size}; "
        "set model.n_head"
    )


def _in_words(limit: HeadSize, multiple: int) -> str:
    parts = [f"a multiple of {multiple}"] if multiple > 1 else []
    parts += [f"at most {limit.most}"] if limit.most is not None else []
    parts += [f"{limit.least} or more"] if limit.least > 1 else []
    return ", ".join(parts)


def _block_size(row: Variant, config: RunConfig, device_type: str, path: str) -> str | None:
    if config.model.block_size < row.least_block_size:
        return f"needs a model.block_size of {row.least_block_size} or more"
    return None


Limit = Callable[[Variant, RunConfig, str, str], str | None]
_LIMITS: tuple[Limit, ...] = (_number_format, _dropout, _ignored, _compiling, _head_size, _block_size)


# Values that do not fit each other whatever the variants are.


def _kv_heads(config: RunConfig) -> str | None:
    model = config.model
    if model.n_head % model.kv_heads == 0:
        return None
    return (
        f"model.n_kv_head={model.n_kv_head} must divide model.n_head={model.n_head}; "
        f"set model.n_kv_head=null for as many"
    )


def _evaluation_context(config: RunConfig) -> str | None:
    (_, context, stride), block = config.windows, config.model.block_size
    if stride > context:
        return (
            f"evaluation.stride={stride} is longer than model.block_size={block}, so that some predictions "
            f"would see nothing; type evaluation.stride={block} or less"
        )
    if block < context and context % block:
        return (
            f"evaluation.context={context} must be a multiple of model.block_size={block}, which is shorter"
        )
    return None


def _cuda_graphs(config: RunConfig) -> str | None:
    if config.replays_cuda_graphs and config.train.grad_accum > 1:
        return (
            f"train.compile_mode={config.train.compile_mode} keeps gradients where the next micro-batch "
            "writes over them; set train.grad_accum=1"
        )
    return None


def _averaging(config: RunConfig) -> str | None:
    fraction, precision = config.schedule.average_fraction, config.train.precision
    if fraction > 0 and PRECISIONS[precision].weights != "fp32":
        return (
            f"schedule.average_fraction={fraction} takes the mean of weights in fp32, and "
            f"train.precision={precision} has none; set train.precision=bf16 or schedule.average_fraction=0"
        )
    return None


def _sides(config: RunConfig) -> str | None:
    model, precision = config.model, config.train.precision
    tile = PRECISIONS[precision].sides
    sides = {
        "model.n_embd": model.n_embd,
        "the width of the MLP": model.mlp_width,
        "the width of q, k and v": (model.n_head + 2 * model.kv_heads) * model.head_size,
        "train.batch_size x model.block_size": config.train.batch_size * model.block_size,
    }
    for name, size in sides.items():
        if size % tile:
            return (
                f"train.precision={precision} multiplies tiles of {tile}, and {name} is {size}; "
                "make it a multiple"
            )
    return None


def not_together(config: RunConfig) -> str | None:
    """Why several processes cannot train this and get what one process gets, whatever the device; None where
    they can, or there is one."""
    train, model = config.train, config.model
    asked = f"train.processes={train.processes}"
    if train.processes == 1:
        return None
    if model.dropout > 0:
        return (
            f"{asked} would drop other activations than one process drops; set model.dropout=0 (it is "
            f"{model.dropout}) or train.processes=1"
        )
    if PRECISIONS[train.precision].linear == "fp8":
        return (
            f"{asked} would scale by what each process sees alone, with train.precision={train.precision}; "
            "set train.precision=bf16 or train.processes=1"
        )
    if config.replays_cuda_graphs:
        return (
            f"{asked} sends gradients from where the graphs of train.compile_mode={train.compile_mode} write "
            "over them; set train.compile_mode=default or train.processes=1"
        )
    return _undivided(config)


def _undivided(config: RunConfig) -> str | None:
    processes, grad_accum = config.train.processes, config.train.grad_accum
    sizes = [plateau.batch_size for plateau in plateaus(config)]
    odd = next((size for size in sizes if size % processes), None)
    if grad_accum % processes == 0 or odd is None:
        return None
    sequences = f"{odd} sequence{'s' if odd > 1 else ''}"
    remedy = f"set train.batch_size or train.grad_accum to a multiple of {processes}"
    if odd != config.train.batch_size:
        sequences += f" (train.batch_size={config.train.batch_size}, ramped)"
        remedy = f"set train.grad_accum to a multiple of {processes}, or schedule.batch_ramp_from=1"
    return (
        f"train.processes={processes} must divide train.grad_accum={grad_accum} or each micro-batch, and one "
        f"is of {sequences}; {remedy}"
    )


# More logits in a lookup table are a mistake: 8 GiB, and as much for its gradient and each of its moments.
_MOST_LOOKUP_LOGITS = 2**31


def lookup_table_too_large(config: ModelConfig, vocab_size: int) -> str | None:
    """Why the lookup table would not fit in any memory, or None."""
    rows = config.lookup_table_rows(vocab_size)
    if rows * vocab_size <= _MOST_LOOKUP_LOGITS:
        return None
    return (
        f"model.lookup_table={config.lookup_table} has {rows:,} rows of {vocab_size:,} logits; "
        "set model.lookup_rows to fewer rows"
    )

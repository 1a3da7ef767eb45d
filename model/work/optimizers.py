"""What the step of an optimizer computes and moves, by parameter and by matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from model.config import RunConfig
from model.work.network import block_matrices, parameter_count
from model.work.units import Kernels, Work, bytes_of, format_of, row_of

# Per parameter.
ADAMW_OPS = 14  # decay 1, first moment 3, second 4, root 1, correction 1, eps 1, update 3
ADAMW_MOVED = {
    # kernel after kernel: decay 2, first moment 3, second 2 + 3, root 2, correction 2, eps 2, update 4
    "forloop": 20,
    "foreach": 20,  # the same kernels over lists of parameters
    "fused": 7,  # weight, gradient and two moments read, all but the gradient written
    "compiled": 7,
}
# Momentum 3, Nesterov 3, decay 1, norm 2, division 1, update 2.
MUON_OPS = 12
MUON_MOVED = {
    # kernel after kernel: momentum 3, Nesterov 3, decay 2, cast, norm 1, division 2, update 2 + 1
    "forloop": Kernels(MUON_OPS, wide=10, narrow=4, casts=1),
    # and a copy that puts matrices of one shape together
    "foreach": Kernels(MUON_OPS, wide=10, narrow=6, casts=1),
    "fused": Kernels(MUON_OPS, wide=10, narrow=6, casts=1),
    # weight, momentum, gradient read, the first two written; the direction written, normed, divided, added
    "compiled": Kernels(MUON_OPS, wide=5, narrow=5),
}
# One Newton-Schulz step of an (m, n) matrix, m <= n: a x and c A added inside the matmuls.
NS_OPS_SMALL = 3  # per element of the (m, m) product of the matrix with itself
NS_OPS_LARGE = 2  # per element of the matrix


def _adamw(config: RunConfig, vocab_size: int) -> Work:
    return _adamw_of(config, parameter_count(config.model, vocab_size))


def _adamw_of(config: RunConfig, parameters: int) -> Work:
    moved = row_of(ADAMW_MOVED, "optimizer.kernel", config.optimizer.kernel)
    weights = format_of("train.precision", config.train.precision)
    return Work({}, float(ADAMW_OPS * parameters), float(moved * weights.wide_bytes * parameters))


def _muon(config: RunConfig, vocab_size: int) -> Work:
    """Muon for the matrices of the blocks, AdamW for the rest."""
    optimizer, work, hidden = config.optimizer, Work(), 0
    moved = row_of(MUON_MOVED, "optimizer.kernel", optimizer.kernel)
    weights = format_of("train.precision", config.train.precision)
    iterated = format_of("optimizer.ns_dtype", optimizer.ns_dtype)
    narrow = replace(iterated, wide_bytes=weights.wide_bytes)
    per_element = bytes_of(moved, narrow)
    for rows, columns in _muon_matrices(config):
        small, large = min(rows, columns), rows * columns
        flops = 2.0 * small * large + 2.0 * small**3 + 2.0 * small * large  # X X^T, A A, B X
        elements = 5 * large + 6 * small**2  # operands and results of these three, additions included
        step = Work(
            {narrow.precision: flops},
            float(NS_OPS_SMALL * small**2 + NS_OPS_LARGE * large),
            float(elements * narrow.narrow_bytes),
        )
        work += step.times(optimizer.ns_steps) + Work({}, moved.ops * large, per_element * large)
        hidden += large
    rest = parameter_count(config.model, vocab_size) - config.model.n_layer * hidden
    return work.times(config.model.n_layer) + _adamw_of(config, rest)


def _muon_matrices(config: RunConfig) -> Iterable[tuple[int, int]]:
    """(rows, columns) of what Muon orthogonalises in one block: queries, keys and values apart, or not."""
    (n_in, n_out), *others = block_matrices(config.model)
    if config.optimizer.muon_split_qkv:
        kv = (n_out - n_in) // 2
        return [(n_in, n_in), (kv, n_in), (kv, n_in), *((out, into) for into, out in others)]
    return [(n_out, n_in), *((out, into) for into, out in others)]


OPTIMIZER_WORK: Mapping[str, Callable[[RunConfig, int], Work]] = {"adamw": _adamw, "muon": _muon}

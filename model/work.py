"""What a run computes and moves: arithmetic operations by precision, and bytes between memory and arithmetic.

Pure arithmetic on a configuration, without torch: a first-order model.

    matmuls      2 m k n operations at the precision that they run in; a backward pass is two more. Attention
                 is the full square of its scores, except where a fused kernel skips tiles (`seen_share`).
    elementwise  norms, activations, softmax, loss, residuals, optimizer: operations per element by the tables
                 below, all at fp32, in which they are done whatever the tensors hold; an exp, erf, root or
                 division is one operation. They are 1.7 % of the operations of nanoGPT's CPU recipe.
    bytes        every eager kernel reads its operands from memory and writes its results.

Left out, and how large it is:

    caches       a tensor that stays in a cache between two kernels is counted all the same. For a model and a
                 batch that fit in the last-level cache next to none of these bytes reach the memory chips.
    fusing       torch.compile changes nothing here. Inductor's own count (2 layers, 64 channels, 4 x 48
                 tokens, CPU) lay from 4 % above to 11 % below that of the eager kernels.
    the rest     data, masks, indices, random numbers, scalars, row statistics: 1 % of the bytes (same shape).
    autocast     as on a CPU. CUDA's also casts the scores of `manual` to fp32 and back around the softmax.
    time         waiting, launching kernels, Python, and memory that stands still cost nothing here.

A new variant needs a row in the table of its part, or a branch beside it. One without raises `UncountedWork`:
work that is unknown is never zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from model.config import ModelConfig, RunConfig

Row = TypeVar("Row")


class UncountedWork(LookupError):
    """A variant whose work nobody has written down. The text is one line: which, and where to add it."""


@dataclass(frozen=True)
class Work:
    """Operations of matmuls by their precision, of everything else (fp32), and bytes moved."""

    matmul_flops: Mapping[str, float] = field(default_factory=dict)
    elementwise_ops: float = 0.0
    bytes_moved: float = 0.0

    @property
    def flops(self) -> Mapping[str, float]:
        """All operations by precision."""
        return (Work(self.matmul_flops) + Work({"fp32": self.elementwise_ops})).matmul_flops

    def __add__(self, other: Work) -> Work:
        ours, theirs = self.matmul_flops, other.matmul_flops
        return Work(
            {name: ours.get(name, 0.0) + theirs.get(name, 0.0) for name in sorted({*ours, *theirs})},
            self.elementwise_ops + other.elementwise_ops,
            self.bytes_moved + other.bytes_moved,
        )

    def times(self, count: float) -> Work:
        return Work(
            {name: count * flops for name, flops in self.matmul_flops.items()},
            count * self.elementwise_ops,
            count * self.bytes_moved,
        )


# The tables: what each variant costs for an element.

# Weights, gradients, optimizer states, the residual stream, norms and the loss are fp32 at every precision.
WIDE_BYTES = 4


@dataclass(frozen=True)
class Format:
    """What matmuls run in, and the bytes of the tensors between them. Others are cast from and to fp32."""

    precision: str
    narrow_bytes: int


@dataclass(frozen=True)
class Kernels:
    """Elementwise kernels, per element of the tensor that they run over: operations; elements read or
    written in fp32 (`wide`) and in the matmuls' format (`narrow`); casts between the two, where they differ.
    """

    ops: float = 0.0
    wide: float = 0.0
    narrow: float = 0.0
    casts: float = 0.0


@dataclass(frozen=True)
class Elementwise:
    forward: Kernels
    backward: Kernels


@dataclass(frozen=True)
class Norm:
    """`weights` per channel; `biased`: one more where `model.bias` asks for it."""

    kernels: Elementwise
    weights: int
    biased: bool


@dataclass(frozen=True)
class Mlp:
    """`widening` matrices lead from n_embd to the MLP's width (two with a gate), one leads back."""

    widening: int
    activation: Elementwise


@dataclass(frozen=True)
class Attention:
    """Kernels per element of the scores (T x T a head) and per element of a head's outputs (T x D).

    `fused`: the scores never leave the chip, and the backward pass computes them again. `upcasts`: its
    matmuls run in fp32 at every precision.
    """

    scores: Elementwise
    heads: Elementwise
    fused: bool = False
    upcasts: bool = False


FORMATS = {"fp32": Format("fp32", 4), "bf16": Format("bf16", 2)}

# ops: mean 1, squares 2, normalise 2, weight 1; backward two sums 4, x_hat 2, dx 4, weight's gradient 2.
# The output is cast for the matmul behind it, and its gradient back.
NORM_WORK = {
    "layernorm": Norm(
        Elementwise(Kernels(ops=6, wide=2, casts=1), Kernels(ops=12, wide=3, casts=1)), weights=1, biased=True
    )
}

# ops: x / sqrt 2, erf, + 1, x, x 0.5; backward the same cdf 4, density 4, product rule 3.
MLP_WORK = {"gelu": Mlp(1, Elementwise(Kernels(ops=5, narrow=2), Kernels(ops=11, narrow=3)))}

# Softmax is max, subtract, exp, sum, divide; backward product, sum, subtract, product. `heads` moves: the
# gradients of q, k and v put into one (6), and copies into a layout that a batched matmul takes.
_FUSED = Attention(
    scores=Elementwise(Kernels(ops=7), Kernels(ops=8)),
    heads=Elementwise(Kernels(narrow=4), Kernels(narrow=8 + 6)),
    fused=True,
)
ATTENTION_WORK = {
    "manual": Attention(  # scale, mask, softmax
        scores=Elementwise(Kernels(ops=7, narrow=6), Kernels(ops=6, narrow=7)),
        heads=Elementwise(Kernels(narrow=8), Kernels(narrow=6 + 6)),
    ),
    "sdpa_math": Attention(  # q and k scaled, mask added, softmax, weights returned in the format of q
        scores=Elementwise(Kernels(ops=6, wide=4, casts=1), Kernels(ops=4, wide=3)),
        heads=Elementwise(
            Kernels(ops=2, wide=4 + 6, narrow=2, casts=4), Kernels(ops=2, wide=4 + 2, narrow=4 + 6, casts=4)
        ),
        upcasts=True,
    ),
    # torch picks; counted as fused. On a CPU with dropout it takes MATH, and this is too low.
    "sdpa": _FUSED,
    "sdpa_flash": _FUSED,
}

# Per logit. ops: max, subtract, exp, sum, subtract; backward exp, multiply, subtract.
LOSS_WORK = {
    "plain": Elementwise(Kernels(ops=5, wide=2, casts=1), Kernels(ops=3, wide=4, casts=1)),
}

# Per element of the residual stream. Backward: the branch's gradient is cast, and two that meet are added.
RESIDUAL = Elementwise(Kernels(ops=1, wide=2, narrow=1), Kernels(ops=1, wide=3, casts=1))
# Token row and position row read, written, added; backward: positions summed over the batch, rows scattered.
EMBEDDING = Elementwise(Kernels(ops=1, wide=4), Kernels(ops=2, wide=2))
# Mask drawn, scaled, applied; torch's CPU kernels. CUDA's single kernel moves about a third of it.
DROPOUT_WIDE = Elementwise(Kernels(ops=2, wide=6), Kernels(ops=1, wide=3))
DROPOUT_NARROW = Elementwise(Kernels(ops=2, narrow=6), Kernels(ops=1, narrow=3))
# Added inside the matmul; backward: a sum over the tokens.
BIAS = Elementwise(Kernels(ops=1), Kernels(ops=1, narrow=1))

# Per parameter.
ACCUMULATE = Kernels(ops=1, wide=3)
CLIP = Kernels(ops=3, wide=3)
ADAMW_OPS = 14  # decay 1, first moment 3, second 4, root 1, correction 1, eps 1, update 3
ADAMW_MOVED = {
    # kernel after kernel: decay 2, first moment 3, second 2 + 3, root 2, correction 2, eps 2, update 4
    "forloop": 20,
    "foreach": 20,  # the same kernels over lists of parameters
    "fused": 7,  # weight, gradient and two moments read, all but the gradient written
}

# Fused attention computes the scores in tiles and skips those above the diagonal. Kernels differ: torch's on
# a CPU takes rows of 32 below a context of 192, of 64 below 768, then of 256.
TILE = 64
# Tokens of one evaluation pass, for which the weights are read once: `model.evaluate`'s on a CPU.
TOKENS_PER_PASS = 4096


@dataclass(frozen=True)
class _Pass:
    """The network run once over `sequences` of `context` tokens, in training with its backward pass."""

    model: ModelConfig
    vocab_size: int
    sequences: float
    context: int
    format: Format
    training: bool
    attention: Attention

    @property
    def tokens(self) -> float:
        return self.sequences * self.context

    def matmul(self, m: float, k: float, n: float) -> Work:
        """(m, k) @ (k, n), and in training the gradients of both, which are matmuls of the same size."""
        moved = self.format.narrow_bytes * (m * k + k * n + m * n)
        return Work({self.format.precision: 2.0 * m * k * n}, 0.0, moved).times(3 if self.training else 1)

    def elementwise(self, row: Elementwise, elements: float) -> Work:
        forward = self.kernels(row.forward, elements)
        return forward + self.kernels(row.backward, elements) if self.training else forward

    def kernels(self, row: Kernels, elements: float) -> Work:
        narrow = self.format.narrow_bytes
        cast = 0 if narrow == WIDE_BYTES else narrow + WIDE_BYTES
        moved = row.wide * WIDE_BYTES + row.narrow * narrow + row.casts * cast
        return Work({}, row.ops * elements, moved * elements)

    def linear(self, n_in: int, n_out: int, biased: bool) -> Work:
        """Every token through a weight matrix; it is cast to the matmuls' format, and its gradient back."""
        work = self.matmul(self.tokens, n_in, n_out)
        work += self.elementwise(Elementwise(Kernels(casts=1), Kernels(casts=1)), n_in * n_out)
        return work + self.elementwise(BIAS, self.tokens * n_out) if biased else work

    def dropout(self, row: Elementwise, elements: float) -> Work:
        return self.elementwise(row, elements) if self.training and self.model.dropout > 0 else Work()

    def network(self) -> Work:
        stream = self.tokens * self.model.n_embd
        table = self.vocab_size * self.model.n_embd
        logits = self.tokens * self.vocab_size
        norm = _row(NORM_WORK, "model.norm", self.model.norm)
        loss = _row(LOSS_WORK, "model.loss", self.model.loss)
        # The table's gradient is written as a whole; the head's is added to it where they are tied.
        gradient = Kernels(wide=1 + 3) if self.model.tied_head else Kernels(wide=1)
        return _total(
            [
                self.elementwise(EMBEDDING, stream),
                self.elementwise(Elementwise(Kernels(), gradient), table),
                self.dropout(DROPOUT_WIDE, stream),
                self.block().times(self.model.n_layer),
                self.elementwise(norm.kernels, stream),
                self.linear(self.model.n_embd, self.vocab_size, biased=False),
                self.elementwise(loss, logits),
            ]
        )

    def block(self) -> Work:
        model = self.model
        stream = self.tokens * model.n_embd
        norm = _row(NORM_WORK, "model.norm", model.norm)
        mlp = _row(MLP_WORK, "model.mlp", model.mlp)
        matrices = block_matrices(model)
        return _total(
            [
                *(self.linear(n_in, n_out, model.bias) for n_in, n_out in matrices),
                self.scores(),
                self.elementwise(mlp.activation, self.tokens * model.mlp_width),
                self.elementwise(norm.kernels, stream).times(2),
                self.elementwise(RESIDUAL, stream).times(2),
                self.dropout(DROPOUT_NARROW, stream).times(2),
            ]
        )

    def scores(self) -> Work:
        """Attention between q, k, v and the heads' outputs."""
        row, model = self.attention, self.model
        inner = replace(self, format=FORMATS["fp32"]) if row.upcasts else self
        heads = self.sequences * model.n_head
        head_dim = model.n_embd // model.n_head
        scores = heads * self.context**2
        work = self.elementwise(row.heads, self.tokens * model.n_embd)
        if row.fused:
            share = seen_share(self.context)
            matmuls = 2 + 5 if self.training else 2  # backward: the scores again, and four gradients
            work += Work({self.format.precision: 2.0 * scores * head_dim * share * matmuls})
            return work + self.elementwise(row.scores, scores * share)
        work += inner.matmul(self.context, head_dim, self.context).times(heads)
        work += inner.matmul(self.context, self.context, head_dim).times(heads)
        return work + self.elementwise(row.scores, scores) + self.dropout(DROPOUT_NARROW, scores)


def step_work(config: RunConfig, vocab_size: int) -> Work:
    """One optimizer step: all its micro-batches forward and backward, clipping, and the optimizer."""
    model, train = config.model, config.train
    micro_batch = _Pass(
        model,
        vocab_size,
        sequences=train.batch_size,
        context=model.block_size,
        format=_row(FORMATS, "train.precision", train.precision),
        training=True,
        attention=_row(ATTENTION_WORK, "model.attention", model.attention),
    )
    parameters = parameter_count(model, vocab_size)
    work = micro_batch.network().times(train.grad_accum)
    work += micro_batch.kernels(ACCUMULATE, parameters).times(train.grad_accum - 1)
    if config.optimizer.grad_clip > 0:
        work += micro_batch.kernels(CLIP, parameters)
    return work + _row(OPTIMIZER_WORK, "optimizer.name", config.optimizer.name)(config, vocab_size)


def evaluation_work(config: RunConfig, vocab_size: int, tokens: float) -> Work:
    """Forward only, in fp32 with `sdpa`, for `tokens` predicted; proportional to them."""
    context = min(config.evaluation.context, config.model.block_size)
    one_pass = _Pass(
        config.model,
        vocab_size,
        sequences=TOKENS_PER_PASS / context,
        context=context,
        format=FORMATS["fp32"],
        training=False,
        attention=ATTENTION_WORK["sdpa"],
    )
    return one_pass.network().times(tokens / TOKENS_PER_PASS)


def setup_work(config: RunConfig, vocab_size: int) -> Work:
    """Building the model: weights written twice (torch's initialisation, then the model's own) and two zeroed
    moments. Drawing random numbers and moving the data are left out."""
    return Work(bytes_moved=4.0 * WIDE_BYTES * parameter_count(config.model, vocab_size))


def parameter_count(model: ModelConfig, vocab_size: int) -> int:
    """Trainable parameters, each shared tensor once: what `model.gpt.count_parameters` counts by building."""
    norm = _row(NORM_WORK, "model.norm", model.norm)
    per_norm = model.n_embd * (norm.weights + (norm.biased and model.bias))
    block = 2 * per_norm
    for n_in, n_out in block_matrices(model):
        block += n_in * n_out + (n_out if model.bias else 0)
    tables = model.n_embd * (vocab_size * (1 if model.tied_head else 2) + model.block_size)
    return tables + model.n_layer * block + per_norm


def block_matrices(model: ModelConfig) -> tuple[tuple[int, int], ...]:
    """(in, out) of every weight matrix of one block."""
    widening = _row(MLP_WORK, "model.mlp", model.mlp).widening
    attention = ((model.n_embd, 3 * model.n_embd), (model.n_embd, model.n_embd))
    return (*attention, *[(model.n_embd, model.mlp_width)] * widening, (model.mlp_width, model.n_embd))


def seen_share(context: int) -> float:
    """The share of a causal score matrix that a fused kernel computes, in tiles of `TILE`."""
    tiles = math.ceil(context / TILE)
    return (tiles + 1) / (2 * tiles)


def _adamw(config: RunConfig, vocab_size: int) -> Work:
    moved = _row(ADAMW_MOVED, "optimizer.kernel", config.optimizer.kernel)
    parameters = parameter_count(config.model, vocab_size)
    return Work({}, float(ADAMW_OPS * parameters), float(moved * WIDE_BYTES * parameters))


OPTIMIZER_WORK: Mapping[str, Callable[[RunConfig, int], Work]] = {"adamw": _adamw}


def _row(table: Mapping[str, Row], path: str, name: str) -> Row:
    row = table.get(name)
    if row is None:
        raise UncountedWork(f"the work of {path}={name} is not modelled; add its row to model/work.py")
    return row


def _total(parts: Iterable[Work]) -> Work:
    return sum(parts, start=Work())

"""What a run computes and moves: arithmetic operations by precision, and bytes between memory and arithmetic.

Pure arithmetic on a configuration, without torch: a first-order model.

    matmuls      2 m k n operations at the precision that they run in; a backward pass is two more. Attention
                 is the full square of its scores, except where a fused kernel skips tiles (`seen_share`).
    elementwise  norms, activations, softmax, loss, residuals, optimizer: operations per element by the tables
                 below, all at fp32, in which they are done whatever the tensors hold; an exp, erf, root or
                 division is one operation. They are 1.7 % of the operations of nanoGPT's CPU recipe.
    bytes        every eager kernel reads its operands from memory and writes its results.

What is checked against torch on a CPU: the matmuls' operations exactly, for every variant whose kernels torch
counts; bytes within 1 % for attention (2 % with weights in bf16, 4 % within a window) and 2 % for Muon,
within 5 % for each other variant that runs on a CPU, where what it adds to the plain model is within a
quarter.
What runs on a GPU alone is counted on paper, and unchecked: Liger's kernels, `sdpa_efficient`, `sdpa_cudnn`,
`flex`, tf32 (fp32's bytes), fp8 (bf16's bytes). So are the bytes of `linear_cross_entropy`,
which torch shows as one kernel: they are those of `chunked` in parts of its own size.

Left out, and how large it is:

    caches       a tensor that stays in a cache between two kernels is counted all the same. For a model and a
                 batch that fit in the last-level cache next to none of these bytes reach the memory chips.
    fusing       torch.compile changes nothing here. Inductor's own count (2 layers, 64 channels, 4 x 48
                 tokens, CPU) lay from 4 % above to 11 % below that of the eager kernels.
    the rest     data, masks, indices, random numbers, scalars, row statistics: 1 % of the bytes (same shape).
                 With `qk_norm` the row statistics are more: about 0.6 of a pass over heads of 32 channels.
    autocast     as on a CPU. CUDA's also casts the scores of `manual` to fp32 and back around the softmax.
    RMS norms    as on a CPU, kernel after kernel. CUDA's single kernel moves 5 elements each way
                 together, these 12, or 20 with a weight.
    fp8          finding each tensor's largest value, rounding to 8 bits, transposing.
    bf16_weights the copy in fp32 that an evaluation makes; the model is set up as if in fp32.
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
from model.schedule import Plateau, plateaus
from model.variants import evaluated

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

FP32_BYTES = 4


@dataclass(frozen=True)
class Format:
    """What matmuls run in, the bytes of the tensors between them, and the `wide_bytes` of all others, which
    are cast from and to those: weights, gradients, optimizer states, the residual stream, norms.

    The loss is in fp32 at every precision. `linear`: what the linear layers of the blocks run in, where it is
    something else.
    """

    precision: str
    narrow_bytes: int
    wide_bytes: int = FP32_BYTES
    linear: str | None = None

    @property
    def cast_bytes(self) -> int:
        return 0 if self.narrow_bytes == self.wide_bytes else self.narrow_bytes + self.wide_bytes


@dataclass(frozen=True)
class Kernels:
    """Elementwise kernels, per element of the tensor that they run over: operations; elements read or
    written in fp32 or the weights' format (`wide`) and in the matmuls' (`narrow`); casts between the two,
    where they differ.
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
    weights: int = 0
    biased: bool = False


@dataclass(frozen=True)
class Mlp:
    """One matrix leads from n_embd to `widening` times the MLP's width (twice with a gate), one back."""

    widening: int
    activation: Elementwise


NOTHING = Elementwise(Kernels(), Kernels())


@dataclass(frozen=True)
class Attention:
    """Kernels per element of the scores (T x T a head), of the queries and of what is returned (T x C), of
    the keys and values as they come (T x 2 K D), and of those as they are multiplied (`multiplied`).

    `repeat`: where query heads share keys and values these are first repeated, to T x 2 C, by kernels per
    element read or written; None: they are multiplied as they come. `fused`: the scores never leave the chip,
    and the backward pass computes them again. `upcasts`: its matmuls run in fp32 wherever tensors are bf16.
    `blocks`: the tokens are taken in blocks of `model.attention_window`, whose queries are multiplied with
    the keys of two blocks.
    """

    scores: Elementwise
    queries: Elementwise
    keys: Elementwise
    multiplied: Elementwise = NOTHING
    repeat: Elementwise | None = None
    fused: bool = False
    upcasts: bool = False
    blocks: bool = False


@dataclass(frozen=True)
class Loss:
    """Kernels per logit, and of a cap and a bigram table, likewise. `part_size` (tokens, vocabulary over
    n_embd) gives the tokens that are computed at a time, and their gradients with them; None: all at once."""

    logits: Elementwise
    softcap: Elementwise
    bigrams: Elementwise
    part_size: Callable[[int, int], int] | None = None


@dataclass(frozen=True)
class Positions:
    """Kernels per element of the embeddings, and of queries and keys (T x (C + K D), None: untouched).
    `table`: whether each place has a learned vector."""

    embeddings: Elementwise
    heads: Elementwise | None = None
    table: bool = False


FORMATS = {
    "fp32": Format("fp32", 4),
    "tf32": Format("tf32", 4),
    "bf16": Format("bf16", 2),
    "bf16_weights": Format("bf16", 2, wide_bytes=2),
    "fp8": Format("bf16", 2, linear="fp8"),
}

# ops: mean 1, squares 2, normalise 2, weight 1; backward two sums 4, x_hat 2, dx 4, weight's gradient 2.
# The output is cast for the matmul behind it, and its gradient back.
NORM_WORK = {
    "layernorm": Norm(
        Elementwise(Kernels(ops=6, wide=2, casts=1), Kernels(ops=12, wide=3, casts=1)), weights=1, biased=True
    ),
    "layernorm_weightless": Norm(
        Elementwise(Kernels(ops=5, wide=2, casts=1), Kernels(ops=10, wide=3, casts=1))
    ),
    # Squares summed 1, scaled 2; backward g x 3, mean 1, subtract 3, scale 2.
    "rmsnorm_weightless": Norm(Elementwise(Kernels(ops=3, wide=3, casts=1), Kernels(ops=5, wide=9, casts=1))),
    # And x_hat w 2; backward g w 2, g x_hat 3, sum 1.
    "rmsnorm": Norm(
        Elementwise(Kernels(ops=4, wide=5, casts=1), Kernels(ops=8, wide=15, casts=1)), weights=1
    ),
    "rmsnorm_liger": Norm(
        Elementwise(Kernels(ops=4, wide=2, casts=1), Kernels(ops=8, wide=3, casts=1)),
        weights=1,
    ),
}
# Of queries and keys, which are as narrow as the matmuls: rmsnorm_weightless.
QK_NORM = Elementwise(Kernels(ops=3, narrow=3), Kernels(ops=5, narrow=9))

MLP_WORK = {
    # ops: x / sqrt 2, erf, + 1, x, x 0.5; backward the same cdf 4, density 4, product rule 3.
    "gelu": Mlp(1, Elementwise(Kernels(ops=5, narrow=2), Kernels(ops=11, narrow=3))),
    # relu 2, square 2; backward x 2, doubled 2, g 3, threshold 3.
    "relu2": Mlp(1, Elementwise(Kernels(ops=2, narrow=4), Kernels(ops=4, narrow=10))),
    # silu 2, product 3; backward two products 6, silu's gradient 3, both gradients put into one 4.
    # ops: silu 4; its gradient, from the same sigmoid, 5 more.
    "swiglu": Mlp(2, Elementwise(Kernels(ops=5, narrow=5), Kernels(ops=11, narrow=13))),
    # Gate and value copied 4, product 3; backward reads 3, writes 2, both gradients put into one 4.
    "swiglu_liger": Mlp(2, Elementwise(Kernels(ops=5, narrow=7), Kernels(ops=12, narrow=9))),
}

# Softmax is max, subtract, exp, sum, divide; backward product, sum, subtract, product. The gradients of q, k
# and v are put into one: 2 of the moves in every row's `queries` and `keys`.
_FUSED = Attention(
    scores=Elementwise(Kernels(ops=7), Kernels(ops=8)),
    queries=Elementwise(Kernels(narrow=2), Kernels(narrow=4 + 2)),
    keys=Elementwise(Kernels(), Kernels(narrow=2)),
    multiplied=Elementwise(Kernels(narrow=1), Kernels(narrow=2)),
    fused=True,
)
_FUSED_REPEATING = replace(_FUSED, repeat=Elementwise(Kernels(narrow=1), Kernels(ops=1, narrow=1)))
ATTENTION_WORK = {
    # Scale and mask inside the first matmul; backward the gradients of q and k are scaled. q, k, v, the
    # output and its gradient are copied into a layout that a batched matmul takes.
    "manual": Attention(
        scores=Elementwise(Kernels(ops=7, narrow=2), Kernels(ops=4, narrow=3)),
        queries=Elementwise(Kernels(narrow=2 + 2), Kernels(ops=1, narrow=2 + 2 + 2)),
        keys=Elementwise(Kernels(narrow=2), Kernels(ops=0.5, narrow=1 + 2)),
    ),
    "sdpa_math": Attention(  # q and k scaled, mask added, softmax, weights returned in the format of q
        scores=Elementwise(Kernels(ops=6, wide=4, casts=1), Kernels(ops=4, wide=3)),
        queries=Elementwise(
            Kernels(ops=1, wide=2 + 2, narrow=2, casts=2), Kernels(ops=1, wide=2 + 2, narrow=2, casts=2)
        ),
        keys=Elementwise(Kernels(casts=1), Kernels(narrow=2, casts=1)),
        multiplied=Elementwise(Kernels(ops=0.5, wide=1 + 2), Kernels(ops=0.5, wide=1)),
        repeat=Elementwise(Kernels(), Kernels(ops=1, wide=1)),  # forward the copy is made anyhow
        upcasts=True,
    ),
    # torch picks; counted as fused. On a CPU with dropout it takes MATH, and this is too low.
    "sdpa": _FUSED,
    "sdpa_flash": _FUSED,
    "sdpa_efficient": _FUSED_REPEATING,
    "sdpa_cudnn": _FUSED_REPEATING,
    "flex": _FUSED,
    # As `manual`, but for the mask, which is written out for every head, and for what makes blocks.
    "sliding_window": Attention(
        scores=Elementwise(Kernels(ops=7, narrow=4), Kernels(ops=4, narrow=3)),
        queries=Elementwise(Kernels(narrow=2), Kernels(narrow=2)),
        keys=Elementwise(Kernels(narrow=1), Kernels(narrow=1 + 2)),
        multiplied=Elementwise(Kernels(narrow=2), Kernels(ops=0.5, narrow=1 + 1)),
        blocks=True,
    ),
}
# Attention in blocks. Queries are put in blocks 2; their gradients are scaled 2.
BLOCK_QUERIES = Elementwise(Kernels(narrow=2), Kernels(ops=1, narrow=2))
# Keys with the zeros before and after them: written 1; their gradients gathered 1, cut 1.
BLOCK_KEYS = Elementwise(Kernels(narrow=1), Kernels(narrow=1 + 1))
# Where the last block is not full: queries read or written as they are, and as they are filled up, each once;
# backward twice. Where every block is, the gradient of what is returned is put in blocks.
FILLED_UP = Elementwise(Kernels(narrow=1), Kernels(narrow=1 + 1))
WHOLE_BLOCKS = Elementwise(Kernels(), Kernels(narrow=2))
# Where query heads share keys, those of a group are put together, and what is returned apart.
GROUPED_BLOCKS = Elementwise(Kernels(narrow=2), Kernels(narrow=2))


MOST_PARTS = 16  # of `chunked`


def _equal_parts(tokens: int, ratio: int) -> int:
    return math.ceil(tokens / min(MOST_PARTS, ratio))


def _power_of_two(tokens: int, ratio: int) -> int:
    return 1 << (math.ceil(tokens / ratio) - 1).bit_length()


def _half_power_of_two(tokens: int, ratio: int) -> int:
    return max(1, _power_of_two(tokens, ratio) // 2)


# Per logit. ops: max, subtract, exp, sum, subtract; backward exp, multiply, subtract. A cap is divide, tanh,
# multiply; backward multiply, tanh's gradient, divide. A table: its row read and written, added; backward
# scattered.
LOSS_WORK = {
    "plain": Loss(
        logits=Elementwise(Kernels(ops=5, wide=2, casts=1), Kernels(ops=3, wide=4, casts=1)),
        softcap=Elementwise(Kernels(ops=3, wide=6), Kernels(ops=5, wide=7)),
        bigrams=Elementwise(Kernels(ops=1, wide=5), Kernels(ops=1, wide=1)),
    ),
    # All of it in the forward pass. logsumexp 1, subtract 2, exp 2, wanted 2, divide 2; what logsumexp writes
    # for itself is not in it. The cap's slope: divide 2, square 2, subtract 2, multiply 3.
    "chunked": Loss(
        logits=Elementwise(Kernels(ops=7, wide=9, casts=2), Kernels()),
        softcap=Elementwise(Kernels(ops=3 + 4, wide=6 + 9), Kernels()),
        bigrams=Elementwise(Kernels(ops=2, wide=5 + 3), Kernels()),
        part_size=_equal_parts,
    ),
    # It has neither cap nor table: they are never run.
    "linear_cross_entropy": Loss(
        logits=Elementwise(Kernels(ops=7, wide=9, casts=2), Kernels()),
        softcap=NOTHING,
        bigrams=NOTHING,
        part_size=_half_power_of_two,
    ),
    # One kernel reads the logits twice and writes their gradient over them, cap included. It has no table.
    "liger": Loss(
        logits=Elementwise(Kernels(ops=7, narrow=3), Kernels()),
        softcap=Elementwise(Kernels(ops=3 + 4), Kernels()),
        bigrams=NOTHING,
        part_size=_power_of_two,
    ),
}
# Losses in parts. Per element of the hidden states: cast once more; their gradient copied and scaled.
PARTS_STATES = Elementwise(Kernels(casts=1, wide=2), Kernels(wide=2))
# Per weight of the head: its gradient is zeroed, and scaled in the end; in each part it is added to, and the
# head is cast once more.
PARTS_HEAD = Elementwise(Kernels(wide=1), Kernels(ops=1, wide=2))
PARTS_HEAD_PART = Elementwise(Kernels(ops=1, wide=2, narrow=1, casts=1), Kernels())

# Turning: x cos 2, swapped 2, x sin 2, added 3, and the same backward.
_TURN = Kernels(ops=3, narrow=9)
POSITION_WORK = {
    # Position row added; backward: summed over the batch.
    "learned": Positions(Elementwise(Kernels(ops=1, wide=2), Kernels(ops=1, wide=1)), table=True),
    "rope": Positions(NOTHING, heads=Elementwise(_TURN, _TURN)),
    "none": Positions(NOTHING),
}
# Where queries and keys are changed together, their gradients are put together once more.
TOGETHER = Elementwise(Kernels(), Kernels(narrow=2))

# Per element of the residual stream. Backward: the branch's gradient is cast, and two that meet are added.
RESIDUAL = Elementwise(Kernels(ops=1, wide=2, narrow=1), Kernels(ops=1, wide=3, casts=1))
# A row read and written; backward: scattered.
LOOKUP = Elementwise(Kernels(wide=2), Kernels(ops=1, wide=1))
# A block's input and the embedding, each multiplied 2, added 3; backward two products with the share 4, two
# with the tensor 6 that are summed 2, and one more gradient for the embedding 3.
EMBEDDING_SKIP = Elementwise(Kernels(ops=3, wide=7), Kernels(ops=7, wide=15))
# The embeddings moved on by one 2, multiplied 2, added 3; backward two products 5, sum 1, moved back 4,
# added 3.
SMEAR = Elementwise(Kernels(ops=2, wide=7), Kernels(ops=4, wide=13))
# In each block, per looked-up value: multiplied 2, cast, added 3; backward cast, two products 5, sum 1,
# added 3.
VALUE_EMBEDDING = Elementwise(Kernels(ops=2, wide=2, narrow=3, casts=1), Kernels(ops=4, wide=9, casts=1))
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

    @property
    def tokens(self) -> float:
        return self.sequences * self.context

    def row(self, path: str, name: str) -> str:
        """The row that this pass takes of the one that is configured."""
        return name if self.training else evaluated(path, name)

    @property
    def attention(self) -> Attention:
        name = self.row("model.attention", self.model.attention)
        return _row(ATTENTION_WORK, "model.attention", name)

    @property
    def norm(self) -> Norm:
        return _row(NORM_WORK, "model.norm", self.row("model.norm", self.model.norm))

    @property
    def mlp(self) -> Mlp:
        return _row(MLP_WORK, "model.mlp", self.row("model.mlp", self.model.mlp))

    @property
    def loss(self) -> Loss:
        return _row(LOSS_WORK, "model.loss", self.model.loss if self.training else "plain")

    @property
    def positions(self) -> Positions:
        return _row(POSITION_WORK, "model.positions", self.model.positions)

    def upcast(self) -> _Pass:
        """The same with fp32 where this has its wide tensors."""
        return replace(self, format=replace(self.format, wide_bytes=FP32_BYTES))

    def matmul(self, m: float, k: float, n: float, precision: str | None = None) -> Work:
        """(m, k) @ (k, n), and in training the gradients of both, which are matmuls of the same size."""
        moved = self.format.narrow_bytes * (m * k + k * n + m * n)
        flops = {precision or self.format.precision: 2.0 * m * k * n}
        return Work(flops, 0.0, moved).times(3 if self.training else 1)

    def elementwise(self, row: Elementwise, elements: float) -> Work:
        forward = self.kernels(row.forward, elements)
        return forward + self.kernels(row.backward, elements) if self.training else forward

    def kernels(self, row: Kernels, elements: float) -> Work:
        return Work({}, row.ops * elements, _bytes(row, self.format) * elements)

    def linear(self, n_in: int, n_out: int, biased: bool, precision: str | None = None) -> Work:
        """Every token through a weight matrix; it is cast to the matmuls' format, and its gradient back."""
        work = self.matmul(self.tokens, n_in, n_out, precision)
        work += self.elementwise(Elementwise(Kernels(casts=1), Kernels(casts=1)), n_in * n_out)
        return work + self.elementwise(BIAS, self.tokens * n_out) if biased else work

    def dropout(self, row: Elementwise, elements: float) -> Work:
        return self.elementwise(row, elements) if self.training and self.model.dropout > 0 else Work()

    def network(self) -> Work:
        stream = self.tokens * self.model.n_embd
        # The table's gradient is written as a whole; the head's is added to it where they are tied.
        gradient = Kernels(wide=1 + 3) if self.model.tied_head else Kernels(wide=1)
        return _total(
            [
                self.elementwise(LOOKUP, stream),
                self.elementwise(Elementwise(Kernels(), gradient), self.vocab_size * self.model.n_embd),
                self.elementwise(SMEAR, stream) if self.model.smear else Work(),
                self.elementwise(self.positions.embeddings, stream),
                self.dropout(DROPOUT_WIDE, stream),
                self.looked_up_values(),
                self.block().times(self.model.n_layer),
                self.elementwise(self.norm.kernels, stream),
                self.head(),
            ]
        )

    def looked_up_values(self) -> Work:
        """Values by token, one for each head of values; the table's gradient is written as a whole."""
        if not self.model.value_embedding:
            return Work()
        width = self.model.kv_heads * self.model.head_size
        work = self.elementwise(LOOKUP, self.tokens * width)
        work += self.elementwise(Elementwise(Kernels(), Kernels(wide=1)), self.vocab_size * width)
        return work + self.elementwise(VALUE_EMBEDDING, self.tokens * width).times(self.model.n_layer)

    def head(self) -> Work:
        """From the last states to the loss."""
        model, row = self.model, self.loss
        logits, exact = self.tokens * self.vocab_size, self.upcast()
        work = self.linear(model.n_embd, self.vocab_size, biased=False)
        work += exact.elementwise(row.logits, logits)
        if model.logit_softcap > 0:
            work += exact.elementwise(row.softcap, logits)
        if model.bigram_table:
            rows = model.table_rows(self.vocab_size)
            work += exact.elementwise(row.bigrams, logits)
            work += self.elementwise(Elementwise(Kernels(), Kernels(wide=1)), rows * self.vocab_size)
        if row.part_size is not None:
            work += self.head_in_parts(row.part_size)
        return work

    def head_in_parts(self, part_size: Callable[[int, int], int]) -> Work:
        """What a loss in parts moves besides."""
        ratio = math.ceil(self.vocab_size / self.model.n_embd)
        parts = math.ceil(self.tokens / part_size(math.ceil(self.tokens), ratio))
        weights = self.vocab_size * self.model.n_embd
        again = Work({}, 0.0, 3.0 * self.format.narrow_bytes * weights)  # read by two matmuls, written by one
        return _total(
            [
                again.times(parts - 1),
                self.elementwise(PARTS_STATES, self.tokens * self.model.n_embd),
                self.elementwise(PARTS_HEAD, weights),
                self.upcast().elementwise(PARTS_HEAD_PART, weights).times(parts),
            ]
        )

    def block(self) -> Work:
        model = self.model
        stream = self.tokens * model.n_embd
        precision = self.format.linear
        return _total(
            [
                *(self.linear(*matrix, model.bias, precision) for matrix in block_matrices(model)),
                self.elementwise(EMBEDDING_SKIP, stream) if model.embedding_skip else Work(),
                self.queries_and_keys(),
                self.scores(),
                self.elementwise(self.mlp.activation, self.tokens * model.mlp_width),
                self.elementwise(self.norm.kernels, stream).times(2),
                self.elementwise(RESIDUAL, stream).times(2),
                self.dropout(DROPOUT_NARROW, stream).times(2),
            ]
        )

    def queries_and_keys(self) -> Work:
        """What is done to both between the linear layer and attention."""
        model = self.model
        rows = [QK_NORM] if model.qk_norm else []
        rows += [self.positions.heads] if self.positions.heads is not None else []
        elements = self.tokens * (model.n_head + model.kv_heads) * model.head_size
        return _total(self.elementwise(row, elements) for row in ([*rows, TOGETHER] if rows else []))

    def scores(self) -> Work:
        """Attention between q, k, v and the heads' outputs."""
        row, model = self.attention, self.model
        upcasts = row.upcasts and self.format.narrow_bytes < FP32_BYTES
        inner = replace(self, format=FORMATS["fp32"]) if upcasts else self
        heads, head_size = self.sequences * model.n_head, model.head_size
        scores = heads * self.context**2
        if row.blocks:
            return self.blocks()
        work = self.heads()
        if row.fused:
            share = seen_share(self.context)
            matmuls = 2 + 5 if self.training else 2  # backward: the scores again, and four gradients
            work += Work({self.format.precision: 2.0 * scores * head_size * share * matmuls})
            return work + self.elementwise(row.scores, scores * share)
        # The query heads of a group are rows of one matrix, where their keys are not repeated.
        groups = heads if row.repeat is not None else self.sequences * model.kv_heads
        queries = self.context * heads / groups
        work += inner.matmul(queries, head_size, self.context).times(groups)
        work += inner.matmul(queries, self.context, head_size).times(groups)
        work += self.upcast().elementwise(row.scores, scores)
        return work + self.dropout(DROPOUT_NARROW, scores)

    def blocks(self) -> Work:
        """As `scores`, of attention within a window."""
        row, model, D = self.attention, self.model, self.model.head_size
        W = min(model.attention_window, self.context)
        N, group = math.ceil(self.context / W), model.n_head // model.kv_heads
        blocks = self.sequences * model.kv_heads * N
        queries, keys = self.tokens * model.n_embd, self.tokens * 2 * model.kv_heads * D
        in_blocks, scores = blocks * group * W * D, blocks * group * W * 2 * W
        multiplied = blocks * 2 * 2 * W * D
        work = self.matmul(group * W, D, 2 * W).times(blocks)
        work += self.matmul(group * W, 2 * W, D).times(blocks)
        is_filled_up = self.context < N * W
        if is_filled_up:
            work += self.elementwise(FILLED_UP, queries + in_blocks)
        if group > 1:
            work += self.elementwise(GROUPED_BLOCKS, in_blocks)
        if group > 1 or not is_filled_up:
            work += self.elementwise(WHOLE_BLOCKS, in_blocks)
        return _total(
            [
                work,
                self.elementwise(row.scores, scores),
                self.dropout(DROPOUT_NARROW, scores),
                self.elementwise(row.queries, queries),
                self.elementwise(BLOCK_QUERIES, in_blocks),
                self.elementwise(row.keys, keys),
                self.elementwise(BLOCK_KEYS, multiplied * (N + 1) / (2 * N)),
                self.elementwise(row.multiplied, multiplied),
            ]
        )

    def heads(self) -> Work:
        """Attention's kernels over q, k, v and its outputs."""
        row, model, exact = self.attention, self.model, self.upcast()
        queries = self.tokens * model.n_embd
        keys = multiplied = self.tokens * 2 * model.kv_heads * model.head_size
        work = exact.elementwise(row.queries, queries) + exact.elementwise(row.keys, keys)
        if row.repeat is not None and model.kv_heads != model.n_head:
            multiplied = 2 * queries
            work += exact.elementwise(row.repeat, keys + multiplied)
        return work + exact.elementwise(row.multiplied, multiplied)


def step_work(
    config: RunConfig, vocab_size: int, batch_size: int | None = None, context: int | None = None
) -> Work:
    """One optimizer step: all its micro-batches forward and backward, clipping, and the optimizer.

    Micro-batches are `batch_size` sequences of `context` tokens, by default those after any ramp."""
    model, train = config.model, config.train
    micro_batch = _Pass(
        model,
        vocab_size,
        sequences=batch_size or train.batch_size,
        context=context or model.block_size,
        format=_row(FORMATS, "train.precision", train.precision),
        training=True,
    )
    parameters = parameter_count(model, vocab_size)
    work = micro_batch.network().times(train.grad_accum)
    work += micro_batch.kernels(ACCUMULATE, parameters).times(train.grad_accum - 1)
    if config.optimizer.grad_clip > 0:
        work += micro_batch.kernels(CLIP, parameters)
    return work + _row(OPTIMIZER_WORK, "optimizer.name", config.optimizer.name)(config, vocab_size)


def run_work(config: RunConfig, vocab_size: int, steps: int) -> Work:
    """The first `steps` optimizer steps of a run, each at the batch size and context of its plateau."""
    return _total(
        step_work(config, vocab_size, plateau.batch_size, plateau.context).times(count)
        for plateau, count in plateau_steps(config, steps)
    )


def plateau_steps(config: RunConfig, steps: int) -> tuple[tuple[Plateau, int], ...]:
    """How many of a run's first `steps` steps lie on each of its plateaus."""
    found = plateaus(config)
    ends = [*(later.first_step for later in found[1:]), steps]
    return tuple(
        (one, max(0, min(end, steps) - one.first_step)) for one, end in zip(found, ends, strict=True)
    )


def evaluation_work(config: RunConfig, vocab_size: int, tokens: float) -> Work:
    """Forward only, in fp32 and with an evaluation's kernels, for `tokens` predicted; proportional to
    them."""
    context = min(config.evaluation.context, config.model.block_size)
    one_pass = _Pass(
        config.model,
        vocab_size,
        sequences=TOKENS_PER_PASS / context,
        context=context,
        format=FORMATS["fp32"],
        training=False,
    )
    return one_pass.network().times(tokens / TOKENS_PER_PASS)


def setup_work(config: RunConfig, vocab_size: int) -> Work:
    """Building the model: weights written twice (torch's initialisation, then the model's own) and two zeroed
    moments. Drawing random numbers and moving the data are left out."""
    return Work(bytes_moved=4.0 * FP32_BYTES * parameter_count(config.model, vocab_size))


def parameter_count(model: ModelConfig, vocab_size: int) -> int:
    """Trainable parameters, each shared tensor once: what `model.gpt.count_parameters` counts by building."""
    norm = _row(NORM_WORK, "model.norm", model.norm)
    per_norm = model.n_embd * (norm.weights + (norm.biased and model.bias))
    block = 2 * per_norm
    for n_in, n_out in block_matrices(model):
        block += n_in * n_out + (n_out if model.bias else 0)
    block += 1 if model.value_embedding else 0
    block += 2 if model.embedding_skip else 0
    tables = model.n_embd * vocab_size * (1 if model.tied_head else 2)
    if _row(POSITION_WORK, "model.positions", model.positions).table:
        tables += model.n_embd * model.block_size
    if model.value_embedding:
        tables += vocab_size * model.kv_heads * model.head_size
    if model.bigram_table:
        tables += model.table_rows(vocab_size) * vocab_size
    return tables + (model.n_embd if model.smear else 0) + model.n_layer * block + per_norm


def block_matrices(model: ModelConfig) -> tuple[tuple[int, int], ...]:
    """(in, out) of every weight matrix of one block, queries, keys and values as one and first."""
    widening = _row(MLP_WORK, "model.mlp", model.mlp).widening
    heads = (model.n_head + 2 * model.kv_heads) * model.head_size
    return (
        (model.n_embd, heads),
        (model.n_embd, model.n_embd),
        (model.n_embd, widening * model.mlp_width),
        (model.mlp_width, model.n_embd),
    )


def seen_share(context: int) -> float:
    """The share of a causal score matrix that a fused kernel computes, in tiles of `TILE`."""
    tiles = math.ceil(context / TILE)
    return (tiles + 1) / (2 * tiles)


def _adamw(config: RunConfig, vocab_size: int) -> Work:
    return _adamw_of(config, parameter_count(config.model, vocab_size))


def _adamw_of(config: RunConfig, parameters: int) -> Work:
    moved = _row(ADAMW_MOVED, "optimizer.kernel", config.optimizer.kernel)
    weights = _row(FORMATS, "train.precision", config.train.precision)
    return Work({}, float(ADAMW_OPS * parameters), float(moved * weights.wide_bytes * parameters))


def _muon(config: RunConfig, vocab_size: int) -> Work:
    """Muon for the matrices of the blocks, AdamW for the rest."""
    optimizer, work, hidden = config.optimizer, Work(), 0
    moved = _row(MUON_MOVED, "optimizer.kernel", optimizer.kernel)
    weights = _row(FORMATS, "train.precision", config.train.precision)
    iterated = _row(FORMATS, "optimizer.ns_dtype", optimizer.ns_dtype)
    narrow = replace(iterated, wide_bytes=weights.wide_bytes)
    per_element = _bytes(moved, narrow)
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


def _bytes(row: Kernels, form: Format) -> float:
    return row.wide * form.wide_bytes + row.narrow * form.narrow_bytes + row.casts * form.cast_bytes


def _row(table: Mapping[str, Row], path: str, name: str) -> Row:
    row = table.get(name)
    if row is None:
        raise UncountedWork(f"the work of {path}={name} is not modelled; add its row to model/work.py")
    return row


def _total(parts: Iterable[Work]) -> Work:
    return sum(parts, start=Work())

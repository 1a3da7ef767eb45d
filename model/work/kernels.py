"""What each variant of the network costs for an element: a row each, counted kernel by kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from model.loss import MOST_PARTS
from model.work.units import NOTHING, Elementwise, Kernels


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
    """Kernels per logit; those of a soft-cap and of a lookup table likewise. `part_size` (tokens, vocabulary
    over n_embd) gives how many tokens are computed at a time, with their gradients; None: all at once."""

    logits: Elementwise
    softcap: Elementwise
    lookup: Elementwise
    part_size: Callable[[int, int], int] | None = None


@dataclass(frozen=True)
class Positions:
    """Kernels per element of the embeddings, and of queries and keys (T x (C + K D), None: untouched).
    `learned`: whether each place has a learned vector."""

    embeddings: Elementwise
    heads: Elementwise | None = None
    learned: bool = False


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
        repeat=Elementwise(Kernels(), Kernels(ops=1, wide=1)),  # the forward pass copies them in any case
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
        lookup=Elementwise(Kernels(ops=1, wide=5), Kernels(ops=1, wide=1)),
    ),
    # All of it in the forward pass. logsumexp 1, subtract 2, exp 2, wanted 2, divide 2; what logsumexp writes
    # for itself is not in it. The cap's slope: divide 2, square 2, subtract 2, multiply 3.
    "chunked": Loss(
        logits=Elementwise(Kernels(ops=7, wide=9, casts=2), Kernels()),
        softcap=Elementwise(Kernels(ops=3 + 4, wide=6 + 9), Kernels()),
        lookup=Elementwise(Kernels(ops=2, wide=5 + 3), Kernels()),
        part_size=_equal_parts,
    ),
    # It has neither cap nor table: they are never run.
    "linear_cross_entropy": Loss(
        logits=Elementwise(Kernels(ops=7, wide=9, casts=2), Kernels()),
        softcap=NOTHING,
        lookup=NOTHING,
        part_size=_half_power_of_two,
    ),
    # One kernel reads the logits twice and writes their gradient over them, cap included. It has no table.
    "liger": Loss(
        logits=Elementwise(Kernels(ops=7, narrow=3), Kernels()),
        softcap=Elementwise(Kernels(ops=3 + 4), Kernels()),
        lookup=NOTHING,
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
    "learned": Positions(Elementwise(Kernels(ops=1, wide=2), Kernels(ops=1, wide=1)), learned=True),
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
# The newest token's attention over kept keys and values, all of which it reads.
KEPT_ATTENTION = _FUSED
# Per element of a new key or value: read, and written beside those that are kept.
KEEP = Kernels(narrow=2)
# Per logit: the likeliest is looked for.
PICK = Kernels(ops=1, wide=1)
# Mask drawn, scaled, applied; torch's CPU kernels. CUDA's single kernel moves about a third of it.
DROPOUT_WIDE = Elementwise(Kernels(ops=2, wide=6), Kernels(ops=1, wide=3))
DROPOUT_NARROW = Elementwise(Kernels(ops=2, narrow=6), Kernels(ops=1, narrow=3))
# Added inside the matmul; backward: a sum over the tokens.
BIAS = Elementwise(Kernels(ops=1), Kernels(ops=1, narrow=1))

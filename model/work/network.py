"""What the network of a configuration computes and moves, run once over some sequences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from model.config import ModelConfig
from model.tables import evaluated
from model.work.kernels import (
    ATTENTION_WORK,
    BIAS,
    BLOCK_KEYS,
    BLOCK_QUERIES,
    DROPOUT_NARROW,
    DROPOUT_WIDE,
    EMBEDDING_SKIP,
    FILLED_UP,
    GROUPED_BLOCKS,
    LOOKUP,
    LOSS_WORK,
    MLP_WORK,
    NORM_WORK,
    PARTS_HEAD,
    PARTS_HEAD_PART,
    PARTS_STATES,
    POSITION_WORK,
    QK_NORM,
    RESIDUAL,
    SMEAR,
    TOGETHER,
    VALUE_EMBEDDING,
    WHOLE_BLOCKS,
    Attention,
    Loss,
    Mlp,
    Norm,
    Positions,
)
from model.work.units import (
    FP32_BYTES,
    Elementwise,
    Format,
    Kernels,
    Work,
    bytes_of,
    format_of,
    row_of,
    total,
)

# Fused attention computes the scores in tiles and skips those above the diagonal. Kernels differ: torch's on
# a CPU takes rows of 32 below a context of 192, of 64 below 768, then of 256.
TILE = 64
# Tokens of one evaluation pass, for which the weights are read once: `model.evaluate`'s on a CPU.


@dataclass(frozen=True)
class Pass:
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
        """The row that this pass uses where `name` is configured: an evaluation has its own."""
        return name if self.training else evaluated(path, name)

    @property
    def attention(self) -> Attention:
        name = self.row("model.attention", self.model.attention)
        return row_of(ATTENTION_WORK, "model.attention", name)

    @property
    def norm(self) -> Norm:
        return row_of(NORM_WORK, "model.norm", self.row("model.norm", self.model.norm))

    @property
    def mlp(self) -> Mlp:
        return row_of(MLP_WORK, "model.mlp", self.row("model.mlp", self.model.mlp))

    @property
    def loss(self) -> Loss:
        return row_of(LOSS_WORK, "model.loss", self.model.loss if self.training else "plain")

    @property
    def positions(self) -> Positions:
        return row_of(POSITION_WORK, "model.positions", self.model.positions)

    def upcast(self) -> Pass:
        """The same pass with its wide tensors in fp32."""
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
        return Work({}, row.ops * elements, bytes_of(row, self.format) * elements)

    def linear(self, n_in: int, n_out: int, biased: bool, precision: str | None = None) -> Work:
        """Every token through a weight matrix; it is cast to the matmuls' format, and its gradient back."""
        work = self.matmul(self.tokens, n_in, n_out, precision)
        work += self.elementwise(Elementwise(Kernels(casts=1), Kernels(casts=1)), n_in * n_out)
        return work + self.elementwise(BIAS, self.tokens * n_out) if biased else work

    def dropout(self, row: Elementwise, elements: float) -> Work:
        return self.elementwise(row, elements) if self.training and self.model.dropout > 0 else Work()

    def network(self) -> Work:
        stream = self.tokens * self.model.n_embd
        # The embedding's gradient is written as a whole; the head's is added to it where they are tied.
        gradient = Kernels(wide=1 + 3) if self.model.tied_head else Kernels(wide=1)
        return total(
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
        """Values by token, one for each head of values; their gradient is written as a whole."""
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
        if rows := model.lookup_table_rows(self.vocab_size):
            work += exact.elementwise(row.lookup, logits)
            work += self.elementwise(Elementwise(Kernels(), Kernels(wide=1)), rows * self.vocab_size)
        if row.part_size is not None:
            work += self.head_in_parts(row.part_size)
        return work

    def head_in_parts(self, part_size: Callable[[int, int], int]) -> Work:
        """What a loss in parts moves in addition."""
        ratio = math.ceil(self.vocab_size / self.model.n_embd)
        parts = math.ceil(self.tokens / part_size(math.ceil(self.tokens), ratio))
        weights = self.vocab_size * self.model.n_embd
        again = Work({}, 0.0, 3.0 * self.format.narrow_bytes * weights)  # read by two matmuls, written by one
        return total(
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
        return total(
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
        return total(self.elementwise(row, elements) for row in ([*rows, TOGETHER] if rows else []))

    def scores(self) -> Work:
        """Attention between q, k, v and the heads' outputs."""
        row, model = self.attention, self.model
        upcasts = row.upcasts and self.format.narrow_bytes < FP32_BYTES
        inner = replace(self, format=format_of("train.precision", "fp32")) if upcasts else self
        heads, head_size = self.sequences * model.n_head, model.head_size
        scores = heads * self.context**2
        if row.blocks:
            return self.blocks()
        work = self.heads()
        if row.fused:
            share = visible_share(self.context)
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
        return total(
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


def parameter_count(model: ModelConfig, vocab_size: int) -> int:
    """Trainable parameters, each shared tensor once: what `model.gpt.count_parameters` counts by building."""
    norm = row_of(NORM_WORK, "model.norm", model.norm)
    per_norm = model.n_embd * (norm.weights + (norm.biased and model.bias))
    block = 2 * per_norm
    for n_in, n_out in block_matrices(model):
        block += n_in * n_out + (n_out if model.bias else 0)
    block += 1 if model.value_embedding else 0
    block += 2 if model.embedding_skip else 0
    embeddings = model.n_embd * vocab_size * (1 if model.tied_head else 2)
    if row_of(POSITION_WORK, "model.positions", model.positions).learned:
        embeddings += model.n_embd * model.block_size
    if model.value_embedding:
        embeddings += vocab_size * model.kv_heads * model.head_size
    embeddings += model.lookup_table_rows(vocab_size) * vocab_size
    return embeddings + (model.n_embd if model.smear else 0) + model.n_layer * block + per_norm


def block_matrices(model: ModelConfig) -> tuple[tuple[int, int], ...]:
    """(in, out) of every weight matrix of one block, queries, keys and values as one and first."""
    widening = row_of(MLP_WORK, "model.mlp", model.mlp).widening
    heads = (model.n_head + 2 * model.kv_heads) * model.head_size
    return (
        (model.n_embd, heads),
        (model.n_embd, model.n_embd),
        (model.n_embd, widening * model.mlp_width),
        (model.mlp_width, model.n_embd),
    )


def visible_share(context: int) -> float:
    """The share of a causal score matrix that a fused kernel computes, in tiles of `TILE`."""
    tiles = math.ceil(context / TILE)
    return (tiles + 1) / (2 * tiles)

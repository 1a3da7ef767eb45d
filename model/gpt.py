"""A GPT in which nanoGPT's documented recipes are expressible exactly.

Shapes: B batch, T time (<= block_size), C n_embd, V vocabulary, H heads, K heads of keys and values,
D = C / H, R rows of the lookup table.

Initialisation (nanoGPT's, and for what it does not have: a network that starts as if without it):
    linear and embedding weights   normal, standard deviation 0.02
    residual projections (c_proj)  normal, standard deviation 0.02 / sqrt(2 n_layer)
      with zero_init_projections   zero; not the head, which cost 0.15 nats (350 steps of AdamW, three seeds)
    biases                         zero
    norm weights                   one
    embedding_skip (mix)           one for the block's input, zero for the embedding
    value_embedding                values zero, gates one
    lookup_table                   zero
    smear (gate, C)                zero
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import AttentionKernel
from model.config import ConfigError, ModelConfig
from model.embed import Positions
from model.kv_cache import KeptLayer, KeyValueCache
from model.loss import Loss
from model.loss.head import Head, logits_of
from model.norm.rmsnorm import rms_norm
from model.runnable import lookup_table_too_large
from model.tables import ATTENTION, LOSSES, MLPS, NORMS, POSITIONS, evaluated


class Shared(NamedTuple):
    """What every block of a pass sees besides its input.

    `embedding`: (B, T, C); `hidden`: (T, T), what to add to scores; `values`: (B, T, K, D), to add to values.
    `kept`: the block's keys and values of the tokens before these, where they are kept (in evaluation).
    """

    embedding: Tensor
    hidden: Tensor
    positions: Positions
    values: Tensor | None
    kept: KeptLayer | None = None


class SelfAttention(nn.Module):
    """(B, T, C) -> (B, T, C). Training uses the configured kernel, evaluation the first row that computes the
    same function (`sdpa` for causal attention)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = [config.n_head, config.kv_heads, config.kv_heads]  # of q, k, v
        self.dropout_p = config.dropout
        self.qk_norm, self.norm_eps = config.qk_norm, config.norm_eps
        self.c_attn = nn.Linear(config.n_embd, sum(self.heads) * config.head_size, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.value_gate = nn.Parameter(torch.ones(())) if config.value_embedding else None
        self.resid_dropout = nn.Dropout(config.dropout)
        self.attend = cast(AttentionKernel, ATTENTION[config.attention].bound(config))
        always = evaluated("model.attention", config.attention)
        self.attend_in_evaluation = cast(AttentionKernel, ATTENTION[always].bound(config))
        self.attend_over_kept: Callable[[Tensor, Tensor, Tensor], Tensor] | None
        self.attend_over_kept = ATTENTION[always].cached_bound(config)

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        B, T, C = x.shape
        heads, start = (
            self.c_attn(x).view(B, T, sum(self.heads), -1),
            shared.kept.length if shared.kept else 0,
        )
        q, k, v = self._heads(heads, shared.positions, start)
        if self.value_gate is not None:
            assert shared.values is not None
            v = v + (self.value_gate * shared.values).to(v.dtype)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if self.training:
            y = self.attend(q, k, v, shared.hidden, self.dropout_p)
        else:
            y = self._evaluated(q, k, v, shared)
        y = y.transpose(1, 2).reshape(B, T, C)
        out: Tensor = self.resid_dropout(self.c_proj(y))
        return out

    def _evaluated(self, q: Tensor, k: Tensor, v: Tensor, shared: Shared) -> Tensor:
        """q (B, H, T, D), k and v (B, K, T, D) -> (B, H, T, D). After tokens that are kept, T is 1."""
        follows = shared.kept is not None and shared.kept.length > 0
        if shared.kept is not None:
            all_k, all_v = shared.kept.extended(k, v)
        if not follows:
            return self.attend_in_evaluation(q, k, v, shared.hidden, 0.0)
        assert self.attend_over_kept is not None
        return self.attend_over_kept(q, all_k, all_v)

    def _heads(self, heads: Tensor, positions: Positions, start: int) -> tuple[Tensor, ...]:
        """(B, T, H + 2 K, D) -> q (B, T, H, D), k and v (B, T, K, D), q and k ready for their scores.

        q and k are normalised and turned together: with RoPE and `qk_norm` that takes 0.7 of the time of one
        after the other (2.2 against 3.2 ms for attention both ways, bf16 on a CPU, 12 x 4 x 64 x 32).
        """
        if not (self.qk_norm or positions.acts_on_heads):
            return torch.split(heads, self.heads, dim=2)
        H, K, _ = self.heads
        both, v = torch.split(heads, [H + K, K], dim=2)
        if self.qk_norm:
            both = rms_norm(both, None, self.norm_eps)
        return *torch.split(positions.at_heads(both, start), [H, K], dim=2), v


class Block(nn.Module):
    """Pre-norm residual block: attention, then MLP. Training goes through the instance's `through_block` and
    `through_mlp`, which `model.compiling` may replace; evaluation through those below."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        norm = NORMS[config.norm].load()
        self.ln_1 = norm(config)
        self.attn = SelfAttention(config)
        self.ln_2 = norm(config)
        self.mlp = MLPS[config.mlp].load()(config)
        self.mix = nn.Parameter(torch.tensor([1.0, 0.0])) if config.embedding_skip else None
        self.through_block: Callable[[Block, Tensor, Shared], Tensor] = through_block
        self.through_mlp: Callable[[Block, Tensor], Tensor] = through_mlp

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        return (self.through_block if self.training else through_block)(self, x, shared)


def through_block(block: Block, x: Tensor, shared: Shared) -> Tensor:
    """(B, T, C) -> (B, T, C)."""
    if block.mix is not None:
        x = block.mix[0] * x + block.mix[1] * shared.embedding
    x = x + block.attn(block.ln_1(x), shared)
    return (block.through_mlp if block.training else through_mlp)(block, x)


def through_mlp(block: Block, x: Tensor) -> Tensor:
    """The second half of a block: (B, T, C) -> (B, T, C)."""
    y: Tensor = x + block.mlp(block.ln_2(x))
    return y


class GPT(nn.Module):
    """Embeddings, blocks, norm, head. `forward` gives logits, `loss` the training loss, `next_logits` those
    of the token that follows."""

    hidden: Tensor

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(vocab_size, config.n_embd)
        self.wpe = POSITIONS[config.positions].load()(config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = NORMS[config.norm].load()(config)
        self.lm_head = nn.Linear(config.n_embd, vocab_size, bias=False)
        if config.tied_head:
            self.wte.weight = self.lm_head.weight
        self.smear = nn.Parameter(torch.zeros(config.n_embd)) if config.smear else None
        kv_width = config.kv_heads * config.head_size
        self.values = nn.Embedding(vocab_size, kv_width) if config.value_embedding else None
        lookup_rows = config.lookup_table_rows(vocab_size)
        self.lookup_table = _lookup_table(config, vocab_size) if lookup_rows else None
        visible = torch.ones(config.block_size, config.block_size, dtype=torch.bool).tril()
        hidden = torch.zeros(visible.shape).masked_fill(~visible, -math.inf)
        self.register_buffer("hidden", hidden, persistent=False)
        self._training_loss = cast(Loss, LOSSES[config.loss].load())
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        projections = [p for name, p in self.named_parameters() if name.endswith("c_proj.weight")]
        for projection in projections:
            nn.init.normal_(projection, mean=0.0, std=0.02 / math.sqrt(2 * self.config.n_layer))
        zero = [one.weight for one in (self.values, self.lookup_table) if one is not None]
        if self.config.zero_init_projections:
            zero += projections
        for weight in zero:
            nn.init.zeros_(weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) int64 -> logits (B, T, V), in fp32 or wider."""
        return logits_of(self._last_states(tokens), self._head(tokens)).view(*tokens.shape, -1)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean nats per token of `targets` (B, T)."""
        return self._training_loss(self._last_states(tokens), targets.reshape(-1), self._head(tokens))

    def next_logits(self, tokens: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """tokens (B, T) int64 -> logits (B, V) of the token after them, in fp32 or wider; in evaluation.

        With a `cache`, the tokens are those after what it holds, and it keeps them too. They are one a
        sequence unless it is empty.
        """
        last = self._last_states(tokens, cache).view(*tokens.shape, -1)[:, -1]
        if cache is not None:
            before, cache.newest = cache.newest, tokens[:, -1:]
            tokens = tokens if before is None else torch.cat((before, tokens), dim=1)
        return logits_of(last, self._head(tokens[:, -2:], of_last=True))

    def _last_states(self, tokens: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """What goes into the head: (B T, C)."""
        B, T = tokens.shape
        x = self.wte(tokens)
        if self.smear is not None:
            x = x + self.smear * self._smeared(x, None if cache is None else cache.newest)
        x = self.dropout(self.wpe.at_input(x, 0 if cache is None else cache.length))
        values = None if self.values is None else self.values(tokens).view(B, T, self.config.kv_heads, -1)
        shared = Shared(x, self.hidden, cast(Positions, self.wpe), values)
        for number, block in enumerate(self.blocks):
            x = block(x, shared if cache is None else shared._replace(kept=cache.layers[number]))
        last: Tensor = self.ln_f(x).flatten(0, 1)
        return last

    def _smeared(self, x: Tensor, newest: Tensor | None) -> Tensor:
        """The embedding before each of `x` (B, T, C): zero before the first, or that of `newest` (B, 1)."""
        if newest is None:
            return F.pad(x[:, :-1], (0, 0, 1, 0))
        return torch.cat((self.wte(newest), x[:, :-1]), dim=1)

    def _head(self, tokens: Tensor, of_last: bool = False) -> Head:
        """For the states of all `tokens` (B, T), or of the last ones alone."""
        softcap = self.config.logit_softcap
        if self.lookup_table is None:
            return Head(self.lm_head.weight, softcap)
        contexts = tokens
        if self.config.lookup_table == "trigram":  # as if token 0 came before the first of a window
            contexts = contexts + self.lookup_table.embedding_dim * F.pad(tokens[:, :-1], (1, 0))
        contexts = contexts[:, -1:] if of_last else contexts
        rows = contexts.flatten() % self.lookup_table.num_embeddings
        return Head(self.lm_head.weight, softcap, self.lookup_table.weight, rows)


def _lookup_table(config: ModelConfig, vocab_size: int) -> nn.Embedding:
    """Raises ConfigError where it would not fit in any memory."""
    problem = lookup_table_too_large(config, vocab_size)
    if problem:
        raise ConfigError(problem)
    return nn.Embedding(config.lookup_table_rows(vocab_size), vocab_size)


def count_parameters(config: ModelConfig, vocab_size: int) -> int:
    """Trainable parameters, each shared tensor once. Builds on the meta device: nothing is allocated."""
    with torch.device("meta"):
        return sum(p.numel() for p in GPT(config, vocab_size).parameters() if p.requires_grad)

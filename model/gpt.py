"""A GPT in which nanoGPT's documented recipes are expressible exactly.

Shapes: B batch, T time (<= block_size), C n_embd, V vocabulary, H heads, D = C / H.

Initialisation (nanoGPT's):
    linear and embedding weights   normal, standard deviation 0.02
    residual projections (c_proj)  normal, standard deviation 0.02 / sqrt(2 n_layer)
    biases                         zero
    norm weights                   one
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from model.attention import ATTENTION, AttentionKernel
from model.config import ModelConfig
from model.loss import LOSSES
from model.mlp import MLPS
from model.norm import NORMS


class SelfAttention(nn.Module):
    """(B, T, C) -> (B, T, C). Training uses the configured kernel, evaluation always the same one
    (`sdpa`)."""

    causal: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout_p = config.dropout
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.attend = cast(AttentionKernel, ATTENTION[config.attention].load())
        self.attend_in_evaluation = cast(AttentionKernel, ATTENTION["sdpa"].load())
        visible = torch.ones(config.block_size, config.block_size, dtype=torch.bool).tril()
        self.register_buffer("causal", visible, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = (
            part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            for part in self.c_attn(x).split(C, dim=2)
        )
        causal = self.causal[:T, :T]
        if self.training:
            y = self.attend(q, k, v, causal, self.dropout_p)
        else:
            y = self.attend_in_evaluation(q, k, v, causal, 0.0)
        y = y.transpose(1, 2).reshape(B, T, C)
        out: Tensor = self.resid_dropout(self.c_proj(y))
        return out


class Block(nn.Module):
    """Pre-norm residual block: attention, then MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        norm = NORMS[config.norm].load()
        self.ln_1 = norm(config)
        self.attn = SelfAttention(config)
        self.ln_2 = norm(config)
        self.mlp = MLPS[config.mlp].load()(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        y: Tensor = x + self.mlp(self.ln_2(x))
        return y


class GPT(nn.Module):
    """Token and learned position embeddings, blocks, norm, head. `forward` gives logits, `loss` the training
    loss."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = NORMS[config.norm].load()(config)
        self.lm_head = nn.Linear(config.n_embd, vocab_size, bias=False)
        if config.tied_head:
            self.wte.weight = self.lm_head.weight
        self._training_loss = LOSSES[config.loss].load()
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, mean=0.0, std=0.02 / math.sqrt(2 * self.config.n_layer))

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) int64 -> logits (B, T, V)."""
        positions = torch.arange(tokens.size(1), device=tokens.device)
        x = self.dropout(self.wte(tokens) + self.wpe(positions))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.lm_head(self.ln_f(x))
        return logits

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean nats per token of `targets` (B, T)."""
        loss: Tensor = self._training_loss(self(tokens), targets)
        return loss


def count_parameters(config: ModelConfig, vocab_size: int) -> int:
    """Trainable parameters, each shared tensor once. Builds on the meta device: nothing is allocated."""
    with torch.device("meta"):
        return sum(p.numel() for p in GPT(config, vocab_size).parameters() if p.requires_grad)

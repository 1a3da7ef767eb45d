"""The keys and values that a model has computed for the tokens so far, so that the next one needs only its
own. Of grouped queries only the K heads of keys and values are kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.config import ModelConfig


@dataclass
class KeptLayer:
    """Of one layer, room for keys and values (B, K, most, D), of which the first `length` are filled."""

    k: Tensor
    v: Tensor
    length: int = 0

    def extended(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps those of S further tokens (B, K, S, D) and returns all so far (B, K, length, D)."""
        start, self.length = self.length, self.length + k.size(2)
        self.k[:, :, start : self.length] = k
        self.v[:, :, start : self.length] = v
        return self.k[:, :, : self.length], self.v[:, :, : self.length]


class KeyValueCache:
    """Empty, with room for `most` tokens of each of `batch_size` sequences, in the format and on the device
    of `like`. `newest` (B, 1) is the last token that was taken in: smearing and trigrams look at it."""

    def __init__(self, config: ModelConfig, batch_size: int, most: int, like: Tensor) -> None:
        shape = (batch_size, config.kv_heads, most, config.head_size)

        def room() -> Tensor:
            return torch.empty(shape, dtype=like.dtype, device=like.device)

        self.layers = [KeptLayer(room(), room()) for _ in range(config.n_layer)]
        self.newest: Tensor | None = None

    @property
    def length(self) -> int:
        """How many tokens of each sequence are kept."""
        return self.layers[0].length

    @property
    def bytes(self) -> int:
        """The room that it takes."""
        return sum(one.numel() * one.element_size() for layer in self.layers for one in (layer.k, layer.v))

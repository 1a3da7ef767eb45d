"""Texts that a model continues token by token, with keys and values kept as long as the context has room."""

from __future__ import annotations

import torch
from torch import Tensor

from model.gpt import GPT
from model.kv_cache import KeyValueCache
from model.runnable import not_cached


class Continuation:
    """B texts of one length, which begin with `prompt` (B, T) int64; `most` tokens are added to each.

    A token is predicted from the last `block_size` ones. While the text is shorter, what was computed for the
    tokens before is kept. Beyond that the window slides and every token in it gets another place, so that
    nothing kept would be right: each token takes a pass over the whole window, and `recomputed` counts them.
    So does every token after the first where the model has no attention over kept keys.
    """

    def __init__(self, model: GPT, prompt: Tensor, most: int) -> None:
        self._model, self._block = model, model.config.block_size
        self._window = prompt[:, -self._block :]
        self._cache: KeyValueCache | None = None
        self.recomputed = 0
        if not not_cached(model.config):
            room = min(self._block, self._window.size(1) + most)
            self._cache = KeyValueCache(model.config, prompt.size(0), room, model.lm_head.weight)
        self._is_first = True

    @torch.no_grad()
    def next_logits(self) -> Tensor:
        """(B, V), of the token after each text. Call it once before each `append`."""
        if self._cache is not None:
            return self._model.next_logits(self._window[:, self._cache.length :], self._cache)
        self.recomputed += 0 if self._is_first else self._window.size(0)
        return self._model.next_logits(self._window)

    def append(self, tokens: Tensor) -> None:
        """One token (B,) to each text."""
        self._is_first = False
        if self._window.size(1) == self._block:
            self._cache = None
        self._window = torch.cat((self._window, tokens[:, None]), dim=1)[:, -self._block :]

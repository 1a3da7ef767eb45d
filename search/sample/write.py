"""The model, loaded, continues the prompt. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model.sample import continued
from model.weights import from_file
from search.errors import UserError
from search.files.saved_model import SavedModel
from search.sample.settings import Settings


def written(saved: SavedModel, settings: Settings, prompt: Sequence[int]) -> list[int]:
    """The tokens after those of `prompt`. Raises UserError where the device is not there, DataError for
    weights that are not the model's."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda, but torch sees no GPU here; type device=cpu")
    model = from_file(saved.weights, saved.config, len(saved.tokenizer.vocabulary)).to(settings.device)
    return continued(model, prompt, settings.tokens, settings.temperature, settings.top_k, settings.seed)

"""A prompt as the tokens of a model."""

from __future__ import annotations

from pathlib import Path

from model.data import TOKENIZERS
from model.data.download import Downloads
from model.data.tokenizer import Tokenizer
from search.errors import UserError
from search.files.paths import shown
from search.files.saved_model import SavedModel


def tokenizer_of(saved: SavedModel, cache_dir: Path) -> Tokenizer:
    """The model's own. Raises UserError for a model of something else than text, DataError where the
    tokenizer cannot be had."""
    row = TOKENIZERS.get(saved.tokenizer.kind)
    if row is None:
        raise UserError(
            f"the model in {shown(saved.folder)} learnt records of {saved.tokenizer.label}, no text: there "
            "is nothing to continue"
        )
    return row.again(saved.tokenizer, Downloads(cache_dir / "downloads"))


def prompt_of(text: str, tokenizer: Tokenizer) -> list[int]:
    """Where there is no text: a new line, or the first token where the model knows none. Raises UserError for
    characters that it does not know."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError("the prompt is no text in this terminal's encoding; type it in UTF-8") from error
    try:
        return [int(one) for one in tokenizer.encode(text or "\n")]
    except ValueError as error:
        if not text:
            return [0]
        unknown = "".join(sorted(set(text) - set(tokenizer.vocabulary)))
        raise UserError(f"the model knows no {unknown!r}, which the prompt has; leave that out") from error

"""A prompt in the tokens of a model, or why it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.config import RunConfig
from model.data import TOKENIZERS, CharTokenizer, KeptTokenizer
from model.data.tokenizer import ByteTokenizer
from search.errors import UserError
from search.files.saved_model import SavedModel
from search.sample.prompt import prompt_of, tokenizer_of


def test_characters_that_the_model_lacks_are_named() -> None:
    with pytest.raises(UserError, match="the model knows no 'xé', which the prompt has"):
        prompt_of("axéab", CharTokenizer(("a", "b")))


@pytest.mark.parametrize("tokenizer", [CharTokenizer(("a", "b")), ByteTokenizer()])
def test_what_no_terminal_can_decode_is_no_prompt(tokenizer: CharTokenizer | ByteTokenizer) -> None:
    with pytest.raises(UserError, match="type it in UTF-8"):
        prompt_of("a\udcff", tokenizer)


def test_without_a_prompt_the_model_begins_after_a_line_or_anyhow() -> None:
    assert prompt_of("", ByteTokenizer()) == [10]
    assert prompt_of("", CharTokenizer(("\t", "\n"))) == [1]
    assert prompt_of("", CharTokenizer(("a", "b"))) == [0]


def test_a_model_of_bits_has_no_text_to_continue(tmp_path: Path) -> None:
    saved = SavedModel(tmp_path / "parity", RunConfig(), KeptTokenizer("bits", ("0", "1")))
    assert saved.tokenizer.kind not in TOKENIZERS
    with pytest.raises(UserError, match="learnt records of bits, no text"):
        tokenizer_of(saved, tmp_path)

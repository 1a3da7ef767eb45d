import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data import UNKNOWN, CharTokenizer, DataError

texts = st.text(max_size=60)


@given(texts, st.data())
def test_decoding_gives_back_any_text_over_the_vocabulary(seen, data):
    tokenizer = CharTokenizer.from_text(seen)
    text = "".join(data.draw(st.lists(st.sampled_from(tokenizer.vocabulary), max_size=60)))
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(texts, texts)
def test_a_character_that_was_not_seen_decodes_to_the_unknown_symbol(seen, text):
    tokenizer = CharTokenizer.from_text(seen)
    expected = "".join(character if character in seen else UNKNOWN for character in text)
    assert tokenizer.decode(tokenizer.encode(text)) == expected


@given(texts)
def test_ids_are_nanogpts_for_the_seen_characters_and_the_unknown_symbol_is_last(seen):
    characters = sorted(set(seen) - {UNKNOWN})
    tokenizer = CharTokenizer.from_text(seen)
    assert tokenizer.vocabulary == (*characters, UNKNOWN)
    assert tokenizer.encode("".join(characters)).tolist() == list(range(len(characters)))


def test_token_ids_are_uint16_one_a_character():
    ids = CharTokenizer.from_text("ab\n").encode("ba\N{GRINNING FACE}")
    assert ids.dtype == np.uint16
    assert ids.tolist() == [2, 1, 3]


def test_more_characters_than_uint16_can_name_are_refused():
    text = "".join(map(chr, range(0x10000, 0x20000)))
    with pytest.raises(DataError, match="fewer than 65,536 different ones, got 65,536") as error:
        CharTokenizer.from_text(text)
    assert "\n" not in str(error.value)
    assert len(CharTokenizer.from_text(text[1:]).vocabulary) == 65_536

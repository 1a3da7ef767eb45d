import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.text_parts import Text, pieces, split, told

# What a cut could spoil: words, spaces and line ends of several kinds, in any order.
awkward = st.lists(
    st.sampled_from(
        ["a", "word", "don't", "12", "!?", " ", "  ", "\n", "\r\n", "\t", "\x1c", "\u00a0", "é", "漢字"]
    ),
    max_size=40,
).map("".join)


@given(awkward, st.integers(1, 12))
def test_pieces_add_up_to_the_text(text, characters):
    assert "".join(pieces(io.StringIO(text, newline=""), characters)) == text


@given(awkward, st.integers(1, 12))
def test_a_piece_begins_with_white_space_after_something_else(text, characters):
    cut = list(pieces(io.StringIO(text, newline=""), characters))
    for before, after in itertools.pairwise(cut):
        assert after[0] in " \n"
        assert not before[-1].isspace()


def test_a_text_without_a_place_to_cut_is_cut_all_the_same():
    text = "acgt" * 1_000
    cut = list(pieces(io.StringIO(text), 100, 300))
    assert "".join(cut) == text
    assert {len(piece) for piece in cut[:-1]} == {300}
    assert max(map(len, pieces(io.StringIO(text + " and words" * 99), 100, 300))) <= 300


def test_how_far_a_part_is_read_is_told_as_it_is_read():
    said = []
    parts = told(lambda: iter(["né", "e"]), "reading", 4, lambda *what: said.append(what))
    assert list(parts()) == ["né", "e"]
    assert said == [("reading", 3, 4), ("reading", 4, 4)]


@pytest.mark.parametrize("name", ["gpt2", "bpe"])
@given(text=awkward, characters=st.integers(1, 12))
def test_a_text_has_the_same_tokens_in_pieces_as_whole(tokenizer, name, text, characters):
    encode = tokenizer(name)
    cut = [encode(piece) for piece in pieces(io.StringIO(text, newline=""), characters)]
    assert [i for ids in cut for i in ids] == encode(text)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """By name, how the libraries themselves encode a text in one go."""
    from model.data.download import Downloads
    from model.data.tokenizer.bpe import learnt_bpe
    from model.data.tokenizer.gpt2 import load_gpt2

    folder = tmp_path_factory.mktemp("tokenizers")
    gpt2 = load_gpt2(Downloads(folder, ("http://127.0.0.1:9/",)))
    bpe = learnt_bpe(lambda: iter(["don't word \n\n a word! \n 12\n"] * 99), 265, folder)
    return {
        "gpt2": lambda text: gpt2.encode(text).tolist(),
        "bpe": lambda text: bpe._learnt.encode(text, add_special_tokens=False).ids,
    }.__getitem__


@given(awkward)
def test_nine_tenths_are_for_training(text):
    train, held_out = split(text)
    assert train + held_out == text
    assert len(train) == int(0.9 * len(text))
    made = Text.from_string(text)
    assert ("".join(made.train()), "".join(made.held_out())) == (train, held_out)
    assert made.size_bytes == len(text.encode())


def test_a_part_can_be_read_again_from_its_beginning():
    text = Text.from_string("to be or not to be " * 10)
    assert list(text.train()) == list(text.train())

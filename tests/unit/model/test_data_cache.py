import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import model
from model.config import DataConfig
from model.data import DATASETS, UNKNOWN, DataError, cache, load
from model.data.corpus import Corpus, corpus_folder, write_corpus

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


def assert_same(one, other):
    assert (one.name, one.sha256, one.tokenizer) == (other.name, other.sha256, other.tokenizer)
    assert one.vocabulary == other.vocabulary
    assert one.validation_bytes_per_token == other.validation_bytes_per_token
    for a, b in ((one.train, other.train), (one.validation, other.validation)):
        assert a.dtype == b.dtype == np.uint16
        assert np.array_equal(a, b)


def test_a_corpus_is_nine_tenths_training_and_knows_no_other_character():
    corpus = Corpus.from_text("text", "ab" * 45 + "aébœ" * 2 + "ba")
    assert corpus.sha256 == hashlib.sha256(("ab" * 45 + "aébœ" * 2 + "ba").encode()).hexdigest()
    assert corpus.vocabulary == ("a", "b", UNKNOWN)
    assert corpus.vocab_size == 3
    assert corpus.train.tolist() == [0, 1] * 45
    assert corpus.validation.tolist() == [0, 2, 1, 2, 0, 2, 1, 2, 1, 0]
    assert corpus.validation_bytes_per_token == 1.4


@pytest.mark.parametrize("name", DATASETS)
def test_a_cached_corpus_is_the_one_that_was_made(name, config, cache_dir):
    config.name = name
    assert_same(load(config, cache_dir), load(config, cache_dir))


def test_a_data_set_that_has_a_key_is_found_by_it_without_reading_its_text(cache_dir):
    corpus = Corpus.from_text("shakespeare", TEXT)
    write_corpus(corpus, cache_dir)
    cache.write(cache_dir / f"{DATASETS['shakespeare'].key}.cache", corpus.sha256.encode())
    assert_same(load(DataConfig("shakespeare"), cache_dir), corpus)


def test_another_text_at_the_same_path_is_another_corpus(config, cache_dir):
    before = load(config, cache_dir)
    Path(config.path).write_text(TEXT + "!", encoding="utf-8")
    after = load(config, cache_dir)
    assert after.sha256 != before.sha256
    assert len(after.train) + len(after.validation) == len(TEXT) + 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1] + b"?",
        lambda whole: whole + b"\0",
        lambda whole: bytes(len(whole)),
    ],
    ids=["empty", "cut", "changed", "longer", "zeros"],
)
def test_a_damaged_cache_is_made_again(damage, config, cache_dir):
    made = load(config, cache_dir)
    (file,) = corpus_folder(made.sha256, cache_dir).iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert_same(load(config, cache_dir), made)
    assert file.read_bytes() == whole


def test_a_damaged_key_is_made_again(cache_dir):
    made = load(DataConfig("shakespeare"), cache_dir)
    key = cache_dir / f"{DATASETS['shakespeare'].key}.cache"
    whole = key.read_bytes()
    key.write_bytes(whole[:-1])
    assert_same(load(DataConfig("shakespeare"), cache_dir), made)
    assert key.read_bytes() == whole


def test_what_a_killed_process_left_unfinished_is_ignored(config, cache_dir):
    made = load(config, cache_dir)
    folder = corpus_folder(made.sha256, cache_dir)
    (file,) = folder.iterdir()
    file.rename(folder / f".{file.name}.0123.tmp")
    (folder / f".{file.name}.4567.tmp").write_bytes(b"joulesearch-cache 1 ")
    assert_same(load(config, cache_dir), made)


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
        "import hashlib, sys; from pathlib import Path; from model.config import DataConfig\n"
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

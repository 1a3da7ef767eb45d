"""The data sets that are generated or downloaded; `shakespeare` and `text` have files of their own."""

import hashlib
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from file_server import FileServer, Served
from hypothesis import given
from hypothesis import strategies as st

import model
from model.data import DATASETS, TOKENIZERS, DataError, cache, fineweb, load, sparse_parity, wikitext103
from model.data.config import DataConfig
from model.data.corpus import read_corpus, tokenised, write_corpus
from model.data.download import Downloads, RemoteFile
from model.data.held_out import HeldOut
from model.data.tokenizer import ByteTokenizer
from model.data.tokenizer.gpt2 import Gpt2Tokenizer

CONF = Path(model.__file__).parents[1] / "conf" / "data"


@pytest.fixture
def server():
    with FileServer().running() as server:
        yield server


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_an_option_of_its_name_that_says_what_it_is(name):
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    assert yaml.safe_load(text)["name"] == name
    assert DataConfig(**yaml.safe_load(text))


def test_every_option_is_a_data_set():
    assert {path.stem for path in CONF.iterdir()} == set(DATASETS)


def test_the_default_tokens_of_a_text_are_a_row_of_the_table():
    of_texts = {row.tokenizer for row in DATASETS.values() if "tokenizer" in row.options}
    assert of_texts <= set(TOKENIZERS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "shakespeare", "path": "my.txt"},
            "data.path=my.txt: data=shakespeare does not use it; type data.path=null",
        ),
        (
            {"name": "text", "path": "x", "shards": 2},
            "data.shards=2: data=text does not use it; type data.shards=1",
        ),
        ({"name": "fineweb", "tokenizer": "bytes"}, "data.tokenizer=bytes: data=fineweb does not use it"),
        (
            {"name": "sparse_parity", "urls": ["http://a.example/"]},
            "data=sparse_parity does not use it; type data.urls=null",
        ),
        ({"name": "fineweb", "shards": 104}, "data.shards=104: expected 1 to 103"),
        ({"name": "fineweb", "urls": ["http://a.example/x.bin"]}, "expects folders, addresses that end in /"),
    ],
)
def test_what_a_data_set_does_not_use_is_refused_in_one_line(values, message, tmp_path):
    with pytest.raises(DataError) as error:
        load(DataConfig(**values), tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_data_sets_own_tokens_may_be_asked_for_by_name(tmp_path):
    asked = load(DataConfig("shakespeare", tokenizer="chars"), tmp_path)
    assert asked.tokenizer == load(DataConfig("shakespeare"), tmp_path).tokenizer == "chars"


@pytest.mark.parametrize("name", ["tinyshakespeare", "wikitext103"])
def test_a_download_that_fails_says_in_one_line_what_else_to_type(name, server, tmp_path):
    with pytest.raises(DataError, match=r"HTTP 404; .*data=") as error:
        load(DataConfig(name, urls=[f"{server.url}/gone"]), tmp_path)
    assert "\n" not in str(error.value)


# sparse_parity


@pytest.fixture(scope="module")
def parity(tmp_path_factory):
    return load(DataConfig("sparse_parity"), tmp_path_factory.mktemp("cache"))


def test_parity_is_pinned(parity):
    """Whoever changes it makes past losses incomparable."""
    tokens = np.concatenate([parity.train, parity.validation, parity.test]).astype(np.uint8)
    assert parity.sha256 == sparse_parity.SHA256 == hashlib.sha256(tokens).hexdigest()
    assert sparse_parity.SHA256.startswith("383e8a5a715d9379")
    assert (len(parity.train), len(parity.validation), len(parity.test)) == (2_300_000, 23_000, 23_000)
    assert (parity.vocabulary, parity.tokenizer, parity.record_tokens) == (("0", "1"), "bits", 23)


def test_a_record_ends_in_the_parities_of_one_two_and_three_secret_bits(parity):
    for record in np.concatenate([parity.validation, parity.test]).reshape(-1, 23).tolist():
        bits = [record[place] for place in sparse_parity.SECRET]
        assert record[20:] == [bits[0], bits[0] ^ bits[1], bits[0] ^ bits[1] ^ bits[2]]


def test_the_flips_are_fair_and_no_record_of_the_validation_part_is_the_one_before(parity):
    flips = parity.train.reshape(-1, 23)[:, :20]
    assert np.abs(flips.mean(axis=0) - 0.5).max() < 5 * 0.5 / math.sqrt(len(flips))
    assert np.abs(np.corrcoef(flips.T) - np.eye(20)).max() < 5 / math.sqrt(len(flips))


@given(st.integers(1, 40))
def test_fewer_records_are_the_first_of_more(n):
    assert sparse_parity.records("train", n).tolist() == sparse_parity.records("train", 40)[: n * 23].tolist()


def test_who_knows_the_secret_reaches_the_floor_and_counting_does_not(parity):
    from model.data import best_ngram

    assert pytest.approx(20 * math.log(2) / 23) == sparse_parity.FLOOR_LOSS
    counted = best_ngram(parity.train, parity.validation, parity.vocab_size)
    assert counted.loss == pytest.approx(math.log(2), abs=2e-4)


# wikitext103


def archive_of(folder, train, validation):
    path = folder / "wikitext.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("wikitext-103-raw/wiki.train.raw", train.encode())
        archive.writestr("wikitext-103-raw/wiki.valid.raw", validation.encode())
        archive.writestr("wikitext-103-raw/wiki.test.raw", b"not to be read")
    return path


def test_wikitext_keeps_its_own_split_and_its_lines_as_they_are(tmp_path):
    train, validation = " \n = Œuvre = \r\n \n one <unk> @-@ two \n" * 50, " = Other = \n"
    text = wikitext103.text_of(archive_of(tmp_path, train, validation), "0" * 64)
    assert ("".join(text.train()), "".join(text.held_out())) == (train, validation)
    assert text.size_bytes == len((train + validation).encode())


def test_wikitext_becomes_a_corpus_of_bytes(tmp_path):
    text = wikitext103.text_of(archive_of(tmp_path, "abc " * 9, "éà"), "0" * 64)
    folder = tmp_path / "cache" / "tokens"
    with cache.alone(folder):
        write_corpus(tokenised(text, ByteTokenizer()), folder, "")
    corpus = read_corpus("wikitext103", folder)
    assert bytes(corpus.train.tolist()) == b"abc " * 9
    assert bytes(corpus.validation.tolist()) == "é".encode()
    assert bytes(corpus.test.tolist()) == "à".encode()


def test_wikitext_as_published_is_validated_and_tested_on_its_own_parts(tmp_path):
    text = wikitext103.text_of(archive_of(tmp_path, "abc " * 9, "éà"), "0" * 64, with_test=True)
    folder = tmp_path / "cache" / "tokens"
    with cache.alone(folder):
        write_corpus(tokenised(text, ByteTokenizer()), folder, "")
    for held_out in HeldOut:
        corpus = read_corpus("wikitext103", folder, held_out=held_out)
        assert bytes(corpus.validation.tolist()) == "éà".encode()
        assert bytes(corpus.test.tolist()) == b"not to be read"
        assert corpus.held_out is HeldOut.PUBLISHED
        assert corpus.validation_bytes_per_token == 1.0


def test_a_damaged_test_part_is_a_damaged_corpus(tmp_path):
    text = wikitext103.text_of(archive_of(tmp_path, "abc " * 9, "éà"), "0" * 64, with_test=True)
    folder = tmp_path / "cache" / "tokens"
    with cache.alone(folder):
        write_corpus(tokenised(text, ByteTokenizer()), folder, "")
    (folder / "test.bin").write_bytes(b"x")
    assert read_corpus("wikitext103", folder) is None


def test_a_data_set_without_published_parts_cannot_be_split_by_them(tmp_path):
    with pytest.raises(DataError, match=r"data.split=published: .* type data.split=halves"):
        load(DataConfig("shakespeare", split="published"), tmp_path)


# fineweb


def shard(ids):
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, 1, len(ids)
    return header.tobytes() + np.array(ids, dtype="<u2").tobytes()


def published(server, *contents):
    for n, content in enumerate(contents):
        server.files[f"/{n}.bin"] = Served(content)
    return [
        RemoteFile(
            f"fineweb/{n}.bin",
            len(it),
            hashlib.sha256(it).hexdigest(),
            (f"{server.url}/{n}.bin",),
            "do without",
        )
        for n, it in enumerate(contents)
    ]


def test_shards_are_put_together_in_order_and_the_first_is_held_out(server, tmp_path):
    end = Gpt2Tokenizer.END_OF_TEXT
    files = published(server, shard([end, 31373, 995]), shard([end, 1, 2]), shard([3, 4]))
    tokens = fineweb.tokens_of(files, Downloads(tmp_path / "downloads"))
    folder = tmp_path / "cache" / "tokens"
    with cache.alone(folder):
        write_corpus(tokens, folder, "")
    corpus = read_corpus("fineweb", folder)
    assert corpus.train.tolist() == [end, 1, 2, 3, 4]
    assert corpus.validation.tolist() == [end, 31373]
    assert corpus.test.tolist() == [995]
    assert corpus.validation_bytes_per_token == len("hello world") / 3  # a document's end is no text
    assert corpus.vocab_size == 50257


def test_so_many_tokens_are_held_out_and_one_before_them(server, tmp_path):
    tokens = fineweb.tokens_of(published(server, shard(range(50)), shard([1])), Downloads(tmp_path), 20)
    assert [len(ids) for ids, _ in tokens.held_out()] == [21]
    assert fineweb.HELD_OUT_TOKENS == 10 * 2**20


def test_the_published_tokens_may_be_asked_for_by_name(server, tmp_path):
    with pytest.raises(DataError, match=r"fineweb_train_000001.bin: .*HTTP 404"):
        load(DataConfig("fineweb", tokenizer="gpt2", urls=[f"{server.url}/"]), tmp_path)


def test_a_shard_is_downloaded_when_it_is_reached(server, tmp_path):
    files = published(server, shard([1]), shard([2]), shard([3]))
    tokens = fineweb.tokens_of(files, Downloads(tmp_path))
    assert server.requests == []
    next(tokens.train())
    assert [path for path, _ in server.requests] == ["/1.bin"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-2],
        lambda whole: whole[:1000],
        lambda whole: b"\0" * 4 + whole[4:],
        lambda whole: whole[:4] + b"\2" + whole[5:],
    ],
    ids=["short", "header", "magic", "version"],
)
def test_a_file_that_is_no_shard_is_refused(damage, tmp_path):
    path = tmp_path / "shard.bin"
    path.write_bytes(shard([1, 2, 3]))
    assert fineweb.read_shard(path).tolist() == [1, 2, 3]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="expected a shard") as error:
        fineweb.read_shard(path)
    assert "\n" not in str(error.value)


def test_the_published_shards_are_one_that_is_held_out_and_103_for_training():
    shards = fineweb.published()
    names = [Path(it.name).name for it in shards]
    assert names == ["fineweb_val_000000.bin", *(f"fineweb_train_{n:06d}.bin" for n in range(1, 104))]
    assert len({it.sha256 for it in shards}) == 104
    assert all(len(it.sha256) == 64 for it in shards)
    # 10,255,324,043 tokens for training, as others count them
    assert sum((it.size_bytes - 1024) // 2 for it in shards[1:]) == 10_255_324_043


def test_other_shards_are_another_data_set():
    digests = {fineweb.sha256(DataConfig("fineweb", shards=n)) for n in (1, 2, 103)}
    assert len(digests) == 3

import pytest

from model.config import ConfigError
from model.data.config import DataConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokenizer": "words"}, "data.tokenizer must be one of chars, bytes, gpt2, bpe, got 'words'"),
        ({"vocab_size": 512}, "data.vocab_size must be null unless data.tokenizer=bpe, got 512"),
        (
            {"vocab_size": 512, "tokenizer": "gpt2"},
            "data.vocab_size must be null unless data.tokenizer=bpe, got 512",
        ),
        ({"vocab_size": 256, "tokenizer": "bpe"}, "data.vocab_size must be 257 to 65536, got 256"),
        ({"vocab_size": 65537, "tokenizer": "bpe"}, "data.vocab_size must be 257 to 65536, got 65537"),
        ({"shards": 0}, "data.shards must be 1 or more, got 0"),
        ({"urls": []}, "data.urls must be null, or addresses that begin with http:// or https://, got []"),
        ({"urls": ["https://a.example/x", "ftp://b.example/x"]}, "data.urls must be null, or addresses"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError) as error:
        DataConfig(**values)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"tokenizer": "bpe"},
        {"tokenizer": "bpe", "vocab_size": 257},
        {"tokenizer": "bpe", "vocab_size": 65536},
        {"name": "fineweb", "shards": 103, "urls": ["http://a.example/", "https://b.example/"]},
    ],
)
def test_what_can_be_meant_is_not(values):
    assert DataConfig(**values)

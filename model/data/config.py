"""What to learn, as a plain dataclass that checks itself."""

from __future__ import annotations

from dataclasses import dataclass

from model.config import need, need_choice
from model.data.tokenizer import TOKENIZERS, VOCAB_SIZES

HALVES, PUBLISHED = "halves", "published"


@dataclass
class DataConfig:
    """What to learn, and as which tokens.

    `name` is a row of `model.data.DATASETS`. `path` is the file that the `text` data set reads. `tokenizer`
    is a row of `model.data.tokenizer.TOKENIZERS`, null for the data set's own; `vocab_size` is for `bpe`
    alone. `shards` is how many training files to take of a data set that comes in many. `urls` are tried, in
    order, instead of the addresses built in; one that ends in `/` is a folder with files of the same names.
    `split`: `halves` of what is held out are for validation and test; `published` takes the parts that the
    data set was published with.
    """

    name: str = "shakespeare"
    path: str | None = None
    tokenizer: str | None = None
    vocab_size: int | None = None
    shards: int = 1
    urls: list[str] | None = None
    split: str = HALVES

    def __post_init__(self) -> None:
        if self.tokenizer is not None:
            need_choice("data.tokenizer", self.tokenizer, TOKENIZERS)
        if self.vocab_size is not None:
            need(
                self.tokenizer == "bpe", "data.vocab_size", "null unless data.tokenizer=bpe", self.vocab_size
            )
            low, high = VOCAB_SIZES
            need(low <= self.vocab_size <= high, "data.vocab_size", f"{low} to {high}", self.vocab_size)
        need_choice("data.split", self.split, (HALVES, PUBLISHED))
        need(self.shards >= 1, "data.shards", "1 or more", self.shards)
        if self.urls is not None:
            are_urls = bool(self.urls) and all(url.startswith(("http://", "https://")) for url in self.urls)
            need(are_urls, "data.urls", "null, or addresses that begin with http:// or https://", self.urls)

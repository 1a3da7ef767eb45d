"""The data set `tinyshakespeare`: nanoGPT's and char-rnn's, 1.1 million characters, downloaded once."""

from __future__ import annotations

from model.data.config import DataConfig
from model.data.download import Downloads, RemoteFile
from model.data.text_parts import Text

FILE = RemoteFile(
    name="tinyshakespeare/input.txt",
    size_bytes=1_115_394,
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    urls=(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "https://raw.githubusercontent.com/jcjohnson/torch-rnn/master/data/tiny-shakespeare.txt",
    ),
    otherwise="type data.urls=[ADDRESS] for another mirror, or data=shakespeare, which needs no download",
)


def open_text(config: DataConfig, downloads: Downloads) -> Text:
    """The text, with nanoGPT's split. Raises `DataError` where it cannot be downloaded."""
    del config
    return Text.from_string(downloads.get(FILE).read_text(encoding="utf-8"))

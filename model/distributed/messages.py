"""What crosses the connection between the process that drives a training and each of those that train.

The driver sends a `Job`. A rank then says where it stands, `Here`, at every value of its training loop, and
waits for `GO`; it says `Ask` where it must know how many steps lie before the next evaluation, and waits for
the number. `GIVE_WEIGHTS` may come where `GO` is waited for. `Failed` is a rank's last word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.config import RunConfig
from model.data.corpus import Corpus
from model.progress import EvaluationResult, Progress

Tokens = npt.NDArray[np.uint16]
GO = "go"
GIVE_WEIGHTS = "give weights"
_PARTS = ("train", "validation", "test")


class Mapped(NamedTuple):
    """Tokens in a file that is mapped into memory: every process maps it for itself."""

    path: str
    offset_bytes: int
    n_tokens: int
    dtype: str


@dataclass(frozen=True)
class Job:
    """What all ranks train. `threads` are torch's, of each."""

    config: RunConfig
    corpus: Corpus
    parts: dict[str, Tokens | Mapped]
    device_type: str
    threads: int
    target_loss: float | None
    compile_backend: str
    score_test: bool

    @staticmethod
    def of(corpus: Corpus, **rest: Any) -> Job:
        """The corpus goes without the tokens that lie in files."""
        nothing = np.empty(0, dtype=np.uint16)
        bare = replace(corpus, train=nothing, validation=nothing, test=nothing)
        return Job(corpus=bare, parts={part: _packed(getattr(corpus, part)) for part in _PARTS}, **rest)

    def whole_corpus(self) -> Corpus:
        train, validation, test = (_unpacked(self.parts[part]) for part in _PARTS)
        return replace(self.corpus, train=train, validation=validation, test=test)


def _packed(tokens: Tokens) -> Tokens | Mapped:
    """A view of a map has the map's own offset, so that the view's is told by its address."""
    root: Any = tokens
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None or not tokens.flags.c_contiguous:
        return np.asarray(tokens)
    skipped = tokens.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return Mapped(str(root.filename), root.offset + skipped, len(tokens), tokens.dtype.str)


def _unpacked(tokens: Tokens | Mapped) -> Tokens:
    if not isinstance(tokens, Mapped):
        return tokens
    if tokens.n_tokens == 0:  # which no system maps
        return np.empty(0, dtype=np.uint16)
    return np.memmap(tokens.path, tokens.dtype, "r", tokens.offset_bytes, shape=(tokens.n_tokens,))


@dataclass(frozen=True)
class Hello:
    """The first word of a rank: its number and that of its process."""

    rank: int
    pid: int


@dataclass(frozen=True)
class Here:
    """A value of the training loop. `peak_bytes` is the most memory that this rank has held, where it was
    looked at."""

    progress: Progress
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Ask:
    """How many steps until the next evaluation? `result` is that of the one just done, of the rank that
    evaluates, if there was one."""

    result: EvaluationResult | None = None


@dataclass(frozen=True)
class Weights:
    """Parameters by name, as safetensors."""

    payload: bytes


@dataclass(frozen=True)
class Failed:
    """A rank raised this, in one line."""

    text: str


@dataclass(frozen=True)
class Done:
    """The training loop has ended."""


Message = Here | Ask | Weights | Failed | Done

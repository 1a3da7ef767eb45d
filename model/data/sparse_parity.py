"""The data set `sparse_parity`: bits of which three, at secret places, decide what comes next.

A record is `BITS` fair coin flips and then, for the secret places s1, s2, s3, the bit at s1, the parity of s1
and s2, and the parity of all three:

    x1 x2 ... x20  x[s1]  x[s1]^x[s2]  x[s1]^x[s2]^x[s3]

Only these last `len(SECRET)` tokens can be predicted, so of the loss over all tokens

    ln 2                              = 0.6931 nats per token is guessing, and all that n-grams can do;
    BITS ln 2 / (BITS + len(SECRET))  = 0.6027 nats per token (`FLOOR_LOSS`) cannot be beaten.

A target stands between (0.61), and the loss comes down in a stair of three steps, one a parity. The two
parities on the way are what makes it a matter of seconds: a network of two layers, 64 wide, with windows of
one record, 64 a batch, AdamW at 1e-3, got below 0.604 within 500 steps from each of three seeds (12
CPU-seconds); with the last parity alone it had learnt nothing after 1,500. (Parities that are hard to learn
at once are easy in steps: Wies, Levine and Shashua, "Sub-task decomposition enables learning in sequence to
sequence tasks", 2023.) Training windows have to begin where records do, `record_tokens`: with windows
anywhere it learnt nothing either.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from model.data.config import DataConfig
from model.data.corpus import Tokens
from model.data.download import Downloads

BITS = 20
# Places from 0, each so far from what it decides that no n-gram of order 6 sees it from there.
SECRET = (11, 4, 14)
RECORD_TOKENS = BITS + len(SECRET)
FLOOR_LOSS = BITS * math.log(2) / RECORD_TOKENS
TRAIN_RECORDS = 100_000
HELD_OUT_RECORDS = 2_000
LABEL = "bits"
SHA256 = "383e8a5a715d9379f6807a3ce48321de78cea02174fcf4931288a3ece6ef9539"
"""Of all tokens, a byte each, the training part first. Whoever changes it makes past losses incomparable."""


def records(part: str, n: int) -> npt.NDArray[np.uint16]:
    """`n` records of the part of this name, shape (n * RECORD_TOKENS,). The flips are SHAKE-256 of the name:
    the same for ever, on any machine."""
    flips = hashlib.shake_256(f"sparse parity, {part}".encode()).digest(-(-n * BITS // 8))
    bits = np.unpackbits(np.frombuffer(flips, dtype=np.uint8), count=n * BITS).reshape(n, BITS)
    parities = np.bitwise_xor.accumulate(bits[:, SECRET], axis=1)
    return np.concatenate([bits, parities], axis=1).reshape(-1).astype(np.uint16)


def generate(config: DataConfig, downloads: Downloads) -> Tokens:
    """The tokens; neither `config` nor `downloads` has a say in it."""
    del config, downloads

    def part(name: str, n: int) -> Iterator[tuple[npt.NDArray[np.uint16], int]]:
        yield records(name, n), n * RECORD_TOKENS

    return Tokens(
        sha256=SHA256,
        tokenizer=LABEL,
        vocabulary=("0", "1"),
        train=lambda: part("train", TRAIN_RECORDS),
        held_out=lambda: part("validation", HELD_OUT_RECORDS),
        size_bytes=(TRAIN_RECORDS + HELD_OUT_RECORDS) * RECORD_TOKENS,
        record_tokens=RECORD_TOKENS,
    )

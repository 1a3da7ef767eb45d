"""The held-out tokens of a data set, divided into what runs are stopped and ranked by, and what nobody chose
by."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt


class HeldOut(StrEnum):
    """What becomes of the held-out tokens. It is written down with every result: losses on one and on the
    other do not compare."""

    HALVES = "halves"  # the first for validation, the second is the test part
    PUBLISHED = "published"  # the parts that the data set was published with
    WHOLE = "whole"  # all for validation, as before there was a test part: for studies that were begun then


def validation_and_test(
    tokens: npt.NDArray[np.uint16], record_tokens: int, held_out: HeldOut
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Views of `tokens`, which they make up. The test part begins at a multiple of `record_tokens`, and is no
    longer than the validation part."""
    records = -(-len(tokens) // record_tokens)
    cut = len(tokens) if held_out is HeldOut.WHOLE else (records + 1) // 2 * record_tokens
    return tokens[:cut], tokens[cut:]

"""What an entry of a space may be, in words."""

import pytest

from search.space.__main__ import values_of
from search.space.model import Entry


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (Entry("train.max_steps", "int", low=80, high=260), "80 to 260"),
        (Entry("optimizer.lr", "float", low=1e-3, high=0.5, log=True), "0.001 to 0.5, log"),
        (Entry("optimizer.muon_momentum", "float", low=0.7, high=0.95, step=0.05), "0.7 to 0.95 by 0.05"),
        (Entry("model.n_layer", "int", low=3, high=3), "3"),
        (Entry("optimizer.lr", "float", low=0.01, high=0.01, log=True), "0.01"),
        (
            Entry("model.n_embd", "int", low=64, high=64, step=16, multiple_of="model.n_head"),
            "64, multiples of model.n_head",
        ),
        (Entry("model.n_head", "categorical", choices=(1, 2, 4, 8, 16)), "1, 2, 4, 8, 16"),
        (
            Entry("model.attention", "categorical", choices=("sdpa", "sliding_window", "manual")),
            "sdpa, manual | sliding_window",
        ),
        (Entry("model.qk_norm", "categorical", choices=(False, True)), "False, True"),
    ],
)
def test_values_in_words(entry: Entry, words: str) -> None:
    assert values_of(entry) == words

"""Whether a text is long enough is known before anything is trained, and doing as told helps."""

import re
from dataclasses import replace

import numpy as np
import pytest

from model.config import EvaluationConfig, ModelConfig, RunConfig, TrainConfig
from model.data import Corpus
from model.fits import no_window, scored_tokens, too_short

TEXT = Corpus.from_text("tale", "so it goes on and on " * 100)  # 1,890, 105 and 105 characters


def a_run(block_size=8, batch_size=2, context=8, tokens=None):
    return RunConfig(
        ModelConfig(block_size=block_size),
        train=TrainConfig(batch_size=batch_size),
        evaluation=EvaluationConfig(tokens=tokens, context=context),
    )


@pytest.mark.parametrize(
    ("asked", "largest"),
    [({"block_size": 2_000}, 1_889), ({"batch_size": 300}, 236), ({"context": 150}, 52)],
    ids=str,
)
def test_what_is_longer_than_the_text_is_said_with_the_most_that_fits(asked, largest):
    problem = too_short(a_run(**asked), TEXT)
    ((key, value),) = asked.items()
    path = f"{'train' if key == 'batch_size' else 'evaluation' if key == 'context' else 'model'}.{key}"
    assert problem.startswith(f"{path}={value} ")
    assert "\n" not in problem
    assert f"type {path}={largest} or less" in problem
    changed = {key: largest} | ({"batch_size": 1} if key == "block_size" else {})
    assert too_short(a_run(**changed), TEXT) is None
    assert too_short(a_run(**changed | {key: largest + 1}), TEXT) is not None


def test_more_validation_tokens_than_there_are_are_not_scored():
    assert "type evaluation.tokens=null" in too_short(a_run(tokens=500), TEXT)
    assert "type evaluation.tokens=null" in too_short(a_run(tokens=112), TEXT), "not those of the test part"
    assert too_short(a_run(tokens=104), TEXT) is None
    assert scored_tokens(a_run(tokens=100), TEXT) == 96
    assert scored_tokens(a_run(), TEXT) == 104, "whole windows of all there are"


def test_a_text_of_a_few_tokens_is_too_short_for_anything():
    nothing = replace(TEXT, train=np.zeros(1, np.uint16), validation=np.zeros(1, np.uint16))
    problem = too_short(a_run(block_size=1, batch_size=1, context=1), nothing)
    assert problem.endswith("; give a longer text")
    assert not re.search("type .*=0", problem)


def test_a_batch_may_hold_a_token_twice_where_the_model_is_used_alone():
    assert no_window(a_run(batch_size=300), TEXT) is None
    assert no_window(a_run(block_size=2_000), TEXT) == too_short(a_run(block_size=2_000), TEXT)

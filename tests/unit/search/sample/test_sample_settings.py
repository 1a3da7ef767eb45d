"""A folder, a prompt and settings, in any order but the folder's."""

from __future__ import annotations

import pytest

from model.config import ConfigError
from search.errors import UserError
from search.sample.settings import Settings, settings_of


@pytest.mark.parametrize(
    ("arguments", "after", "meant"),
    [
        (["m"], [], Settings("m")),
        (["m", "To be"], [], Settings("m", "To be")),
        (["m", "To be", "tokens=5", "temperature=0"], [], Settings("m", "To be", 5, 0.0)),
        (["seed=3", "m", "top_k=7", "device=cuda"], [], Settings("m", seed=3, top_k=7, device="cuda")),
        (["lr=0.1", "x = 3"], [], Settings("lr=0.1", "x = 3")),
        (["m"], ["tokens=5"], Settings("m", "tokens=5")),
        (["m", "top_k=null", ""], [], Settings("m")),
    ],
)
def test_what_is_typed_is_meant(arguments: list[str], after: list[str], meant: Settings) -> None:
    assert settings_of(arguments, after) == meant


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["m", "tokens=0"], "tokens must be a whole number, 1 or more, got '0'"),
        (["m", "tokens=many"], "tokens must be a whole number"),
        (["m", "top_k=0"], "top_k must be a whole number"),
        (["m", "temperature=-1"], "temperature must be a number, 0"),
        (["m", "temperature=nan"], "temperature must be a number, 0"),
        (["m", "temperature=inf"], "temperature must be a number, 0"),
        (["m", "seed=-1"], "seed must be a whole number from 0"),
        (["m", "seed=x"], "seed must be a whole number from 0"),
        (["m", "device=tpu"], "device must be one of cpu, cuda"),
        (["m", "temprature=1"], "there is no setting temprature, did you mean temperature?"),
        (["m", "zzz=1"], "there is no setting zzz (there are tokens, temperature"),
        (["m", "To", "be"], "put it in quotes: 'To be'"),
        (["tokens=5"], "expected the folder of a trained model"),
    ],
)
def test_a_mistake_is_said_in_one_line(arguments: list[str], said: str) -> None:
    with pytest.raises((UserError, ConfigError)) as refused:
        settings_of(arguments)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)

"""The command line of `python -m search.sample`: a folder, a prompt, and settings by name."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.config import check_seed
from search.errors import UserError

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Settings:
    """`prompt` is empty where the model begins by itself."""

    folder: str
    prompt: str = ""
    tokens: int = 200
    temperature: float = 0.8
    top_k: int | None = None
    seed: int = 1337
    device: str = "cpu"


def settings_of(arguments: Sequence[str], after: Sequence[str] = ()) -> Settings:
    """Of the arguments before and after `--`: a prompt that reads like a setting goes after it. Raises
    UserError or ConfigError for what cannot be meant."""
    values: dict[str, Any] = {}
    texts: list[str] = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in _READ:
            values[key] = _READ[key](key, value)
        elif not equals or not texts or not re.fullmatch(r"[\w.-]+", key):
            texts.append(argument)
        else:
            raise UserError(
                f"there is no setting {key}{_near(key)}; a prompt that reads like one goes after two dashes: "
                f"-- {argument!r}"
            )
    prompts = [*texts[1:], *after]
    if not texts:
        raise UserError("expected the folder of a trained model first; type python -m search.sample FOLDER")
    if len(prompts) > 1:
        raise UserError(f"expected one prompt, got {len(prompts)}; put it in quotes: {' '.join(prompts)!r}")
    return Settings(texts[0], "".join(prompts), **values)


def _near(key: str) -> str:
    near = difflib.get_close_matches(key, _READ, n=1)
    return f", did you mean {near[0]}?" if near else f" (there are {', '.join(_READ)})"


def _count(key: str, text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise UserError(f"{key} must be a whole number, 1 or more, got {text!r}")
    return count


def _temperature(key: str, text: str) -> float:
    try:
        temperature = float(text)
    except ValueError:
        temperature = math.nan
    if not (math.isfinite(temperature) and temperature >= 0):
        raise UserError(f"{key} must be a number, 0 (always the likeliest token) or more, got {text!r}")
    return temperature


def _top_k(key: str, text: str) -> int | None:
    return None if text == "null" else _count(key, text)


def _seed(key: str, text: str) -> int:
    seed = int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else text
    check_seed(key, seed)
    assert isinstance(seed, int)
    return seed


def _device(key: str, text: str) -> str:
    if text not in DEVICES:
        raise UserError(f"{key} must be one of {', '.join(DEVICES)}, got {text!r}")
    return text


_READ: Mapping[str, Callable[[str, str], Any]] = {
    "tokens": _count,
    "temperature": _temperature,
    "top_k": _top_k,
    "seed": _seed,
    "device": _device,
}

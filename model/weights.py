"""The weights of a trained model as one file of safetensors, and the model built around them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from model.config import RunConfig
from model.errors import DataError
from model.gpt import GPT
from model.precision.formats import Precision, evaluable
from model.tables import PRECISIONS


def to_bytes(model: GPT) -> bytes:
    """The parameters by name, each shared one once (a tied head is its embedding), in the number format that
    they were trained in. What was compiled has the same names."""
    return save({name: p.detach().cpu().contiguous() for name, p in model.named_parameters()})


def from_file(path: Path, config: RunConfig, vocab_size: int) -> GPT:
    """The model of these weights as an evaluation sees it: in fp32, on the CPU, without dropout.

    Raises DataError where the file is none, or of another model.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: expected weights in safetensors, got {error}") from error
    model = _built(config, vocab_size)
    own = dict(model.named_parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wanted = {name: tuple(parameter.shape) for name, parameter in own.items()}
    if odd := sorted(name for name, _ in shapes.items() ^ wanted.items()):
        raise DataError(
            f"{path}: expected {odd[0]} of shape {wanted.get(odd[0])} by the configuration beside it, got "
            f"{shapes.get(odd[0])}"
        )
    _fill(model, tensors)
    return evaluable(model).eval()


def from_bytes(payload: bytes, config: RunConfig, vocab_size: int) -> GPT:
    """The model of what `to_bytes` gave, as it was trained, on the CPU."""
    model = _built(config, vocab_size)
    _fill(model, load(payload))
    return model


def _built(config: RunConfig, vocab_size: int) -> GPT:
    """As a training builds it, so that what its number format rounds besides weights is rounded too."""
    model = GPT(config.model, vocab_size)
    precision: Precision = PRECISIONS[config.train.precision].load()
    precision.prepare(model)
    return model


@torch.no_grad()
def _fill(model: GPT, tensors: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[name])

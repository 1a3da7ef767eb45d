from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save_file
from this_cpu import compiles

from model.config import RunConfig
from model.data import Corpus, DataError
from model.precision.formats import evaluable
from model.tables import COMPILE_SCOPES
from model.train import train
from model.weights import from_file, to_bytes

CORPUS = Corpus.from_text("rhyme", "the king was in his counting house, counting out his money; " * 40)
TOKENS = torch.arange(16)[None] % len(CORPUS.vocabulary)
SIDES = {"n_embd": 32, "n_head": 2}  # as fp8 wants them


def small_run(**parts):
    small = {
        "model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 16},
        "train": {"batch_size": 4, "max_steps": 10},
        "schedule": {},
        "evaluation": {"context": 16, "tokens": 96},
    }
    return RunConfig.from_mapping({name: values | parts.get(name, {}) for name, values in small.items()})


def trained(config, backend="inductor"):
    """The model of a run that was stopped before its end."""
    models = []
    steps = train(config, CORPUS, torch.device("cpu"), compile_backend=backend, hand_over=models.append)
    for progress in steps:
        if progress.step == 3:
            steps.close()
    return models[0]


def again(model, config, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(to_bytes(model))
    return from_file(path, config, CORPUS.vocab_size)


@torch.no_grad()
def logits(model):
    return evaluable(model).eval()(TOKENS)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16_weights"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("positions", ["learned", "rope"])
def test_a_model_predicts_the_same_after_saving_and_loading(tmp_path, tied, precision, positions):
    config = small_run(
        model={"tied_head": tied, "positions": positions, "dropout": 0.1, "lookup_table": "bigram"},
        train={"precision": precision},
    )
    model = trained(config)
    loaded = again(model, config, tmp_path)
    assert torch.equal(logits(loaded), logits(model))
    assert (loaded.wte.weight is loaded.lm_head.weight) is tied
    assert not loaded.training


@pytest.mark.parametrize("tied", [True, False])
def test_a_mean_of_weights_predicts_the_same_after_saving_and_loading(tmp_path, tied):
    config = small_run(model={"tied_head": tied}, schedule={"average_fraction": 0.5})
    models = []
    for _ in train(config, CORPUS, torch.device("cpu"), hand_over=models.append):
        pass
    assert torch.equal(logits(again(models[-1], config, tmp_path)), logits(models[-1]))
    assert not torch.equal(logits(models[-1]), logits(models[0]))


def test_a_tied_head_is_written_once_and_weights_keep_their_number_format():
    config = small_run(train={"precision": "bf16_weights"})
    written = load(to_bytes(trained(config)))
    assert sum(name in written for name in ("wte.weight", "lm_head.weight")) == 1
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}


def test_layers_of_eight_bits_load_back(tmp_path):
    config = small_run(model=SIDES)
    model = trained(config)
    loaded = again(model, replace(config, train=replace(config.train, precision="fp8")), tmp_path)
    assert torch.equal(logits(loaded), logits(model))


@compiles
@pytest.mark.parametrize("scope", COMPILE_SCOPES)
def test_what_was_compiled_loads_back_into_what_is_not(tmp_path, scope):
    config = small_run(train={"compile": True, "compile_scope": scope})
    model = trained(config, backend="eager")
    loaded = again(model, replace(config, train=replace(config.train, compile=False)), tmp_path)
    assert torch.equal(logits(loaded), logits(model))


def test_weights_of_another_configuration_are_refused(tmp_path):
    config = small_run()
    wider = replace(config, model=replace(config.model, n_embd=32))
    deeper = replace(config, model=replace(config.model, n_layer=2))
    for other in (wider, deeper):
        with pytest.raises(DataError, match=r"model\.safetensors: expected blocks\."):
            again(trained(config), other, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    whole = to_bytes(trained(small_run()))
    path.write_bytes(whole[:-10] if content is None else content)
    with pytest.raises(DataError, match="expected weights in safetensors"):
        from_file(path, small_run(), CORPUS.vocab_size)


def test_any_program_reads_the_file(tmp_path):
    model = trained(small_run())
    path = tmp_path / "model.safetensors"
    path.write_bytes(to_bytes(model))
    tensors = load_file(path)
    save_file(tensors, tmp_path / "copy.safetensors")
    assert np.array_equal(tensors["wte.weight"].numpy(), model.wte.weight.detach().numpy())

import pytest
from counted_work import Operands
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.config import ModelConfig
from model.generation import Generation
from model.gpt import GPT
from model.inference import generate
from model.tables import ATTENTION
from model.variant import Variant
from model.work import generation_work
from model.work.kernels import ATTENTION_WORK

VOCAB = 65
SMALL = {"n_layer": 2, "n_head": 4, "n_embd": 64, "block_size": 16, "positions": "rope"}
CASES = [
    ({"value_embedding": True, "smear": True, "logit_softcap": 15.0}, Generation(1, 5, 6)),
    ({"positions": "learned", "n_kv_head": 1, "mlp": "swiglu"}, Generation(3, 13, 6)),  # the window slides
]


class Moved(Operands):
    """Without what the operands of these kernels do not say: a look-up reads rows and not its table."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        before = self.bytes_moved
        result = super().__torch_dispatch__(function, types, args, kwargs)
        if str(function) in ("aten.embedding.default", "aten.empty.memory_format"):
            self.bytes_moved = before
        return result


@pytest.mark.parametrize(("changes", "generation"), CASES)
def test_matmuls_and_bytes_are_those_that_torch_counts(changes, generation):
    network = GPT(ModelConfig(**{**SMALL, **changes}), VOCAB)
    counted, watched = generation_work(network.config, VOCAB, generation), Moved()
    with FlopCounterMode(display=False) as flops, sdpa_kernel(SDPBackend.MATH):
        generate(network, generation)
    assert counted.matmul_flops == {"fp32": pytest.approx(flops.get_total_flops(), rel=1e-9)}
    with watched:
        generate(network, generation)
    assert counted.bytes_moved == pytest.approx(watched.bytes_moved, rel=0.02)


def test_the_newest_token_of_a_window_reads_no_more_keys_than_the_window_has():
    def of(window):
        model = ModelConfig(**SMALL, attention="sliding_window", attention_window=window)
        return generation_work(model, VOCAB, Generation(2, 6, 9)).bytes_moved

    assert of(4) < of(8) < of(12)


kv_heads, batches = st.sampled_from([1, 2, 4]), st.integers(1, 64)


@settings(max_examples=25)
@given(kv_heads, kv_heads, batches, st.integers(1, 14), st.integers(2, 20))
def test_fewer_heads_of_keys_and_values_move_fewer_bytes(one, other, batch, prompt, tokens):
    def of(heads):
        model = ModelConfig(**SMALL, n_kv_head=heads)
        return generation_work(model, VOCAB, Generation(batch, prompt, tokens)).bytes_moved

    assert (of(one) < of(other)) == (one < other)


def test_without_kept_keys_every_token_takes_a_pass_over_all_before(monkeypatch):
    monkeypatch.setitem(ATTENTION, "unkept", Variant("model.attention.sdpa:attend", "as sdpa", "its own"))
    monkeypatch.setitem(ATTENTION_WORK, "unkept", ATTENTION_WORK["sdpa"])
    generation = Generation(2, 4, 15)
    network = GPT(ModelConfig(**SMALL, attention="unkept"), VOCAB)
    with FlopCounterMode(display=False) as flops, sdpa_kernel(SDPBackend.MATH):
        generate(network, generation)
    counted = generation_work(network.config, VOCAB, generation)
    assert counted.matmul_flops == {"fp32": pytest.approx(flops.get_total_flops(), rel=1e-9)}

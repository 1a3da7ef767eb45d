"""What generating text computes and moves: a pass over the prompt, then one for each token, which reads every
weight and all keys and values that are kept."""

from __future__ import annotations

from dataclasses import dataclass

from model.config import ModelConfig
from model.generation import Generation
from model.runnable import not_cached
from model.tables import ATTENTION, evaluated
from model.work.kernels import KEEP, KEPT_ATTENTION, PICK
from model.work.network import Pass
from model.work.units import Work, format_of, total


@dataclass(frozen=True)
class GeneratingPass(Pass):
    """Only the last token of each sequence has logits, of which the likeliest is taken. `keeps`: whether keys
    and values are written beside those of the `seen` tokens before, which are read too; a mean, as what they
    take is in proportion to them. Of grouped queries only the heads of keys and values are kept."""

    keeps: bool = False
    seen: float = 0.0

    def head(self) -> Work:
        model, row, logits = self.model, self.loss, self.sequences * self.vocab_size
        work = self.matmul(self.sequences, model.n_embd, self.vocab_size) + self.kernels(PICK, logits)
        work += self.elementwise(row.softcap, logits) if model.logit_softcap > 0 else Work()
        has_table = model.lookup_table_rows(self.vocab_size) > 0
        return work + self.elementwise(row.lookup, logits) if has_table else work

    def scores(self) -> Work:
        work = self._over_kept() if self.seen else super().scores()
        return work + self.kernels(KEEP, self._keys_and_values(self.context)) if self.keeps else work

    def _over_kept(self) -> Work:
        """Of one new token a sequence with itself and the `seen` ones, by one kernel."""
        queries = self.sequences * self.model.n_embd
        scores = self.sequences * self.model.n_head * (self.seen + 1)
        return total(
            [
                Work({self.format.precision: 2 * 2.0 * scores * self.model.head_size}),
                self.elementwise(KEPT_ATTENTION.scores, scores),
                self.elementwise(KEPT_ATTENTION.queries, queries),
                self.elementwise(KEPT_ATTENTION.multiplied, self._keys_and_values(self.seen + 1)),
            ]
        )

    def _keys_and_values(self, tokens: float) -> float:
        """Elements of both, of so many tokens a sequence."""
        return self.sequences * tokens * 2 * self.model.kv_heads * self.model.head_size


def generation_work(model: ModelConfig, vocab_size: int, generation: Generation) -> Work:
    """Generating once, as `model.inference.generate` does: in fp32, with an evaluation's kernels."""
    keeps, batch, block = not not_cached(model), generation.batch_size, model.block_size
    fp32 = format_of("train.precision", "fp32")

    def a_pass(context: int, keeps: bool = False, seen: float = 0.0) -> Work:
        return GeneratingPass(model, vocab_size, batch, context, fp32, False, keeps, seen).network()

    prompt, kept, slid = generation.passes(block)
    work = a_pass(prompt, keeps) + (a_pass(block).times(slid) if slid else Work())
    lengths = range(prompt + 1, prompt + kept + 1)
    if not keeps:
        return work + total(a_pass(length) for length in lengths)
    if not kept:
        return work
    window = _window(model)
    seen = sum(min(length, window) - 1 for length in lengths) / kept
    # A window of one token sees nothing before it, and its pass is one over a context of one.
    return work + a_pass(1, keeps, seen).times(kept)


def _window(model: ModelConfig) -> int:
    """How many tokens, itself included, the newest one sees."""
    row = ATTENTION[evaluated("model.attention", model.attention)]
    return int(row.settings_of(model).get("attention_window", model.block_size))

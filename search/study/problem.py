"""What a study is about: its text, and how well counting n-grams predicts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.config import RunConfig
from model.data import Corpus, HeldOut, cached_best_ngram, load
from model.data.download import OnProgress, silent
from model.data.ngram import NgramLoss
from model.fits import scored_tokens, too_short, unfit
from search.config.schema import StudyConfig
from search.errors import UserError
from search.files import provenance
from search.files.paths import cache_dir
from search.sampling.proposal import cannot_run


@dataclass(frozen=True)
class Problem:
    """The text, the loss (or error rate) that counting reaches on it, and how many validation tokens an
    evaluation scores."""

    corpus: Corpus
    ngram: NgramLoss
    validation_tokens: int

    def why_not(self, config: Mapping[str, Any], device_type: str) -> str | None:
        """Why a configuration cannot be trained on this text and such a device, or None."""
        return cannot_run(config, device_type) or unfit(RunConfig.from_mapping(config), self.corpus)

    def provenance(self, hardware: Mapping[str, Any], software: Mapping[str, Any]) -> dict[str, Any]:
        """What a number of this problem needs beside it to be compared."""
        return {
            "code": provenance.code(),
            "hardware": dict(hardware),
            "software": dict(software),
            "data": provenance.data(self.corpus, self.ngram, self.validation_tokens),
        }


def load_problem(
    config: StudyConfig, on_progress: OnProgress = silent, held_out: HeldOut = HeldOut.HALVES
) -> Problem:
    """Raises DataError or UserError where the text cannot be had or is too short for the evaluation."""
    corpus = load(config.data, cache_dir(), on_progress, held_out)
    context = config.evaluation.context
    if context % corpus.record_tokens:
        raise UserError(
            f"evaluation.context={context} must be a multiple of {corpus.record_tokens}, the length of a "
            f"record of data={corpus.name}; type evaluation.context={corpus.record_tokens}"
        )
    run = config.run_config()
    if problem := too_short(run, corpus):
        raise UserError(problem)
    tokens = scored_tokens(run, corpus)
    ngram = cached_best_ngram(
        corpus, tokens, cache_dir(), on_progress=on_progress, metric=config.target_metric
    )
    return Problem(corpus, ngram, tokens)

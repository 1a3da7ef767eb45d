"""`save=FOLDER`: the model of a run that was trained to its end, with all that is needed to use it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from model.data import KeptTokenizer
from model.gpt import GPT
from model.weights import to_bytes
from search.config.schema import StudyConfig
from search.errors import UserError
from search.files.paths import shown
from search.files.saved_model import RECIPE, RUN, TOKENIZER, WEIGHTS, write_model
from search.files.whole_file import FileError
from search.record.record import Record
from search.report.findings.recipes import recipe_of
from search.report.view.values import plain_value, redacted
from search.run.state import RunState
from search.run.stopping import Ending


class Saving:
    """Writes the model when it is called, within the run, and remembers what came of it."""

    def __init__(self, folder: Path, config: StudyConfig, tokenizer: KeptTokenizer) -> None:
        self._folder, self._tokenizer = folder, tokenizer
        self._recipe = recipe_of(config.run_values(), config.target, asdict(config))
        self._saved = False
        self._failure = ""

    def __call__(self, model: GPT, state: RunState, end: Ending) -> None:
        """A disk that refuses must not cost the run its record: it is said in `line` and `check`."""
        try:
            write_model(self._folder, self._files(model, state, end))
            self._saved = True
        except (FileError, MemoryError) as error:
            self._failure = str(error) or "there is no memory for a copy of the weights"

    def _files(self, model: GPT, state: RunState, end: Ending) -> dict[str, bytes]:
        recipe = redacted(yaml.safe_dump(self._recipe, sort_keys=False, allow_unicode=True))
        texts = {
            RECIPE: recipe,
            TOKENIZER: self._tokenizer.to_json() + "\n",
            RUN: json.dumps(identity(state, end), indent=1) + "\n",
        }
        return {WEIGHTS: to_bytes(model)} | {name: text.encode() for name, text in texts.items()}

    def line(self, record: Record) -> str:
        """What became of it, for a person; empty where `check` says it."""
        if self._saved:
            folder = quote(shown(self._folder))
            return f"saved in {folder}; to read what it writes, type: python -m search.sample {folder}"
        if self._failure:
            return ""
        why = record.reason if record.interrupted else f"the run {record.outcome} before its end"
        return f"nothing is saved: {why}"

    def check(self) -> None:
        """Raises UserError where the model could not be written."""
        if self._failure:
            raise UserError(f"the model is not saved: {self._failure}")


def identity(state: RunState, end: Ending) -> dict[str, Any]:
    """Which run a model is of, as it stands when the model is written. Its joules are in its record."""
    last, metric = state.curve[-1] if state.curve else None, state.request.metric
    facts: dict[str, Any] = plain_value(
        {
            "run_id": state.request.run_id,
            "outcome": end.outcome.value,
            metric.name: None if last is None else metric.shown(last.loss),
            metric.setting: metric.shown(target) if (target := state.request.target_loss) else None,
            "steps": state.progress.step,
            "tokens": state.progress.tokens,
            "parameters": state.request.parameters,
            "seed": state.request.config["seed"],
            "started_at": state.started_at,
            "provenance": state.request.provenance,
        }
    )
    return facts

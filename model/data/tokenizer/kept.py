"""What is kept of a tokenizer beside a trained model: enough to encode a prompt and to decode tokens."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class KeptTokenizer:
    """`label` and `vocabulary` are those of the tokenizer. `learnt` is what it learnt from its text, as it
    was written then; None where it learns nothing."""

    label: str
    vocabulary: tuple[str, ...]
    learnt: str | None = None

    @property
    def kind(self) -> str:
        """The row of `TOKENIZERS`, where there is one; not of data that is no text."""
        return self.label.partition("-")[0]

    def to_json(self) -> str:
        return json.dumps({"kind": self.kind} | asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> KeptTokenizer:
        """Raises ValueError for anything that `to_json` does not write."""
        body: Any = json.loads(text)
        if not isinstance(body, dict) or not isinstance(body.get("vocabulary"), list):
            raise ValueError("expected a vocabulary")
        label, learnt = body.get("label"), body.get("learnt")
        if not isinstance(label, str) or not isinstance(learnt, str | None):
            raise ValueError("expected a label, and what was learnt as text")
        return KeptTokenizer(label, tuple(map(str, body["vocabulary"])), learnt)

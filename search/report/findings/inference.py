"""What a token takes that the trained models generate, beside the baseline's, as rows of texts."""

from __future__ import annotations

from dataclasses import dataclass

from search.console.plural import counted
from search.record.inference import BatchInference, Inference
from search.record.record import Record
from search.report.findings import numbers
from search.report.findings.names import name_of
from search.report.view.data import StudyView

_NOTE = (
    "Each token is the likeliest one, in fp32 and with the kernels of an evaluation, whatever the run was "
    "trained with. The joules of the prompts are in those of the tokens. Training pays for none of it: it is "
    "a phase of its own in the ledger, and never counted."
)


@dataclass(frozen=True)
class InferenceRow:
    """One run at one batch size; `ratio` is to the baseline at the same one."""

    name: str
    best: bool
    batch: str
    energy: str
    ratio: str
    speed: str
    tokens: str


@dataclass(frozen=True)
class InferenceFindings:
    """No rows where no run that is shown has generated. `how` says what was generated."""

    rows: tuple[InferenceRow, ...]
    how: str
    note: str


def inference_findings(view: StudyView) -> InferenceFindings:
    shown = [(record, record.inference) for record in view.shown if record.inference is not None]
    rows = (_row(view, record, one) for record, found in shown for one in found.batches)
    return InferenceFindings(
        tuple(rows), _how(shown[0][1]) if shown else "", _note([one for _, one in shown])
    )


def inference_words(one: BatchInference) -> str:
    """`12.3 mJ a token at a batch of 1 (2,304 tokens in 1.02 s)`, or why it is not known."""
    where = f"at a batch of {one.batch_size:,}"
    if one.energy_j_per_token is None:
        return f"unknown {where}: {one.reason}"
    return f"{_energy(one)} a token {where} ({one.tokens:,} tokens in {numbers.quantity(one.time_s, 's')})"


def _row(view: StudyView, record: Record, one: BatchInference) -> InferenceRow:
    known = one.energy_j_per_token is not None
    return InferenceRow(
        name=name_of(view, record),
        best=record is view.best or record is view.best_without_lookup,
        batch=f"{one.batch_size:,}",
        energy=_energy(one) if known else f"unknown: {one.reason}",
        ratio=_ratio(view, record, one),
        speed=f"{one.tokens / one.time_s:,.0f}" if one.time_s > 0 else numbers.UNKNOWN,
        tokens=f"{one.tokens:,}",
    )


def _energy(one: BatchInference) -> str:
    """With its error where that can be seen in the digits shown."""
    assert one.energy_j is not None
    text = numbers.quantity(one.energy_j_per_token, "J")
    share = (one.energy_error_j or 0.0) / one.energy_j
    return f"{text} ± {100 * share:.2g} %" if share >= numbers.VISIBLE_ERROR else text


def _ratio(view: StudyView, record: Record, one: BatchInference) -> str:
    baseline = view.baseline
    if baseline is None or baseline is record or baseline.inference is None:
        return ""
    theirs = baseline.inference.at(one.batch_size)
    mine_j, theirs_j = one.energy_j_per_token, None if theirs is None else theirs.energy_j_per_token
    return "" if mine_j is None or not theirs_j else numbers.ratio(mine_j / theirs_j)


def _how(found: Inference) -> str:
    return f"{counted(found.tokens, 'token')} after a prompt of {found.prompt_tokens:,}, again and again"


def _note(found: list[Inference]) -> str:
    """With what was computed again, which makes a token dearer than it needs be."""
    text = _NOTE
    if any(one.recomputed for each in found for one in each.batches):
        text += (
            " Tokens beyond a model's context took a pass over all of it, since its window slides; "
            "inference.tokens=FEWER leaves that out."
        )
    uncached = dict.fromkeys(each.uncached for each in found if each.uncached)
    return text + "".join(f" No keys and values were kept where {why}." for why in uncached)

"""What a person sees while a study runs: a live line on a terminal, a line a trial anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from model.data import Corpus, unseen_share
from model.data.ngram import NgramLoss
from model.metric import LOSS, METRICS, Metric
from search.confirm.from_records import end_loss
from search.confirm.replicates import key_of_run
from search.console.plural import counted
from search.files.paths import shown
from search.record.confirmation import DOCUMENTED, FITTED
from search.record.meter_info import Kind
from search.record.objective import shown_values
from search.record.outcome import Outcome, Role
from search.record.prospect import Prospect
from search.record.record import Record
from search.record.unseen import MANY, unseen_words
from search.report.console import front_table
from search.report.findings import numbers
from search.report.findings.ablation import ablation_lines
from search.report.findings.advice import what_next
from search.report.findings.cost import cost_line
from search.report.findings.verdict import verdict_lines
from search.report.view.data import StudyView
from search.run.request import RunRequest
from search.worker.protocol import WorkerInfo

LARGE_BYTES = 20_000_000
PATIENCE_S = 3.0  # after so long, people wonder


class Watcher:
    """Prints to `console`; everything that comes from a configuration is escaped."""

    def __init__(self, console: Console, name: str, n_trials: int, metric: Metric = METRICS[LOSS]) -> None:
        self._console = console
        self._metric = metric
        self._name = name
        self._n_trials = n_trials
        self._live: Progress | None = None
        self._task = TaskID(0)
        self._trials: dict[str, str] = {}  # what runs now, by the name of the run
        self._known: set[str] = set()  # runs that were counted
        self._first: dict[str, int] = {}  # the first trial of a recipe
        self._done: list[float] = []
        self._counted = 0  # of the trials that budget.n_trials counts
        self._best: Record | None = None
        self._baseline: Record | None = None
        self._began_s = 0.0
        self._waiting_for = ""
        self._confirming = False
        self._loading: tuple[str, int] = ("", 0)
        self._opened_s = time.monotonic()

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    def note(self, text: str) -> None:
        """One line of plain text, however long."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def loading(self, what: str, done_bytes: int, total_bytes: int) -> None:
        """A line each tenth of a download or a preparation; small ones are done before anybody wonders."""
        tenth = 10 * done_bytes // total_bytes if total_bytes > 0 else 0
        slow = total_bytes >= LARGE_BYTES or time.monotonic() - self._opened_s > PATIENCE_S
        if slow and (what, tenth) != self._loading:
            self._loading = (what, tenth)
            share = f": {10 * tenth} % of {total_bytes / 1e6:,.0f} MB" if total_bytes > 0 else " ..."
            self.say(f"{escape(what)}{share}")

    def problem(
        self, corpus: Corpus, ngram: NgramLoss, target_loss: float | None, validation_tokens: int
    ) -> None:
        """The data, the target (None: the study looks for it) and what counting reaches."""
        per_token = corpus.validation_bytes_per_token
        metric = self._metric
        target = "to be found" if target_loss is None else numbers.loss_words(target_loss, per_token, metric)
        self.say(
            f"[bold]{escape(self._name)}[/]: {escape(corpus.name)}, {len(corpus.train):,} training tokens, "
            f"{corpus.vocab_size} symbols; target {target} on {validation_tokens:,} validation tokens"
        )
        capped = ngram.counted_tokens < len(corpus.train)
        counted_on = f" (counted on the first {ngram.counted_tokens:,})" if capped else ""
        reached = f"{numbers.loss_words(ngram.loss, per_token, metric)} on the same tokens"
        if ngram.order == 0:
            self.say(f"guessing reaches {reached}, counting n-grams{counted_on} does no better")
        else:
            self.say(f"counting {ngram.order}-grams reaches {reached}{counted_on}")
        self.say(metric.meaning)
        unseen = unseen_share(corpus, validation_tokens)
        if unseen > 0:
            self.say(f"{'[yellow]warning:[/] ' if unseen > MANY else ''}{unseen_words(unseen)}")
        if target_loss is not None:
            self.target(target_loss, ngram)

    def target(self, target_loss: float, ngram: NgramLoss) -> None:
        """A warning where no language model is needed."""
        if target_loss >= ngram.loss:
            metric = self._metric
            self.say(
                "[yellow]warning:[/] counting n-grams already reaches the target "
                f"{metric.shown(target_loss):g}, so no language model is needed; a claim needs a "
                f"{metric.either('lower', 'higher')} target (more train.max_steps, a larger model)"
            )

    def ready(self, info: WorkerInfo, left_out: Sequence[str], slow: Sequence[str]) -> None:
        meter = info.meter
        idle = "" if info.idle_power_w is None else f"; idle {info.idle_power_w:.1f} W"
        self.say(
            f"{escape(str(info.hardware['device']))}, meter {escape(meter.name)} "
            f"([bold]{meter.kind.value}[/]{idle}): {escape(meter.chosen_because)}"
        )
        for line in left_out:
            self.say(f"left out of the space: {escape(line)}")
        for line in slow:
            self.say(f"slow here: {escape(line)}")

    @contextmanager
    def watching(self, records: Sequence[Record]) -> Iterator[None]:
        """Live while the study runs."""
        for record in records:
            self._remember(record)
        if records:
            self.say(f"continuing after {counted(len(records), 'finished trial')}")
        self._began_s = time.monotonic()
        if not self._console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
        live = Progress(*columns, TextColumn("{task.fields[left]}"), console=self._console, transient=True)
        with live:
            self._live = live
            self._task = live.add_task("starting", total=self._n_trials, completed=self._counted, left="")
            try:
                yield
            finally:
                self._live = None

    def begin(self, run: RunRequest) -> None:
        trial = f"trial {run.trial}" + (f" ({run.role})" if run.role is not Role.SEARCH else "")
        if run.confirmation is not None and not self._confirming:
            self._confirming = True
            self.say(
                "now the best is confirmed: its length is fitted, and it runs beside the baseline with fresh "
                "seeds"
            )
        if run.confirmation is not None:
            trial = f"{run.role} {run.confirmation.arm}"
        self._trials[run.run_id] = trial
        self._show(trial)

    def progress(self, run: RunRequest, partial: Record) -> None:
        spent = "? J" if partial.counted_energy_j is None else f"{partial.counted_energy_j:.1f} J"
        best = self._best
        against = (
            ""
            if best is None
            else f" (best {best.values['energy_to_target_j']:.1f} J)"
            if ("energy_to_target_j" in best.values)
            else ""
        )
        loss = "-" if not partial.curve else f"{partial.metric.shown(partial.curve[-1].loss):.3f}"
        kind = partial.meter.kind.value
        self._show(
            f"{self._trials.get(run.run_id, '')}: step {partial.steps}, {partial.metric.name} {loss}, "
            f"{spent} {kind}{against}"
        )

    def waiting(self, run: RunRequest | None, what: str) -> None:
        """A run, or None the whole study."""
        if what != self._waiting_for:
            self._waiting_for = what
            whose = self._name if run is None else self._trials.get(run.run_id, "")
            self.say(f"{escape(whose)}: waiting for {escape(what)}")

    def finished(self, record: Record) -> None:
        self._trials.pop(record.run_id, None)
        self._remember(record)
        self._done.append(time.monotonic())
        if record.confirmation is not None:
            self.note(confirmation_line(record))
            return
        told = _what_it_took(record)
        flags = f" [yellow]{escape(', '.join(record.flags))}[/]" if record.flags else ""
        self.say(
            f"trial {record.trial} ({self._what(record)}) {record.outcome}: {escape(told)}"
            f"{self._against_baseline(record)}{flags}"
        )
        if self._live is not None:
            self._live.update(self._task, completed=self._counted, left=self._time_left())

    def ran_elsewhere(self, record: Record) -> None:
        """Another process of the study has recorded it."""
        self._remember(record)
        if self._live is not None:
            self._live.update(self._task, completed=self._counted)

    def stopping(self) -> None:
        running = "the running trial" if len(self._trials) < 2 else "the running trials"
        self.say(f"[yellow]finishing {running}, then the report; Ctrl-C again stops now[/]")

    def stopped_now(self, folder: Path) -> None:
        self.say(
            "stopped; nothing finished is lost. The same command continues the study; "
            f"python -m search.report {escape(shown(folder))} draws what there is"
        )

    def budget_spent(self, spent_j: float, limit_j: float, kind: Kind) -> None:
        self.say(f"the study's energy budget is spent: {spent_j:.1f} J ({kind.value}) of {limit_j:g} J")

    def time_spent(self, spent_s: float, limit_s: float) -> None:
        self.say(f"the study's time budget is spent: {spent_s:.1f} s of runs, of {limit_s:g} s")

    def not_worth(self, expected: Prospect | None, kind: Kind) -> None:
        assert expected is not None
        self.say(
            f"the search ends here: one more trial is expected to save {expected.saving_j:.3g} J a run and "
            f"to cost {expected.cost_j:.3g} J ({kind.value}), so it pays from {expected.uses_to_pay:,.0f} "
            f"runs on; {expected.improvements} of the last {expected.trials} trials were better than before"
        )

    def exhausted(self) -> None:
        self.say("every configuration of the space that could be found was tried: the study ends here")

    def confirms_elsewhere(self, device: str) -> None:
        self.note(
            f"the confirmation was begun on {device}, and its runs only compare on one device: type the same "
            "command there to go on with it, or study.on_change=allow to go on with it here"
        )

    def found_target(self, target_loss: float, ended_at: float, ngram: NgramLoss) -> None:
        metric = self._metric
        target = metric.either(f"{target_loss:g} nats per token", f"{metric.shown(target_loss):g}")
        ends_at = f"{metric.either('', 'an accuracy of ')}{metric.shown(ended_at):.4f}"
        self.say(f"the baseline ends at {ends_at}: the target is {target}")
        self.target(target_loss, ngram)

    def no_target(self, record: Record) -> None:
        self.say(
            f"[red]{self._metric.setting}=auto needs the baseline's whole schedule, and it did not come to "
            f"its end:[/] {escape(record.reason)}; type {self._metric.setting}=NUMBER, or raise what ended it"
        )

    def baseline_failed(self, record: Record) -> None:
        self.say(f"[red]the baseline has no result, so nothing can be compared:[/] {escape(record.reason)}")

    def report(self, folder: Path, page: Path, view: StudyView) -> None:
        """At the end: the front, the verdict, what the search cost, where the report is."""
        self._console.print(front_table(view))
        for line in verdict_lines(view):
            self.note(line)
        self.say(escape(cost_line(view)))
        for line in ablation_lines(view):
            self.note(line)
        if line := what_next(view, shown(folder)):
            self._console.print(escape(line), highlight=False, soft_wrap=True)
        self._console.print(f"report: {escape(shown(page))}", highlight=False, soft_wrap=True)

    def _show(self, description: str) -> None:
        if self._live is not None:
            self._live.update(self._task, description=description)

    def _remember(self, record: Record) -> None:
        if record.run_id in self._known:
            return
        self._known.add(record.run_id)
        again = record.role is Role.BASELINE and self._baseline is not None and self._baseline.feasible
        self._counted += record.role is not Role.TARGET and not again and not record.role.confirms
        if record.role.confirms:
            return
        if record.role is Role.BASELINE and not record.interrupted:
            self._baseline = record
        if record.role is Role.SEARCH and not record.interrupted:
            self._first.setdefault(key_of_run(record), record.trial)
        if record.feasible and (self._best is None or _first(record) < _first(self._best)):
            self._best = record

    def _what(self, record: Record) -> str:
        first = self._first.get(key_of_run(record)) if record.role is Role.SEARCH else None
        again = first is not None and first != record.trial and not record.interrupted
        return f"trial {first} again, another seed" if again else record.role

    def _against_baseline(self, record: Record) -> str:
        baseline = self._baseline
        if baseline is None or baseline is record or not (baseline.feasible and record.feasible):
            return ""
        return f", {_first(record) / _first(baseline):.2f} of the baseline's"

    def _time_left(self) -> str:
        each_s = (time.monotonic() - self._began_s) / max(1, len(self._done))
        left_s = each_s * max(0, self._n_trials - self._counted)
        if not left_s:
            return "the baseline again"
        return f"about {left_s / 60:.0f} min left" if left_s > 90 else f"about {left_s:.0f} s left"


def _what_it_took(record: Record) -> str:
    """What a run cost or why it ended; the kind of its joules where there are joules in it."""
    kind = f" ({record.meter.kind.value})" if "energy_to_target_j" in record.spent else ""
    if record.outcome is Outcome.REACHED:
        return f"{shown_values(record.values)}{kind}"
    if record.outcome is not Outcome.OUT_OF_BUDGET or record.best_loss is None:
        return f"{record.reason}{kind if record.outcome is Outcome.DOMINATED else ''}"
    spent = f"spent {shown_values(record.spent)}{kind}"
    return f"{record.reason}; best {record.metric.name} {record.metric.text(record.best_loss)}, {spent}"


_ARMS = {DOCUMENTED: "the baseline", FITTED: "the baseline at its fitted length"}


def confirmation_line(record: Record) -> str:
    """One run of the confirmation: whose recipe, how long, with which seed, what it ended at and cost."""
    place, loss = record.confirmation, end_loss(record)
    assert place is not None
    if record.role is Role.FIT:
        what = f"fit {'the baseline' if place.arm == FITTED else place.arm}"
    else:
        what = f"confirm {_ARMS.get(place.arm, place.arm)}, round {place.round + 1}"
    what += f" (again, {place.attempt})" if place.attempt else ""
    ended = record.reason if loss is None else f"{record.metric.name} {record.metric.text(loss)} at the end"
    energy = "? J" if record.counted_energy_j is None else numbers.quantity(record.counted_energy_j, "J")
    flags = f", {', '.join(record.flags)}" if record.flags else ""
    return (
        f"{what}: {record.max_steps} steps, seed {record.seed}: {ended}, {energy} "
        f"({record.meter.kind.value}){flags}"
    )


def _first(record: Record) -> float:
    return next(iter(record.values.values()))

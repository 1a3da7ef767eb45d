"""The trials of `study.prior` that teach this study's sampler, and their copy in its folder.

They are read once, when the study is begun (or a folder is added): a study of before that grows meanwhile
would otherwise teach a continued study what an uninterrupted one never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from search.console.plural import counted
from search.files.paths import absolute
from search.files.prior import kept_prior
from search.files.records import as_line, read_records
from search.files.whole_file import write_atomically
from search.record.prior import PriorStudy
from search.record.record import Record
from search.sampling.prior import Problem, Taught, taught
from search.study.search_settings import SearchSettings

FILE = "prior-trials.jsonl"


def teaching_trials(
    folder: Path,
    prior: Mapping[str, PriorStudy],
    settings: SearchSettings,
    meter_kind: str,
    note: Callable[[str], None],
) -> tuple[Record, ...]:
    """Call it before `keep_prior`, which writes down what was read. `note` gets a line for each study that is
    new: how many trials of it teach, or why none does. Raises UserError or FileError."""
    known, path = kept_prior(folder), folder / FILE
    kept = read_records(path)[0] if path.exists() else []
    found = [record for record in kept if record.study in prior]
    for name in prior:
        if name not in known:
            lesson = _taught_by(name, settings, meter_kind)
            note(_words(name, lesson))
            found += [replace(record, study=name) for record in lesson.records]
    if found != kept:
        write_atomically(path, "".join(f"{as_line(record)}\n" for record in found))
    return tuple(found)


def _taught_by(name: str, settings: SearchSettings, meter_kind: str) -> Taught:
    config, target_loss = settings.config, settings.target_loss(())
    records = absolute(name) / "records.jsonl"
    if not records.is_file():
        return Taught((), 0, "its folder has no records.jsonl")
    if target_loss is None:
        return Taught((), 0, "this study's target is still to be found")
    problem = Problem(
        target_loss=target_loss,
        data=settings.provenance.get("data", {}),
        context=config.evaluation.context,
        counted_phases=config.counted_phases.value,
        meter_kind=meter_kind,
        objectives=tuple(config.objective.names),
        metric=config.metric,
    )
    return taught(read_records(records)[0], problem, settings.space, settings.key_of)


def _words(name: str, lesson: Taught) -> str:
    if lesson.reason:
        return f"study.prior: {name} teaches the sampler nothing: {lesson.reason}"
    trials = counted(lesson.trials, "trial")
    return f"study.prior: {len(lesson.records)} of {trials} of {name} lie in this space and teach the sampler"

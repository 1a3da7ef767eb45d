"""What must not change when a study continues, because its numbers would no longer compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.config import RunConfig, with_current_keys
from model.data import Corpus, HeldOut
from search.config.schema import StudyConfig
from search.errors import UserError
from search.files.paths import shown
from search.record.meter_info import settings_of_model
from search.record.objective import INFERENCE, known_early
from search.record.outcome import Role
from search.record.record import Record
from search.sampling.samplers import SamplerSection, with_current_name
from search.space.model import Space
from search.space.paths import differences
from search.study.mirror import Mirror
from search.worker.protocol import WorkerInfo

# How much of what changed a message shows.
CHANGES_SHOWN = 4
CHANGE_LENGTH = 120


def identity(
    config: StudyConfig,
    space: Space,
    corpus: Corpus,
    validation_tokens: int,
    info: WorkerInfo,
    shared: bool = False,
) -> dict[str, Any]:
    """As plain JSON values. In a study that is `shared` by machines, device and meter may differ: the joules
    of each kind are then kept apart."""
    meter: dict[str, Any] = {"counted_phases": config.counted_phases.value}
    if not shared:
        meter |= {"name": info.meter.name, "settings": settings_of_model(info.meter.settings)}
    facts = {
        config.metric.setting: _target_words(config),
        "space": space.describe(),
        "baseline": {key: value for key, value in config.run_values().items() if key != "seed"},
        "objectives": list(config.objective.names),
        "study_seed": config.study.seed,
        "sampler": asdict(config.sampler),
        "data_sha256": corpus.sha256,
        "tokenizer": corpus.tokenizer,
        "held_out": corpus.held_out.value,
        "validation_tokens": validation_tokens,
        "meter": meter,
        "threads": config.device.threads,
    }
    if INFERENCE in config.objective.names:
        section = config.inference
        facts["inference"] = {"prompt_tokens": section.prompt_tokens, "tokens": section.tokens}
    if not shared:
        facts["device"] = {"name": info.hardware["device"]}
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def held_out_of(records: Sequence[Record], written: Any) -> HeldOut:
    """How the held-out part was divided when the study was begun, which it keeps.

    Its first record that knows its data says so, or, where no run has ended yet, what was `written` down of
    the study. A study that is only begun now has halves.
    """
    known = [data for record in records if isinstance(data := record.provenance.get("data"), Mapping)]
    said = known[0] if known else written if isinstance(written, Mapping) and not records else {}
    if not said and not records:
        return HeldOut.HALVES
    return HeldOut.HALVES if said.get("held_out") == HeldOut.HALVES else HeldOut.WHOLE


def is_auto(config: StudyConfig) -> bool:
    return isinstance(config.target, str)


def _target_words(config: StudyConfig) -> float | str:
    """As it is typed."""
    target = config.target
    return f"auto + {config.target_margin:g}" if isinstance(target, str) else config.metric.shown(target)


def check_records(
    ours: Mapping[str, Any], written: Any, records: Sequence[Record], path: Path, target_loss: float | None
) -> None:
    """Raises UserError where a study was begun with other settings, or its file holds records of another.

    `written` is what was written down of it beside them. It may be lost, or of a version before; each record
    says enough by itself. `target_loss` is the number that it must have, which the study may have found.
    """
    if records and written and isinstance(written, Mapping):
        _refuse_changes(f"study {records[-1].study!r}", ours, of_this_version(written))
    for record in records:
        theirs = of_this_version(json.loads(json.dumps(begun_with(record))))
        part = known_part({**_known_of(ours, record), **_target_of(record, target_loss)}, theirs)
        _refuse_changes(f"trial {record.trial} of {shown(path)}", part, theirs)


def check_storage(mirror: Mirror, read_records: Callable[[], Sequence[Record]], path: Path) -> None:
    """Raises UserError where the study there is not this one, or its records are lost. They are read after
    the storage: another process may record a run and tell it meanwhile, in this order."""
    theirs = mirror.known_identity()
    if theirs is not None:
        place = f"study {mirror.name!r} in {mirror.place}"
        _refuse_changes(place, mirror.identity, of_this_version(theirs))
    finished = mirror.finished()
    if finished and not read_records():
        trials = "a finished trial" if finished == 1 else f"{finished} finished trials"
        raise UserError(
            f"{shown(path)} holds no runs, and {mirror.place} {trials} of study {mirror.name!r}; put the "
            "file back, or type study.name=OTHER for a new study"
        )


def begun_with(record: Record) -> dict[str, Any]:
    """What a record says of its study's identity; parts that it does not know are left out."""
    data, hardware = record.provenance.get("data", {}), record.provenance.get("hardware", {})
    meter = record.meter
    facts: dict[str, Any] = {
        "meter": {
            "name": meter.name,
            "counted_phases": record.counted_phases.value,
            "settings": settings_of_model(meter.settings),
        },
    }
    if record.role is not Role.TARGET:
        facts |= _target_of(record, record.target_loss)
    names = {"sha256": "data_sha256"}
    for key in ("sha256", "tokenizer", "held_out", "validation_tokens"):
        if key in data:
            facts[names.get(key, key)] = data[key]
    if "device" in hardware:
        facts["device"] = {"name": hardware["device"]}
    if record.spent:
        facts["objectives"] = list(record.spent)
    if record.role is Role.BASELINE:
        facts["baseline"] = {key: value for key, value in record.config.items() if key != "seed"}
    return facts


def _known_of(ours: Mapping[str, Any], record: Record) -> dict[str, Any]:
    """Our identity without the objectives that a run which missed its target does not have."""
    if "objectives" not in ours:
        return dict(ours)
    names = [name for name in ours["objectives"] if name in record.spent or known_early([name])]
    return {**ours, "objectives": names}


def _target_of(record: Record, target_loss: float | None) -> dict[str, float | None]:
    """A target by the key and in the unit of the record's metric; of a study with another one, it is another
    target whatever its value."""
    metric = record.metric
    return {metric.setting: None if target_loss is None else metric.shown(target_loss)}


def known_part(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of our identity that the other one knows too."""
    return {
        key: known_part(value, theirs[key])
        if isinstance(value, Mapping) and isinstance(theirs[key], Mapping)
        else value
        for key, value in ours.items()
        if key in theirs
    }


def of_this_version(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """An identity that any version wrote, with the keys of this one. A setting of the baseline or the sampler
    that is new in this version has its default; one that does not say how the held-out part was divided left
    it whole. Versions before knew a device by its own name, this one by its kind."""
    theirs = {**theirs}
    if isinstance(theirs.get("device"), Mapping):
        theirs["device"] = {"name": theirs["device"].get("name")}
    meter = theirs.get("meter")
    if isinstance(meter, Mapping) and isinstance(meter.get("settings"), Mapping):
        theirs["meter"] = {**meter, "settings": settings_of_model(meter["settings"])}
    if "data_sha256" in theirs:
        theirs = {"held_out": HeldOut.WHOLE.value, **theirs}
    if isinstance(theirs.get("sampler"), Mapping):
        theirs = {**theirs, "sampler": with_current_name({**asdict(SamplerSection()), **theirs["sampler"]})}
    if not isinstance(theirs.get("baseline"), Mapping):
        return dict(theirs)
    defaults, written = asdict(RunConfig()), with_current_keys(theirs["baseline"])
    if "train" in written:  # versions before left their GPUs as they were, and had no word for it
        written = {"device": {}, **written}
    baseline = {"target_metric": defaults["target_metric"]} | {
        part: {**defaults[part], **value} if isinstance(value, Mapping) and part in defaults else value
        for part, value in written.items()
    }
    return {**theirs, "baseline": baseline}


def _refuse_changes(what: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    meter = ours.get("meter")
    if (
        isinstance(meter, Mapping) and "name" not in meter
    ):  # machines share it, whose devices and meters differ
        theirs = {key: value for key, value in theirs.items() if key != "device"}
        theirs["meter"] = known_part(theirs.get("meter", {}), meter)
    if ours != theirs:
        changes = [change[:CHANGE_LENGTH] for change in differences(ours, theirs)]
        if len(changes) > CHANGES_SHOWN:
            changes[CHANGES_SHOWN:] = [f"{len(changes) - CHANGES_SHOWN} more"]
        raise UserError(
            f"{what} was begun with other settings ({'; '.join(changes)}); "
            "type study.name=OTHER for a new one, or put them back"
        )

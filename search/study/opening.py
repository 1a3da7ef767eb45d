"""Opening a study: its records, storage and exchange, checked to be of this study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from model.data.held_out import HeldOut
from search.config.schema import REFUSE, StudyConfig
from search.files.paths import reports_dir
from search.files.provenance import uncommitted
from search.record.outcome import Role
from search.record.record import Record
from search.record.stratum import place_of
from search.study.changed_code import check_code
from search.study.exchange import exchange_of
from search.study.folder import StudyFolder
from search.study.identity import check_records, check_storage, identity
from search.study.mirror import Mirror
from search.study.problem import Problem
from search.study.progress import Watcher
from search.study.search_settings import SearchSettings
from search.study.seats import Seat
from search.study.secrets import without_secret
from search.study.shared import SharedStudy
from search.worker.protocol import WorkerInfo


def open_study(
    folder: StudyFolder,
    seat: Seat,
    settings: SearchSettings,
    problem: Problem,
    info: WorkerInfo,
    watcher: Watcher,
) -> SharedStudy:
    """The study's records and storage, checked to be of this study. Raises UserError where they are not."""
    config, space = settings.config, settings.space
    exchange = exchange_of(config.storage, config.study.name, watcher.note, config.budget.lease_s)
    here = folder.read_records()
    records = [*here, *exchange.lacking({record.run_id for record in here})]
    ours = identity(config, space, problem.corpus, problem.validation_tokens, info, exchange.is_shared)
    own = settings.own(records)
    check_records(ours, folder.read_identity(), records, folder.records_file, settings.target_loss(own))
    note = check_code(settings.provenance, own, config.study.name, config.study.on_change)
    if note is not None:
        watcher.note(note)
    mirror = Mirror.open(
        config.storage, folder.path, config.study.name, config.objective.names, ours, space, watcher.note
    )
    check_storage(mirror, lambda: folder.read_records() or exchange.lacking(set()), folder.records_file)
    folder.write_settings(shown_config(config), ours)
    exchange.keep_config(shown_config(config))
    _keep_uncommitted(folder, settings, watcher)
    if other := baseline_elsewhere(own, settings):
        watcher.note(other)
    if problem.corpus.held_out is HeldOut.WHOLE:
        watcher.note(
            "begun before the held-out part was halved: it goes on with all of it for validation, and has no "
            "test part"
        )
    if records and records[-1].study != config.study.name:
        watcher.note(f"begun as study {records[-1].study!r}; it continues as {config.study.name!r}")
    shared = SharedStudy(folder, seat, exchange, here, mirror, watcher, settings.is_own)
    mirror.others, mirror.read_records = lambda: shared.others, shared.read_records
    mirror.rebuilding = lambda: seat.locked(".rebuilding")
    shared.read_records()
    return shared


def _keep_uncommitted(folder: StudyFolder, settings: SearchSettings, watcher: Watcher) -> None:
    sha256 = settings.provenance["code"]["git_diff_sha256"]
    if sha256 is not None and (note := folder.keep_diff(uncommitted(), sha256)):
        watcher.note(note)


def shown_config(config: StudyConfig) -> Mapping[str, Any]:
    """The configuration as it may be written down: no password, the folder of reports in full, and what was
    allowed this once not allowed for good."""
    reports = None if config.reports is None else str(reports_dir(config.reports))
    shown = asdict(config)
    shown["study"]["on_change"] = REFUSE
    return shown | {"storage": without_secret(config.storage), "reports": reports}


def baseline_elsewhere(records: Sequence[Record], settings: SearchSettings) -> str | None:
    """A line where the baseline was trained by another device of this kind."""
    baseline = next((record for record in records if record.role is Role.BASELINE), None)
    if baseline is None:
        return None
    shared = settings.stratum is not None
    here, there = place_of(settings.provenance, shared), place_of(baseline.provenance, shared)
    if here is None or there is None or here == there:
        return None
    return (
        f"the baseline was trained on {there}, and this is {here}: two devices of one kind can differ by a "
        "few per cent, so ratios of the search are less certain; the confirmation runs on one of them"
    )

"""A study of made-up runs and its mirror in Optuna's storage."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from records_factory import make_record
from sqlalchemy import NullPool

from search.config.schema import StudyConfig
from search.record.ledger import CountedPhases
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.run.request import RunRequest
from search.space.parse import parse_space
from search.study.mirror import Mirror
from search.study.recovery import NO_NUMBER, disagreement

NAMES = ("energy_to_target_j", "time_to_target_s")
SPACE = parse_space(
    {
        "optimizer.lr": {"type": "float", "low": 0.1, "high": 0.9, "step": 0.1},
        "train.batch_size": {"type": "categorical", "choices": [4, 8]},
    },
    StudyConfig().run_values(),
)
IDENTITY: dict[str, Any] = {"target_loss": 2.3, "space": SPACE.describe()}
OUTCOMES = [
    *(Outcome.REACHED, Outcome.OUT_OF_BUDGET, Outcome.DOMINATED, Outcome.DIVERGED, Outcome.CRASHED),
    *(Outcome.UNMEASURED, Outcome.REACHED),
]


@dataclass
class Study:
    """A study whose runs are made up: what the loop does with its mirror, and nothing else."""

    folder: Path
    names: tuple[str, ...] = NAMES
    records: list[Record] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mirror = self.opened()

    def opened(self) -> Mirror:
        return Mirror.open("auto", self.folder, "a study", self.names, IDENTITY, SPACE, self.said.append)

    def resume(self) -> None:
        self.mirror.close()
        self.mirror = self.opened()
        self.mirror.reconcile(self.records)

    def request(self, **fields: Any) -> RunRequest:
        count = len(self.records)
        made: dict[str, Any] = {
            "study": "a study",
            "trial": NO_NUMBER,
            "run_id": f"run-{count}",
            "role": Role.SEARCH,
            "params": {"optimizer.lr": (count % 9 + 1) / 10, "train.batch_size": 4},
            "config": {},
            "target_loss": 2.3,
            "objectives": self.names,
            "counted_phases": CountedPhases.COMPILE_TRAIN,
            "vocab_size": 65,
        }
        return RunRequest(**(made | fields))

    def begin(self, **fields: Any) -> RunRequest:
        run = self.request(**fields)
        return replace(run, trial=self.mirror.begin(run, self.records))

    def end(self, run: RunRequest, outcome: Outcome = Outcome.REACHED) -> Record:
        record = made_up(run, outcome, energy_j=5.0 + len(self.records), names=self.names)
        self.records.append(record)
        self.mirror.tell(record, self.records)
        return record

    def run(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self.end(self.begin(), outcome)

    def trials(self) -> list[FrozenTrial]:
        """As somebody else reads them."""
        return self.storage.get_trials()

    def agrees(self) -> bool:
        return disagreement(self.records, self.trials()) == ""

    @property
    def storage(self) -> optuna.Study:
        """Opened anew each time, and without a pool, which would keep its connections."""
        url = f"sqlite:///{self.folder / 'study.db'}"
        backend = RDBStorage(url, engine_kwargs={"poolclass": NullPool})
        return optuna.load_study(study_name="a study", storage=backend)


def made_up(run: RunRequest, outcome: Outcome, energy_j: float, names: tuple[str, ...] = NAMES) -> Record:
    record = make_record(
        run.trial,
        energy_j=energy_j,
        outcome=outcome,
        params=dict(run.params),
        run_id=run.run_id,
        role=run.role,
        index=run.trial,
    )
    return replace(
        record,
        values={name: record.values[name] for name in names if name in record.values},
        spent={name: record.spent[name] for name in names if name in record.spent},
    )

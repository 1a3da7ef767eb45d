"""What decides a study's next run, apart from what has run; and the request for a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from search.config.schema import StudyConfig
from search.record.late import each_run_once
from search.record.outcome import Role
from search.record.record import Record
from search.record.stratum import Stratum, stratum_of
from search.record.target import TO_THE_END, target_of
from search.run.request import RunRequest
from search.sampling.ask import Proposal
from search.sampling.history import drawn_trial
from search.sampling.proposal import WhyNot, cannot_run
from search.space.canonical import config_key
from search.space.model import Space
from search.study.recovery import NO_NUMBER

# A configuration whose run was interrupted is tried this often in all.
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class FirstRecipe:
    """A recipe to try before anything else: a person's name for it, and its values on this problem."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class SearchSettings:
    """`why_not` says why a configuration cannot be trained here, on this text, or None; `provenance` goes
    into every record. `only_confirm`: no trial is begun any more, and of the budgets of joules only that of
    the confirmation counts. `first`: recipes to try before anything else; `prior`: records of other studies
    that teach the sampler. `stratum`: of this process's device and meter, whose joules alone compare; None
    where all do."""

    config: StudyConfig
    space: Space
    vocab_size: int
    why_not: WhyNot = cannot_run
    provenance: Mapping[str, Any] = field(default_factory=dict)
    only_confirm: bool = False
    first: tuple[FirstRecipe, ...] = ()
    prior: tuple[Record, ...] = ()
    stratum: Stratum | None = None
    # Keys and trials that were worked out already, by run, with what they are of: at a thousand trials they
    # take longer than the sampler.
    _keys: dict[str, tuple[Mapping[str, Any], str]] = field(default_factory=dict, compare=False, repr=False)
    _trials: dict[str, tuple[Record, FrozenTrial]] = field(default_factory=dict, compare=False, repr=False)
    _own: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    def own(self, records: Sequence[Record]) -> list[Record]:
        """Those that decide what this process does: of its own stratum, each run once."""
        return each_run_once([record for record in records if self.is_own(record)])

    def is_own(self, record: Record) -> bool:
        """Whether its joules compare with those of this process."""
        if self.stratum is None:
            return True
        if record.run_id not in self._own:
            self._own[record.run_id] = stratum_of(record.provenance, record.meter) == self.stratum
        return self._own[record.run_id]

    def key_of(self, config: Mapping[str, Any]) -> str:
        return config_key(config, self.vocab_size)

    def key_of_run(self, record: Record) -> str:
        """`key_of` the run's configuration."""
        known = self._keys.get(record.run_id)
        if known is None or known[0] is not record.config:
            known = self._keys[record.run_id] = (record.config, self.key_of(record.config))
        return known[1]

    def trial_of_run(self, record: Record) -> FrozenTrial:
        """`drawn_trial` of the run; not to be changed."""
        known = self._trials.get(record.run_id)
        if known is None or known[0] is not record:
            known = self._trials[record.run_id] = (record, drawn_trial(record, self.space))
        return known[1]

    def target_loss(self, records: Sequence[Record]) -> float | None:
        """The loss to reach, None until it is found."""
        return target_of(self.config.target, self.config.target_margin, records)

    def request(
        self,
        role: Role,
        proposal: Proposal,
        values: Mapping[str, Any],
        records: Sequence[Record],
        again: Record | None,
    ) -> RunRequest:
        """A run of the configuration `values`, which has no name and no trial's number yet. `again`: the run
        that was interrupted, where this is another attempt."""
        target_loss = self.target_loss(records)
        return RunRequest(
            study=self.config.study.name,
            trial=NO_NUMBER,
            run_id="",
            role=role,
            params=proposal.params,
            config=values,
            target_loss=TO_THE_END if role is Role.TARGET or target_loss is None else target_loss,
            objectives=tuple(self.config.objective.names),
            counted_phases=self.config.counted_phases,
            vocab_size=self.vocab_size,
            system_attrs=proposal.system_attrs,
            limits=self.config.limits(),
            retry_of=again.trial if again is not None else None,
            provenance=self.provenance,
            inference=self.config.inference_plan(role),
        )

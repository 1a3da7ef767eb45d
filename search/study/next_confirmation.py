"""What a study runs after its search, to confirm the best: a pure function of its records and settings.

First the lengths of the candidates and of the baseline are fitted, then all run beside each other with fresh
seeds until the verdict is decided (`search.confirm`). Where the best saves and `confirm.ablate` asks for it,
each group of its levers is put back, fitted and run beside it (`search.confirm.ablated_arms`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from search.config.schema import ALLOW
from search.confirm.ablated_arms import AblationState, ablation_state
from search.confirm.length import at_length
from search.confirm.state import ConfirmationState, NextRecipe, confirmation_state
from search.record.confirmation import Purpose
from search.record.outcome import Role
from search.record.record import Record
from search.record.stratum import place_of
from search.run.request import RunRequest
from search.sampling.ask import Proposal
from search.sampling.proposal import derived_seed
from search.study.budget import spent_j
from search.study.search_settings import SearchSettings

# The parts of a seed that set these runs apart from proposals and from each other.
SEED_OF_FIT = 2_000_000
SEED_OF_CONFIRMATION = 3_000_000
SEED_OF_ABLATED_FIT = 4_000_000
SEED_OF_ABLATION = 5_000_000
_SEEDS = {
    (Role.FIT, Purpose.CONFIRM): SEED_OF_FIT,
    (Role.CONFIRM, Purpose.CONFIRM): SEED_OF_CONFIRMATION,
    (Role.FIT, Purpose.ABLATE): SEED_OF_ABLATED_FIT,
    (Role.CONFIRM, Purpose.ABLATE): SEED_OF_ABLATION,
}
# Rounds of one set of candidates are fewer than these.
_ROUNDS = 1_000


def next_confirmation(records: Sequence[Record], settings: SearchSettings) -> RunRequest | None:
    """None where there is nothing to confirm, the verdict is decided, or the budget is spent."""
    limit_j = settings.config.budget.study_energy_j
    if limit_j is not None and not settings.only_confirm and spent_j(records) >= limit_j:
        return None
    state = state_of(records, settings)
    if state is None:
        return None
    upcoming = state.next
    if upcoming is None:
        ablation = ablation_of(state, records, settings)
        upcoming = None if ablation is None else ablation.next
    if upcoming is None:
        return None
    return _request(upcoming, fresh_seed(state, upcoming, records, settings), records, settings)


def confirms_elsewhere(records: Sequence[Record], settings: SearchSettings) -> str | None:
    """The device that the confirmation was begun on, where that is another one than this process's: its runs
    are compared closely, so one device makes all of them. None where it may go on here."""
    shared = settings.stratum is not None
    here = place_of(settings.provenance, shared)
    places = (place_of(record.provenance, shared) for record in reversed(records) if record.role.confirms)
    last = next((place for place in places if place is not None), None)
    allowed = settings.config.study.on_change == ALLOW
    return None if allowed or here is None or last == here else last


def state_of(records: Sequence[Record], settings: SearchSettings) -> ConfirmationState | None:
    target_loss = settings.target_loss(records)
    if target_loss is None:
        return None
    config = settings.config
    return confirmation_state(
        records,
        config.objective.names,
        target_loss,
        config.confirm,
        config.study.seed,
        settings.key_of_run,
    )


def ablation_of(
    state: ConfirmationState, records: Sequence[Record], settings: SearchSettings
) -> AblationState | None:
    target_loss = settings.target_loss(records)
    assert target_loss is not None
    confirm, study_seed = settings.config.confirm, settings.config.study.seed
    return ablation_state(records, state, target_loss, confirm, study_seed, settings.why_not)


def fresh_seed(
    state: ConfirmationState, upcoming: NextRecipe, records: Sequence[Record], settings: SearchSettings
) -> int:
    """All arms of a round have the same. Nothing else of the study has used it: not the search, and of the
    fits only those that share its number."""
    place, study_seed = upcoming.place, settings.config.study.seed
    part = _SEEDS[upcoming.role, place.purpose]
    index = place.round
    if upcoming.role is Role.CONFIRM:
        ablates = place.purpose is Purpose.ABLATE
        index += _ROUNDS * (place.candidates[0] if ablates else state.number)
    alike = (upcoming.role, place.purpose)
    used = {record.seed for record in records if _kind_of_run(record) != alike} | {settings.config.seed}
    candidates = (derived_seed(study_seed, index + _ROUNDS**2 * again, part) for again in count())
    return next(seed for seed in candidates if seed not in used)


def _kind_of_run(record: Record) -> tuple[Role, Purpose | None]:
    return record.role, None if record.confirmation is None else record.confirmation.purpose


def _request(
    upcoming: NextRecipe, seed: int, records: Sequence[Record], settings: SearchSettings
) -> RunRequest:
    values = at_length(upcoming.recipe.config, upcoming.steps) | {"seed": seed}
    cut_off = [
        r for r in records if r.interrupted and (r.role, r.confirmation) == (upcoming.role, upcoming.place)
    ]
    request = settings.request(upcoming.role, Proposal({}), values, records, cut_off[-1] if cut_off else None)
    return replace(request, confirmation=upcoming.place, to_the_end=True)

"""What a study runs after its search, to confirm the best: a pure function of its records and settings.

First the lengths of the candidates and of the baseline are fitted, then all run beside each other with fresh
seeds until the verdict is decided (`search.confirm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import count

from search.confirm.length import at_length
from search.confirm.settings import ConfirmSettings
from search.confirm.state import ConfirmationState, NextRecipe, confirmation_state
from search.record.outcome import Role
from search.record.record import Record
from search.run.request import RunRequest
from search.sampling.proposal import Proposal, derived_seed
from search.study.budget import spent_j
from search.study.search_settings import SearchSettings

# The parts of a seed that set these runs apart from proposals and from each other.
SEED_OF_FIT = 2_000_000
SEED_OF_CONFIRMATION = 3_000_000
# Rounds of one set of candidates are fewer than these.
_ROUNDS = 1_000


def next_confirmation(records: Sequence[Record], settings: SearchSettings) -> RunRequest | None:
    """None where there is nothing to confirm, the verdict is decided, or the budget is spent."""
    limit_j = settings.config.budget.study_energy_j
    if limit_j is not None and not settings.only_confirm and spent_j(records) >= limit_j:
        return None
    state = state_of(records, settings)
    if state is None or state.next is None:
        return None
    return _request(state.next, fresh_seed(state, state.next, records, settings), records, settings)


def state_of(records: Sequence[Record], settings: SearchSettings) -> ConfirmationState | None:
    target_loss = settings.target_loss(records)
    if target_loss is None:
        return None
    config = settings.config
    confirm = ConfirmSettings(**asdict(config.confirm))
    return confirmation_state(records, config.objective.names, target_loss, confirm, config.study.seed)


def fresh_seed(
    state: ConfirmationState, upcoming: NextRecipe, records: Sequence[Record], settings: SearchSettings
) -> int:
    """All arms of a round have the same. Nothing else of the study has used it: not the search, and of the
    fits only those that share its number."""
    place, study_seed = upcoming.place, settings.config.study.seed
    if upcoming.role is Role.FIT:
        part, index = SEED_OF_FIT, place.round
    else:
        part, index = SEED_OF_CONFIRMATION, state.number * _ROUNDS + place.round
    used = {record.seed for record in records if record.role is not upcoming.role} | {settings.config.seed}
    candidates = (derived_seed(study_seed, index + _ROUNDS**2 * again, part) for again in count())
    return next(seed for seed in candidates if seed not in used)


def _request(
    upcoming: NextRecipe, seed: int, records: Sequence[Record], settings: SearchSettings
) -> RunRequest:
    values = at_length(upcoming.recipe.config, upcoming.steps) | {"seed": seed}
    cut_off = [r for r in records if r.interrupted and r.confirmation == upcoming.place]
    request = settings.request(upcoming.role, Proposal({}), values, records, cut_off[-1] if cut_off else None)
    return replace(request, confirmation=upcoming.place, to_the_end=True)

"""Which configuration to try next: a pure function of the finished trials, the study's seed and the place in
the sequence.

A new sampler, seeded by (study seed, index), is shown the history in memory. So an interrupted study
continues exactly as it would have, and proposing reads no storage. No configuration is proposed twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from model.config import ConfigError, RunConfig
from model.runnable import unrunnable
from search.sampling.ask import Proposal, ask
from search.sampling.encoding import fixed_dimensions, settling
from search.sampling.samplers import SAMPLERS, Draw, SamplerSection
from search.space.canonical import config_key, plain
from search.space.model import Params, Space, holds

# How often a sampler that repeats itself is asked again; up to how many points a space is listed whole; how
# often chance tries in a larger one before it counts as exhausted.
SAMPLER_ATTEMPTS = 10
MOST_POINTS = 5_000
RANDOM_ATTEMPTS = 500
_BY_CHANCE = SamplerSection(name="random")

WhyNot = Callable[[Mapping[str, Any]], str | None]
"""Why a configuration cannot run here, or None where it can."""
KeyOf = Callable[[Mapping[str, Any]], str]
"""`canonical.config_key`, for the vocabulary at hand."""


def cannot_run(config: Mapping[str, Any], device_type: str = "cpu") -> str | None:
    """Why the values of a configuration do not go together on this device, or None."""
    try:
        return unrunnable(RunConfig.from_mapping(config), device_type)
    except ConfigError as error:
        return str(error)


def propose(
    space: Space,
    section: SamplerSection,
    study_seed: int,
    index: int,
    history: Sequence[FrozenTrial],
    n_objectives: int,
    visited: Collection[str],
    why_not: WhyNot = cannot_run,
    key_of: KeyOf = config_key,
    fixed: Mapping[str, Any] = MappingProxyType({}),
) -> Proposal | None:
    """A configuration that is not in `visited` (see `config_key`), or None where the space is exhausted.

    Combinations that cannot run are not proposed either. `fixed` are parameters that are given, and that the
    proposal has whatever the sampler would like.

    `index` counts proposals, so that a configuration tried again after a crash does not move those after it.
    A sampler that repeats itself is asked again with another seed, then chance decides: among all points that
    are left where they can be listed, else by drawing until one is new.
    """

    def is_new(params: Params) -> bool:
        if not agrees(space, params, fixed):
            return False
        config = space.config(params)
        return why_not(config) is None and key_of(config) not in visited

    row = SAMPLERS[section.name]
    dimensions = fixed_dimensions(space) if row.fixed(section) else None
    settled = dict if dimensions is None else settling(space, dimensions)
    for attempt in range(0 if row.lists else SAMPLER_ATTEMPTS):
        seed = derived_seed(study_seed, index, attempt)
        draw = Draw(seed, study_seed, index, attempt, dimensions, settled)
        proposal = ask(space, section, draw, history, n_objectives, fixed)
        if is_new(proposal.params):
            return proposal
    points = space.points(MOST_POINTS)
    if points is not None:
        left = [params for params in points if is_new(params)]
        return Proposal(left[derived_seed(study_seed, index, SAMPLER_ATTEMPTS) % len(left)]) if left else None
    for attempt in range(SAMPLER_ATTEMPTS, SAMPLER_ATTEMPTS + RANDOM_ATTEMPTS):
        draw = Draw(derived_seed(study_seed, index, attempt))
        proposal = ask(space, _BY_CHANCE, draw, (), n_objectives, fixed)
        if is_new(proposal.params):
            return proposal
    return None


def agrees(space: Space, params: Params, fixed: Mapping[str, Any]) -> bool:
    """Whether `params` have what is fixed, each value where its entry can have it."""
    if any(path not in params or plain(params[path]) != plain(value) for path, value in fixed.items()):
        return False
    drawn = space.distributions(params) if fixed else {}
    return all(holds(drawn[path], params[path]) for path in drawn)


def nothing_runs(space: Space, why_not: WhyNot, key_of: KeyOf) -> str:
    """Why a study of this space would end after its baseline, in one line; or nothing.

    All points are tried where they can be listed, else some hundred at random.
    """
    points = space.points(MOST_POINTS)
    tried = points if points is not None else (draw_at_random(space, seed) for seed in range(RANDOM_ATTEMPTS))
    baseline = key_of(space.base)
    reasons: Counter[str] = Counter()
    is_only_baseline = False
    for params in tried:
        config = space.config(params)
        reason = why_not(config)
        if reason is None and key_of(config) != baseline:
            return ""
        if reason is None:
            is_only_baseline = True
        else:
            reasons[reason] += 1
    if is_only_baseline:
        others = f"; of the others: {_commonest(reasons)}" if reasons else ""
        return f"the only configuration of the space that runs here is the baseline{others}; widen the space"
    return f"no configuration of the space runs here: {_commonest(reasons)}"


def _commonest(reasons: Counter[str]) -> str:
    reason = reasons.most_common(1)[0][0]
    more = len(reasons) - 1
    return reason if not more else f"{reason} (and {more} other {'reason' if more == 1 else 'reasons'})"


def draw_at_random(space: Space, seed: int) -> Params:
    """One combination by chance alone; it may be one that cannot run."""
    return ask(space, _BY_CHANCE, Draw(seed), (), 1).params


def derived_seed(*parts: int) -> int:
    """A seed of 31 bits from non-negative numbers; it depends on all of them, except on zeros at the end."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0] >> 1)

"""Asking one of Optuna's samplers for the next point of a space, with the history in memory. Pure.

Each draw has a study of its own, so that proposing reads no storage.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, Trial

from search.sampling.encoding import decoded, encoded_history
from search.sampling.history import gap_of
from search.sampling.samplers import SAMPLERS, Draw, SamplerSection
from search.space.model import Params, Space

# The attribute in which Optuna keeps what an enqueued trial asks for; part of the names of those in which a
# sampler keeps a proposal for the processes that ask meanwhile.
FIXED_PARAMS = "fixed_params"
_RELATIVE = "relative_params"
# Of a warning, the number of the trial, and how to turn the warning off in Optuna.
_NOT_FOR_PEOPLE = re.compile(r" in Trial#\d+| You can suppress .*", re.DOTALL)


@dataclass(frozen=True)
class Proposal:
    """What to try, what the sampler wants to find with the trial later (NSGA-II its generation), and what it
    warned of."""

    params: Params
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def suggest_with(trial: Trial) -> Callable[[str, BaseDistribution], Any]:
    """`Space.sample`'s way to ask an Optuna trial."""

    def suggest(path: str, distribution: BaseDistribution) -> Any:
        if isinstance(distribution, CategoricalDistribution):
            return trial.suggest_categorical(path, distribution.choices)
        if isinstance(distribution, IntDistribution):
            return trial.suggest_int(
                path, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        assert isinstance(distribution, FloatDistribution)
        return trial.suggest_float(
            path, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )

    return suggest


def ask(
    space: Space,
    section: SamplerSection,
    draw: Draw,
    history: Sequence[FrozenTrial],
    n_objectives: int,
    fixed: Mapping[str, Any] = MappingProxyType({}),
) -> Proposal:
    """The sampler's next point. Where the draw has fixed dimensions, it is shown the history in those, and
    proposes in them."""
    known = learnt_from(history, section)
    shown = known if draw.dimensions is None else encoded_history(known, space)
    trial, warned = _asked(section, draw, shown, n_objectives, fixed)
    suggest = suggest_with(trial)
    with _noting(warned):
        if draw.dimensions is None:
            params = space.sample(suggest)
        else:
            point = {path: suggest(path, distribution) for path, distribution in draw.dimensions.items()}
            params = decoded(point, space)
    return Proposal(params, _noted(trial), tuple(warned))


def learnt_from(history: Sequence[FrozenTrial], section: SamplerSection) -> Sequence[FrozenTrial]:
    """The trials that the sampler is shown, in their order: all, or where those are too many half of them
    with the least gaps and the latest of the others. Shown only what came close, it would try what fails
    again and again."""
    most = SAMPLERS[section.name].most
    if most is None or len(history) <= most:
        return history
    by_gap = sorted(range(len(history)), key=lambda place: gap_of(history[place]))
    closest, others = by_gap[: most // 2], sorted(by_gap[most // 2 :])
    return [history[place] for place in sorted([*closest, *others[len(closest) - most :]])]


def _asked(
    section: SamplerSection,
    draw: Draw,
    history: Sequence[FrozenTrial],
    n_objectives: int,
    fixed: Mapping[str, Any],
) -> tuple[Trial, list[str]]:
    """A trial of a study that exists for this draw only, and what the sampler warned of."""
    warned: list[str] = []
    with _noting(warned):
        sampler = SAMPLERS[section.name].make(section, draw)
        scratch = optuna.create_study(directions=["minimize"] * n_objectives, sampler=sampler)
        scratch.add_trials(history)
        if fixed:
            scratch.enqueue_trial(dict(fixed))
        return scratch.ask(), warned


def _noted(trial: Trial) -> dict[str, Any]:
    """What the sampler noted with the trial, less what it only wants while the trial runs."""
    kept = trial.study.get_trials(deepcopy=False)[-1].system_attrs
    return {name: value for name, value in kept.items() if name != FIXED_PARAMS and _RELATIVE not in name}


@contextmanager
def _noting(warned: list[str]) -> Iterator[None]:
    """Optuna logs that a sampler draws a parameter by chance, and goes on. Here that is kept, for the study
    to say."""
    logger, handler = logging.getLogger("optuna"), _Noting(warned)
    before = logger.handlers[:]
    logger.handlers[:] = [handler]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # A value out of its range is checked afterwards.
            warnings.filterwarnings("ignore", message="Fixed parameter")
            yield
    finally:
        logger.handlers[:] = before


class _Noting(logging.Handler):
    def __init__(self, warned: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._warned = warned

    def emit(self, record: logging.LogRecord) -> None:
        self._warned.append(_NOT_FOR_PEOPLE.sub("", record.getMessage()))

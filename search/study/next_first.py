"""Recipes that are tried before anything else (`study.first`): which is next, at which length. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.confirm.length import at_length
from search.confirm.replicates import longer
from search.record.record import Record
from search.sampling.ask import Proposal
from search.study.search_settings import FirstRecipe, SearchSettings

# A recipe is tried with so many lengths of schedule at most.
LENGTHS_OF_FIRST = 3


def first_left(
    records: Sequence[Record], settings: SearchSettings, running: Sequence[str] = ()
) -> FirstRecipe | None:
    """The first of `study.first` that is still to be tried and can run here: as it is, then at the lengths
    that its gap to the target asks for. `running`: the keys of the runs that have not ended."""
    if not settings.first:
        return None
    runs = {settings.key_of_run(record): record for record in records}
    busy = {settings.key_of(settings.config.run_values()), *running}
    for recipe in settings.first:
        values = recipe.values
        for _ in range(LENGTHS_OF_FIRST):
            key = settings.key_of(values)
            if key in busy or settings.why_not(values) is not None:
                break
            if key not in runs:
                return replace(recipe, values=values)
            steps = longer(runs[key])
            if steps is None:
                break
            values = at_length(recipe.values, steps)
    return None


def point_of(values: Mapping[str, Any], settings: SearchSettings) -> Proposal:
    """The configuration as a point of the space; without parameters where it is none, so that the sampler is
    not taught what another setting did."""
    params = settings.space.params_of(values)
    if params is None or settings.key_of(settings.space.config(params)) != settings.key_of(values):
        return Proposal({})
    return Proposal(params)

"""The best configurations of a study, as files that train them again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from model.metric import metric_of
from search.confirm.length import at_length
from search.record.record import Record
from search.record.target import AUTO, TO_THE_END
from search.report.findings import numbers
from search.report.findings.headline import what_it_is
from search.report.findings.names import capitalised, marked_name
from search.report.findings.verdict import verdict_sentence
from search.report.view.confirmation import confirmed_seeds
from search.report.view.data import StudyView
from search.report.view.values import plain_value, redacted

BEST = "best.yaml"
OTHER_BEST = "best_without_lookup.yaml"


@dataclass(frozen=True)
class Recipe:
    """A run's configuration as YAML, the `file` that holds it, and the command that trains it again.

    `what` says which run it is among those of its study, `cost` what it took, for a file that stands alone.
    """

    file: str
    what: str
    cost: str
    command: str
    yaml: str

    @property
    def name(self) -> str:
        """On the page: `best`, `best-without-lookup`."""
        return self.file.removesuffix(".yaml").replace("_", "-")

    @property
    def content(self) -> str:
        """The text of the file."""
        return f"# {self.cost}\n{self.yaml}"


def recipes(view: StudyView, config: Mapping[str, Any], folder: str) -> tuple[Recipe, ...]:
    """The best trial's, and that of the best that is not lookup-like where that is another. `folder` is the
    study's, as commands name it."""
    confirmed = _confirmed(view, config, folder)
    found = [confirmed or _recipe(view, config, folder, BEST, view.best, "")]
    if view.best_without_lookup is not view.best:
        among = " that are not lookup-like"
        found.append(_recipe(view, config, folder, OTHER_BEST, view.best_without_lookup, among))
    return tuple(recipe for recipe in found if recipe is not None)


def _confirmed(view: StudyView, config: Mapping[str, Any], folder: str) -> Recipe | None:
    """The recipe that leads the confirmation, at its fixed length; None where nothing was confirmed."""
    state, target_loss = view.confirmation, view.problem.target_loss
    verdict = None if state is None else state.verdict
    if state is None or verdict is None or target_loss is None:
        return None
    leader = state.recipe(verdict.arm)
    run = at_length(leader.config, state.steps[verdict.arm])
    sentence = redacted(verdict_sentence(view, state, verdict))
    seeds = ", ".join(str(seed) for seed in confirmed_seeds(state, verdict.arm))
    return Recipe(
        file=BEST,
        what=f"{capitalised(verdict.arm)} at the length that was fitted for it, whose verdict is "
        f"{verdict.kind}. Train it again with another seed:",
        cost=f"{sentence}\n# Its seeds: {seeds}. It is trained to its last step and evaluated once, there.",
        command=_command(folder, BEST),
        yaml=_yaml(recipe_of(run, target_loss, config) | {"to_the_end": True}),
    )


def _command(folder: str, file: str) -> str:
    return f"python -m search.train {shlex.quote(f'recipe={folder}/{file}')} seed=7"


def _recipe(
    view: StudyView, config: Mapping[str, Any], folder: str, file: str, record: Record | None, among: str
) -> Recipe | None:
    if record is None:
        return None
    who, least = capitalised(marked_name(view, record)), numbers.label(view.objectives[0])
    return Recipe(
        file=file,
        what=f"{who}, the lowest {least} among the trials{among}. Train it again with another seed:",
        cost=redacted(what_it_is(view, record)),
        command=_command(folder, file),
        yaml=recipe_yaml(record, config),
    )


def recipe_yaml(record: Record, config: Mapping[str, Any]) -> str:
    """What `recipe_of` gives, as `recipe=` reads it. Passwords in URLs are masked."""
    return _yaml(recipe_of(record.config, record.target_loss, config))


def _yaml(recipe: Mapping[str, Any]) -> str:
    return redacted(yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))


def recipe_of(run: Mapping[str, Any], target_loss: float | str, config: Mapping[str, Any]) -> dict[str, Any]:
    """One run's configuration with a target, and with the data, device and meter of a study's `config`."""
    metric = metric_of(run)
    is_auto = isinstance(target_loss, str) or target_loss == TO_THE_END
    recipe = dict(run) | {metric.setting: AUTO if is_auto else metric.shown(float(target_loss))}
    recipe |= {part: config[part] for part in ("data", "meter") if part in config}
    device = config.get("device")
    if isinstance(device, Mapping):
        held = {
            key: value
            for key, value in run.get("device", {}).items()
            if value is not None or device.get(key) is not None
        }
        recipe["device"] = {key: device[key] for key in ("name", "threads") if key in device} | held
    plain: dict[str, Any] = plain_value(recipe)
    return plain

"""From a command line to a checked `StudyConfig`, by Hydra."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, cast

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from search.config.command_line import check_typed_target, checked, is_text, quoted
from search.config.complaints import explain, no_such_key
from search.config.help import answer
from search.config.schema import StudyConfig
from search.config.study_files import check_studies
from search.console.leaving import end_with, raise_when_stopped
from search.errors import ONE_LINE, USAGE_ERROR, UserError, say
from search.files.paths import absolute, config_dir, current_folder, reports_dir
from search.space.paths import ABSENT, side_by_side


def register() -> None:
    """Tell Hydra the schema that `conf/config.yaml` starts from."""
    schema = OmegaConf.structured(StudyConfig)
    OmegaConf.set_struct(schema.launcher.slurm_parameters, False)  # any name, without a plus
    ConfigStore.instance().store(name="_schema", node=schema)
    OmegaConf.register_new_resolver("reports_folder", lambda named: str(reports_dir(named)), replace=True)


def to_config(composed: DictConfig) -> StudyConfig:
    """The composed tree as dataclasses, which check themselves. Raises UserError or ConfigError."""
    extra = _extra_key(_plain(composed), _plain(OmegaConf.structured(StudyConfig)))
    if extra is not None:
        raise UserError(no_such_key(extra))
    try:
        config = _to_object(composed)
    except OmegaConfBaseException as error:
        raise UserError(explain(error, ())) from error
    if config.data.path:  # it is written into files, which are read from other folders
        config.data.path = str(absolute(config.data.path))
    return config


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _to_object(composed: DictConfig) -> StudyConfig:
    built = OmegaConf.to_object(composed)
    assert isinstance(built, StudyConfig)
    return built


Task = Callable[[DictConfig], int]


def run(task: Task, config_name: str, argv: Sequence[str] | None = None) -> NoReturn:
    """Run `task` under Hydra and leave with its exit status; a person's mistake costs one line and status
    2."""
    end_with(lambda: start(task, config_name, sys.argv[1:] if argv is None else argv))


def start(task: Task, config_name: str, argv: Sequence[str]) -> int:
    """The exit status of `task` over what the command line composes. Raises what `ONE_LINE` lists."""
    arguments = checked(argv)
    answered = answer(arguments)
    if answered is not None:
        sys.stdout.write(answered)
        return 0
    current_folder()
    check_studies(arguments)
    arguments = [readable(argument, "--multirun" in arguments) for argument in arguments]
    register()
    # Hydra prints several lines and exits with 1; with this set it raises instead, and we say it in one.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    job = _Job(task)
    decorated = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(job)
    sys.argv = [sys.argv[0], *arguments]
    try:
        decorated()
    except Exception as error:  # of composing: what a task raises is kept back
        raise UserError(explain(error, arguments)) from error
    except SystemExit as left:
        return USAGE_ERROR if left.code else 0  # it has said why: a --package that there is not
    if job.bug is not None:
        raise job.bug
    return job.status


class _Job:
    """`task` as Hydra calls it, once for each study of -m. Hydra would print a line of its own for what is
    raised, so that is kept until Hydra is done; after a bug nothing more is begun."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.status = 0
        self.bug: Exception | None = None

    def __call__(self, composed: DictConfig) -> None:
        if self.bug is not None:
            return
        raise_when_stopped()
        try:
            typed = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
            check_typed_target(composed.target_metric, cast("list[str]", typed))
            self.status = max(self.status, self._task(composed))
        except ONE_LINE as error:
            say(str(error))
            self.status = USAGE_ERROR
        except Exception as error:
            self.bug = error


def readable(argument: str, swept: bool) -> str:
    """A path or an address that Hydra's grammar cannot read, or would split, as it stands."""
    if not is_text(argument):
        return argument
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return quoted(argument)
    return quoted(argument) if override.is_sweep_override() and not swept else argument


def _extra_key(composed: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """The first key that the schema does not have (a `+key=value` gets past Hydra). A mapping that is empty
    in the schema holds what it likes, and is checked where it is read."""
    anything = tuple(f"{path}." for path, _, value in side_by_side(schema, schema) if value == {})
    return next(
        (
            path
            for path, _, expected in side_by_side(composed, schema)
            if expected is ABSENT and not path.startswith(anything)
        ),
        None,
    )

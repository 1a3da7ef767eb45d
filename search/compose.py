"""From a command line to a checked `StudyConfig`, by Hydra; and from Hydra's complaints to one line that
helps."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from search.command_line import checked, is_text, quoted
from search.config import StudyConfig
from search.errors import ONE_LINE, USAGE_ERROR, UserError, say
from search.help import answer
from search.leaving import end_with, raise_when_stopped
from search.paths import config_dir, reports_dir
from search.study_files import broken_file, check_studies, options, where_set, yaml_problem


def register() -> None:
    """Tell Hydra the schema that `conf/config.yaml` starts from."""
    ConfigStore.instance().store(name="_schema", node=StudyConfig)
    OmegaConf.register_new_resolver("reports_folder", lambda named: str(reports_dir(named)), replace=True)


def to_config(composed: DictConfig) -> StudyConfig:
    """The composed tree as dataclasses, which check themselves. Raises UserError or ConfigError."""
    extra = _extra_keys(_plain(composed), _plain(OmegaConf.structured(StudyConfig)))
    if extra:
        raise UserError(_no_such_key(extra))
    try:
        return _to_object(composed)
    except OmegaConfBaseException as error:
        raise UserError(explain(error, ())) from error


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
    check_studies(arguments)
    arguments = [_readable(argument, "--multirun" in arguments) for argument in arguments]
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
            self.status = max(self.status, self._task(composed))
        except ONE_LINE as error:
            say(str(error))
            self.status = USAGE_ERROR
        except Exception as error:
            self.bug = error


def _readable(argument: str, swept: bool) -> str:
    """A path or an address that Hydra's grammar cannot read, or would split, as it stands."""
    if not is_text(argument):
        return argument
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return quoted(argument)
    return quoted(argument) if override.is_sweep_override() and not swept else argument


def studies() -> list[str]:
    """Names of the studies that ship."""
    return options("study")


def missing_study() -> str:
    names = studies()
    return f"no study was named; type: python -m search +study={names[0]} (studies: {', '.join(names)})"


def unnamed(program: str = "search") -> str:
    """Why the study that was composed has no name."""
    named = HydraConfig.get().runtime.choices.get("study") if HydraConfig.initialized() else None
    if named is None:
        return missing_study().replace("search +", f"{program} +")
    return (
        f"the study {named!r} gives itself no name, which is its folder below reports/; add to "
        f"study/{named}.yaml: 'study: {{name: {named}}}', or type study.name={named}"
    )


def explain(error: Exception, arguments: Sequence[str]) -> str:
    """What a Hydra or OmegaConf error means for a person, in one line: what came, and what to type."""
    if isinstance(error, MarkedYAMLError):
        return yaml_problem(error)
    if isinstance(error, YAMLError | UnicodeDecodeError):
        return broken_file(arguments) or f"a configuration file cannot be read: {error}"
    causes = [error, error.__cause__, error.__context__]
    text = " ".join(" ".join(str(cause).split()) for cause in dict.fromkeys(causes) if cause is not None)
    for pattern, explained in _EXPLANATIONS:
        found = re.search(pattern, text)
        if found:
            return explained(found, arguments)
    if "override_grammar" in text or "Ambiguous value for argument" in text:
        return _unreadable(arguments)
    return broken_file(arguments) or f"{text[:300]} (see python -m search --help)"


def _unreadable(arguments: Sequence[str]) -> str:
    """Which override Hydra's grammar does not take. Its value is not repeated: it may hold a password."""
    parser = OverridesParser.create()
    for argument in arguments:
        if argument.startswith("-"):
            continue
        try:
            swept = parser.parse_override(argument).is_sweep_override()
        except HydraException:
            swept = False
        else:
            if not swept:
                continue
        key, equals, _ = argument.partition("=")
        quoted = f"""'{key}="..."'"""
        if not equals:
            return f"{key!r} is no key=value; see python -m search --help"
        if swept:
            return f"{key} has several values; add -m for a study each, or quote a text twice: {quoted}"
        return f"the value of {key} cannot be read; close its brackets, or quote it twice: {quoted}"
    return "an override cannot be read; quote its value twice, like 'study.name=\"a (b)\"'"


def _unknown_option(found: re.Match[str], arguments: Sequence[str]) -> str:
    group, _, name = found[1].rpartition("/")
    there = options(group, arguments)
    if not there:
        return f"there is no {found[1]!r} in the configuration; see python -m search --help for what there is"
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.4) or there
    plus = "+" if group == "study" else ""
    return f"there is no {group} {name!r} (there is: {', '.join(there)}); type: {plus}{group}={near[0]}"


def _unknown_key(found: re.Match[str], arguments: Sequence[str]) -> str:
    key = found[1]
    typed = next((a.lstrip("+~").partition("=")[0] for a in arguments if key in a.partition("=")[0]), None)
    full = re.search(r"full_key: (\S+)", found.string)
    return _no_such_key(typed or (full[1] if full else key), "" if typed else where_set(key, arguments))


def _no_such_key(path: str, at: str = "") -> str:
    near = difflib.get_close_matches(path, _all_paths(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "see python -m search --cfg job"
    return f"there is no key {path!r}{at}; {hint}"


def _extra_keys(composed: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "") -> str:
    """The first key that the schema does not have (a `+key=value` gets past Hydra), or nothing. A mapping
    that is empty in the schema holds what it likes, and is checked where it is read."""
    for key, value in composed.items():
        path = f"{prefix}{key}"
        if key not in schema:
            return path
        if isinstance(value, Mapping) and isinstance(schema[key], Mapping) and schema[key]:
            below = _extra_keys(value, schema[key], f"{path}.")
            if below:
                return below
    return ""


def _wrong_type(found: re.Match[str], arguments: Sequence[str]) -> str:
    value, kind, key = found["value"], found["kind"], found["key"]
    expected = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}.get(kind, kind)
    return f"{key} must be {expected}, got {value!r}"


def _study_without_plus(found: re.Match[str], arguments: Sequence[str]) -> str:
    name = next((a.partition("=")[2] for a in arguments if a.startswith("study=")), studies()[0])
    names = ", ".join(studies())
    return f"a study is added, not overridden; type: python -m search +study={name} (studies: {names})"


_EXPLANATIONS: tuple[tuple[str, Callable[[re.Match[str], Sequence[str]], str]], ...] = (
    (
        r"Could not override 'study'|Merge error.*StudySection|'study' is not an option|to StudySection",
        _study_without_plus,
    ),
    (r"Could not find '([^']+/[^']+)'", _unknown_option),
    (r"Could not override '([^']+)'", _unknown_key),
    (r"Key '([^']+)' (?:is )?not in", _unknown_key),
    (
        r"Value '(?P<value>.*?)' of type '[^']+' could not be converted to (?P<kind>\w+)"
        r".*?full_key: (?P<key>\S+)",
        _wrong_type,
    ),
    (r"Value '(?P<value>.*?)' is not a valid (?P<kind>bool).*?full_key: (?P<key>\S+)", _wrong_type),
    (r"[Mm]issing mandatory value: (study\.)?name", lambda found, arguments: missing_study()),
)


def _all_paths(node: Any = None, prefix: str = "") -> list[str]:
    config = OmegaConf.structured(StudyConfig) if node is None else node
    paths = []
    for key in config:
        path = f"{prefix}{key}"
        paths.append(path)
        if not OmegaConf.is_missing(config, key) and isinstance(config[key], DictConfig):
            paths += _all_paths(config[key], f"{path}.")
    return paths

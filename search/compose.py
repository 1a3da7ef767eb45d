"""From a command line to a checked `StudyConfig`, by Hydra; and from Hydra's complaints to one line that
helps."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from search.config import StudyConfig
from search.errors import INTERRUPTED, ONE_LINE, USAGE_ERROR, UserError, say
from search.paths import config_dir, root
from search.signals import EndedBySignal


def register() -> None:
    """Tell Hydra the schema that `conf/config.yaml` starts from."""
    ConfigStore.instance().store(name="_schema", node=StudyConfig)
    OmegaConf.register_new_resolver("root", lambda: str(root()), replace=True)


def to_config(composed: DictConfig) -> StudyConfig:
    """The composed tree as dataclasses, which check themselves. Raises UserError or ConfigError."""
    extra = _extra_keys(_plain(composed), _plain(OmegaConf.structured(StudyConfig)))
    if extra:
        raise UserError(_no_such_key(extra))
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


def run(task: Callable[[DictConfig], int], config_name: str, argv: Sequence[str] | None = None) -> NoReturn:
    """Run `task` under Hydra and leave with its exit status; a person's mistake costs one line and status
    2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    unknown = _unknown_flag(arguments)
    if unknown:
        say(unknown)
        sys.exit(USAGE_ERROR)
    register()
    # Hydra prints several lines and exits with 1; with this set it raises instead, and we say it in one.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    status = 0

    def job(composed: DictConfig) -> None:
        nonlocal status
        try:
            status = max(status, task(composed))
        except ONE_LINE as error:  # caught here: Hydra would print a line of its own first
            say(str(error))
            status = USAGE_ERROR

    decorated = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(job)
    sys.argv = [sys.argv[0], *arguments]
    try:
        decorated()
    except (HydraException, OmegaConfBaseException) as error:
        say(explain(error, arguments))
        status = USAGE_ERROR
    except KeyboardInterrupt as stopped:
        say("stopped before anything had begun")
        status = stopped.status if isinstance(stopped, EndedBySignal) else INTERRUPTED
    sys.exit(status)


def _unknown_flag(arguments: Sequence[str]) -> str:
    """What is wrong with an option that Hydra does not have: argparse would take five lines; or nothing."""
    known = [option for action in get_args_parser()._actions for option in action.option_strings]
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see --help"
            return f"there is no option {name}; {hint}"
    return ""


def studies() -> list[str]:
    """Names of the studies that ship."""
    return sorted(path.stem for path in (config_dir() / "study").glob("*.yaml"))


def missing_study() -> str:
    names = studies()
    return f"no study was named; type: python -m search +study={names[0]} (studies: {', '.join(names)})"


def explain(error: Exception, arguments: Sequence[str]) -> str:
    """What a Hydra or OmegaConf error means for a person, in one line: what came, and what to type."""
    causes = [error, error.__cause__, error.__context__]
    text = " ".join(" ".join(str(cause).split()) for cause in dict.fromkeys(causes) if cause is not None)
    for pattern, explained in _EXPLANATIONS:
        found = re.search(pattern, text)
        if found:
            return explained(found, arguments)
    if "override_grammar" in text or "Ambiguous value for argument" in text:
        return _unreadable(arguments)
    return f"{text[:300]} (see python -m search --help)"


def _unreadable(arguments: Sequence[str]) -> str:
    """Which override Hydra's grammar does not take. Its value is not repeated: it may hold a password."""
    parser = OverridesParser.create()
    for argument in arguments:
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
    group, name = found[1].split("/")[0], found[1].partition("/")[2]
    options = sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.4) or options
    plus = "+" if group == "study" else ""
    return f"there is no {group} {name!r} (there is: {', '.join(options)}); type: {plus}{group}={near[0]}"


def _unknown_key(found: re.Match[str], arguments: Sequence[str]) -> str:
    key = found[1]
    return _no_such_key(
        next((a.lstrip("+~").partition("=")[0] for a in arguments if key in a.partition("=")[0]), key)
    )


def _no_such_key(path: str) -> str:
    near = difflib.get_close_matches(path, _all_paths(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "see python -m search --cfg job"
    return f"there is no key {path!r}; {hint}"


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


def absolute(path: str) -> Path:
    """A path that a person typed, with ~ and relative to the current folder."""
    return Path(path).expanduser().absolute()

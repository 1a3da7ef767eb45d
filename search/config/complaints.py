"""From Hydra's and OmegaConf's complaints to one line that helps: what came, and what to type."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from yaml import MarkedYAMLError, YAMLError

from model.config import renamed
from search.config.schema import StudyConfig
from search.config.study_files import broken_file, options, where_set, yaml_problem

SPACE_ENTRY = "{type: int, low: 1, high: 8}"


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
        f"the study {named!r} has no name, which is its folder below reports/; add to "
        f"study/{named}.yaml: 'study: {{name: {named}}}', or type study.name={named}"
    )


def explain(error: Exception, arguments: Sequence[str]) -> str:
    """What a Hydra or OmegaConf error means for a person, in one line: what came, and what to type."""
    if isinstance(error, MarkedYAMLError):
        return yaml_problem(error)
    if isinstance(error, YAMLError | UnicodeDecodeError):
        return broken_file(arguments) or f"a configuration file cannot be read: {error}"
    if isinstance(error, TypeError):  # Hydra's, over a group that was given a list of no names
        return _group_misused(arguments)
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
    group, _, name = found[1].partition("/")
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
    return no_such_key(typed or (full[1] if full else key), "" if typed else where_set(key, arguments))


def no_such_key(path: str, at: str = "") -> str:
    if line := renamed(path.removeprefix("space.")):
        return f"there is no key {path!r}{at}; {line}"
    near = difflib.get_close_matches(path, _all_paths(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "see python -m search --cfg job"
    return f"there is no key {path!r}{at}; {hint}"


def _wrong_type(found: re.Match[str], arguments: Sequence[str]) -> str:
    value, kind, key = found["value"], found["kind"], found["key"]
    expected = {
        "Integer": "a whole number",
        "Float": "a number",
        "bool": "true or false",
        "Union": "one number, or one word like auto",
    }.get(kind, kind)
    return f"{key} must be {expected}, got {value!r}"


def _typed(key: str, arguments: Sequence[str]) -> str | None:
    """The value that the command line gives a key: where it does so twice, the last one holds."""
    pairs = (argument.lstrip("+").partition("=") for argument in reversed(arguments))
    return next((value for name, _, value in pairs if name == key), None)


def _misfit(found: re.Match[str], arguments: Sequence[str]) -> str:
    """A value of another shape than the key has."""
    key = found[1]
    value = _typed(key, arguments)
    got = _got(key, arguments)
    default = OmegaConf.select(OmegaConf.structured(StudyConfig), key)
    if isinstance(default, ListConfig) or "not a ListConfig" in found.string:
        return f"{key} must be a list{got}; type {key}=[{'...' if value in (None, 'null') else value}]"
    if isinstance(default, DictConfig):
        first = next(map(str, default), "NAME")
        return f"{key} is a group of keys{got}; type one of them, like {key}.{first}=..."
    wrong = value if value == "null" or (value and key != "storage") else f"null or of another kind{got}"
    return f"{key} cannot be {wrong}; python -m search --cfg job shows what it holds"


def _got(key: str, arguments: Sequence[str]) -> str:
    """What the command line gives a key, or where a study sets it. A storage may hold a password."""
    value = _typed(key, arguments)
    return where_set(key, arguments) if value is None or key == "storage" else f", got {value}"


def _no_text(found: re.Match[str], arguments: Sequence[str]) -> str:
    return f"{found[1]} must be one text{where_set(found[1], arguments)}, and it is a list or a group"


def _space_entry(found: re.Match[str], arguments: Sequence[str]) -> str:
    key = found["space"]
    value = _typed(key, arguments) or ""
    like = f"{{type: categorical, choices: {value}}}" if value.startswith("[") else SPACE_ENTRY
    return f"{key} must be an entry like {like}{_got(key, arguments)}"


def _no_option(found: re.Match[str], arguments: Sequence[str]) -> str:
    return _group_misused(arguments)


def _group_misused(arguments: Sequence[str]) -> str:
    """A group that was given something other than the name of an option."""
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if not key and argument:
            return f"{argument!r} is no key=value; see python -m search --help"
        there = options(key, arguments) if "." not in key else []
        if there and value not in there:
            return f"{key} takes the name of one of {', '.join(there)}, got {value!r}"
    return "a group takes the name of an option; see python -m search --help"


def _plus_too_many(found: re.Match[str], arguments: Sequence[str]) -> str:
    value = _typed(found[1], arguments)
    return f"{found[1]} is there already; type it without its plus: {found[1]}={value or '...'}"


def _not_to_be_taken(found: re.Match[str], arguments: Sequence[str]) -> str:
    return f"{found[1]} is a key of every study and cannot be taken away; type {found[1]}=VALUE"


def _no_reference(found: re.Match[str], arguments: Sequence[str]) -> str:
    at = where_set(found[2], arguments) if _typed(found[2], arguments) is None else ""
    return (
        f"{found[2]}{at} refers to ${{{found[1]}}}, and there is no such key; see python -m search --cfg job"
    )


def _unset_variable(found: re.Match[str], arguments: Sequence[str]) -> str:
    return (
        f"{found[2]} takes the environment variable {found[1]}, which is not set; type export {found[1]}=..."
    )


def _study_without_plus(found: re.Match[str], arguments: Sequence[str]) -> str:
    name = next((a.partition("=")[2] for a in arguments if a.startswith("study=")), studies()[0])
    names = ", ".join(studies())
    return f"a study is added, not overridden; type: python -m search +study={name} (studies: {names})"


_EXPLANATIONS: tuple[tuple[str, Callable[[re.Match[str], Sequence[str]], str]], ...] = (
    (
        r"Could not override 'study'|Merge error.*StudySection|'study' is not an option|to StudySection",
        _study_without_plus,
    ),
    (r"Could not find '([^']+/[^']*)'", _unknown_option),
    (r"Config group override must be a string or a list", _no_option),
    (r"Multiple values for ([^.]+)\. To override", _plus_too_many),
    (r"item is already at '([^']+)'", _plus_too_many),
    (r"does not support deletion.*?full_key: (\S+)", _not_to_be_taken),
    (r"Interpolation key '([^']+)' not found.*?full_key: (\S+)", _no_reference),
    (r"Environment variable '([^']+)' not found.*?full_key: (\S+)", _unset_variable),
    (r"Cannot merge.*?full_key: (?P<space>space\.\S+)", _space_entry),
    (r"Cannot convert '\w+' to string.*?full_key: (\S+)", _no_text),
    (
        r"(?:Invalid value assigned|Invalid type assigned|Cannot assign|Cannot merge|is not Optional)"
        r".*?full_key: (?!\w+_type=)(\S+)",
        _misfit,
    ),
    (r"Could not override '([^']+)'", _unknown_key),
    (r"Key '([^']+)' (?:is )?not in", _unknown_key),
    (
        r"Value '(?P<value>.*?)' of type '[^']+' could not be converted to (?P<kind>\w+)"
        r".*?full_key: (?P<key>\S+)",
        _wrong_type,
    ),
    (
        r"Value '(?P<value>.*?)' of type '[^']+' is incompatible with type hint '(?P<kind>Union)"
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

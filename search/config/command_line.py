"""Hydra's options as they may be used here, and overrides as Hydra reads them; a mistake among them costs one
line. Imports no Hydra.

Hydra's own parser answers a mistake with five lines of usage, takes no option after a first override, and
knows options and settings of its own that have no meaning here.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from model.metric import ACCURACY
from search.errors import UserError

_LONG = {
    "-h": "--help",
    "-c": "--cfg",
    "-p": "--package",
    "-r": "--run",
    "-m": "--multirun",
    "-sc": "--shell-completion",
    "-cd": "--config-dir",
    "-i": "--info",
    "-cp": "--config-path",
    "-cn": "--config-name",
}
_PLAIN = ("--help", "--hydra-help", "--version", "--resolve", "--run", "--multirun", "--shell-completion")
_VALUES: dict[str, tuple[str, ...]] = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--package": (),
    "--config-dir": (),
}
_EXAMPLE = {"--package": "model", "--config-dir": "FOLDER"}
_REFUSED = {
    "--config-path": "the configuration is the product's own; type --config-dir FOLDER to add studies to it",
    "--config-name": "the configuration is the product's own; type --config-dir FOLDER +study=NAME",
    "--experimental-rerun": "the command that began a study continues it; type python -m search +study=NAME",
}
# Each asks for something else to be done; Hydra takes one of them.
_COMMANDS = ("--run", "--multirun", "--cfg", "--info", "--shell-completion")
_COMPLETIONS = ("install", "uninstall", "query")
_SHELLS = ("bash", "fish", "zsh")
_HYDRA_KEYS = {
    "run": "type reports=FOLDER for where studies are written",
    "sweep": "type reports=FOLDER for where studies are written",
    "output_subdir": "type reports=FOLDER for where studies are written",
    "searchpath": "type --config-dir FOLDER for studies of your own",
    "mode": "type -m for a study a value",
    "launcher": "the studies of -m run one after another, and each study's trials too; drop it",
    "sweeper": "-m takes every combination of the values given; drop it",
}
# Keys whose value is a path or an address: what Hydra's grammar cannot read in one is meant as it stands.
_TEXTS = ("data.path", "output", "recipe", "reports", "save", "storage")


def check_typed_target(metric: str, overrides: Sequence[str]) -> None:
    """Raises UserError where a target_loss is typed that target_metric=accuracy does not look at. One that a
    study's file sets is that file's, and may stay there."""
    typed = next((text for text in overrides if text.lstrip("+").startswith("target_loss=")), None)
    if metric == ACCURACY and typed is not None:
        raise UserError(
            f"{typed.lstrip('+')} is reached by target_metric=loss, and this one is accuracy; type "
            "target_accuracy=NUMBER in its place, or target_metric=loss"
        )


def checked(arguments: Sequence[str]) -> list[str]:
    """The same with options spelt out before overrides. Raises UserError for a mistake."""
    options, overrides = _parted(arguments)
    _check_together([option.partition("=")[0] for option in options], overrides)
    if "--resolve" in options and "--cfg=hydra" in options:
        raise UserError("--resolve is for the study's own configuration; type: --cfg job --resolve")
    if "--shell-completion" not in options:
        for override in overrides:
            _check_override(override)
    return [*options, *overrides]


def config_dirs(arguments: Sequence[str]) -> list[Path]:
    """Folders of configuration that were added, of `checked` arguments."""
    return [Path(a.partition("=")[2]) for a in arguments if a.startswith("--config-dir=")]


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    options: list[str] = []
    overrides: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--":
            return options, [*overrides, *left]
        if argument.startswith("-"):
            options.append(_option(argument, left))
        else:
            overrides.append(argument)
    return options, overrides


def _option(argument: str, left: list[str]) -> str:
    """One option spelt out as Hydra takes it; takes its value from what is left."""
    typed, equals, value = argument.partition("=")
    name = _LONG.get(typed, typed)
    if name in _REFUSED:
        raise UserError(f"{typed} does not work here: {_REFUSED[name]}")
    if name in _PLAIN:
        if equals:
            raise UserError(f"{typed} takes no value, got {value!r}; type {typed} alone")
        return name
    if name not in _VALUES:
        near = difflib.get_close_matches(typed, [*_LONG, *_PLAIN, *_VALUES], n=1)
        raise UserError(f"there is no option {typed}; {f'did you mean {near[0]}?' if near else 'see --help'}")
    if not equals and left and not left[0].startswith("-") and (name != "--info" or "=" not in left[0]):
        equals, value = "=", left.pop(0)
    if not equals and name == "--info":
        value = "all"
    choices = _VALUES[name]
    if (choices and value not in choices) or not value:
        expected = f"one of {', '.join(choices)}" if choices else "a value"
        got = f", got {value!r}" if value else ""
        example = choices[0] if choices else _EXAMPLE[name]
        raise UserError(f"{typed} takes {expected}{got}; for example: {typed} {example}")
    return f"{name}={value}"


def _check_together(names: Sequence[str], overrides: Sequence[str]) -> None:
    commands = sorted({name for name in names if name in _COMMANDS}, key=_COMMANDS.index)
    if {"--help", "--hydra-help", "--version"} & set(names):
        return
    if len(commands) > 1:
        raise UserError(f"{' and '.join(commands)} ask for different things; type one of them")
    for name, value in (("--resolve", ""), ("--package", " model")):
        if name in names and "--cfg" not in names:
            raise UserError(f"{name} goes with --cfg; type: --cfg job {name}{value}")
    if "--shell-completion" in names:
        what, _, shell = overrides[0].partition("=") if len(overrides) == 1 else ("", "", "")
        if what not in _COMPLETIONS or shell not in _SHELLS:
            raise UserError(
                "--shell-completion takes install=SHELL or uninstall=SHELL for bash, fish or zsh; type: "
                'eval "$(joulesearch --shell-completion install=bash)"'
            )


def _check_override(override: str) -> None:
    key = override.partition("=")[0].lstrip("+~")
    first = key.replace("/", ".").replace("@", ".").split(".")
    if first[0] == "hydra":
        hint = _HYDRA_KEYS.get(first[1] if len(first) > 1 else "", "drop it")
        raise UserError(f"{key} is a setting of Hydra's, and fixed here: {hint}")


def is_text(override: str) -> bool:
    """Whether an override gives a path or an address."""
    return override.lstrip("+").partition("=")[0] in _TEXTS


def quoted(override: str) -> str:
    """An override whose value Hydra takes as it stands."""
    key, _, value = override.partition("=")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{escaped}"'

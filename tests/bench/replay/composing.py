"""A study's configuration from overrides, as the command line composes it."""

from __future__ import annotations

from collections.abc import Sequence

from hydra import compose, initialize_config_dir

from search.config.composition import register, to_config
from search.config.schema import StudyConfig
from search.files.paths import root


def composed(overrides: Sequence[str]) -> StudyConfig:
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(root() / "conf")):
        return to_config(compose("config", overrides=list(overrides)))

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from search.config.checks import check_run, check_study
from search.config.complaints import explain, missing_study, studies
from search.config.composition import readable, register, to_config
from search.config.schema import StudyConfig
from search.errors import UserError, say
from search.files.paths import absolute, config_dir, root


@pytest.fixture(autouse=True)
def hydra_of_its_own() -> Iterator[None]:
    """Hydra is a global thing: every test gets a fresh one, and leaves none."""
    GlobalHydra.instance().clear()
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        yield
    GlobalHydra.instance().clear()


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=list(overrides))


def mistake(*overrides: str) -> str:
    """What a person reads who typed this."""
    try:
        to_config(composed(*overrides))
    except UserError as error:
        return str(error)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        return explain(error, overrides)
    raise AssertionError(f"nobody minded {overrides}")


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def groups() -> list[str]:
    return sorted(path.name for path in config_dir().iterdir() if path.is_dir())


# ---- what ships


@pytest.mark.parametrize("name", ["nanogpt_char_gpu", "nanogpt_124m"])
def test_the_baselines_for_gpus_take_nanogpts_kernels(name: str) -> None:
    config = to_config(composed("+study=shakespeare_char_gpu", f"baseline={name}"))
    assert (config.optimizer.kernel, config.model.attention) == ("fused", "sdpa")
    assert (config.train.compile, config.train.precision) == (True, "bf16")


@pytest.mark.parametrize("name", options("study"))
def test_every_study_that_ships_composes_and_is_sound(name: str) -> None:
    config = to_config(composed(f"+study={name}"))
    assert isinstance(config, StudyConfig)
    assert check_study(config).entries


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "option"),
    [(group, option) for group in groups() if group not in ("study", "recipes") for option in options(group)],
)
def test_every_option_of_every_group_composes_into_a_run_that_is_sound(group: str, option: str) -> None:
    config = to_config(composed("+study=demo", f"{group}={option}"))
    check_run(config)


def test_the_studies_are_the_files_that_ship() -> None:
    assert studies() == options("study")
    assert "demo" in studies()


def test_the_configuration_without_a_study_is_a_sound_run_in_which_nothing_varies() -> None:
    config = to_config(composed("study.name=x"))
    check_run(config)
    assert config.space == {}


def test_an_override_wins_over_the_study() -> None:
    config = to_config(composed("+study=demo", "budget.n_trials=3", "optimizer.lr=0.002", "study.seed=5"))
    assert (config.budget.n_trials, config.optimizer.lr, config.study.seed) == (3, 0.002, 5)


def test_an_override_reaches_into_the_space_and_one_may_be_added() -> None:
    config = to_config(
        composed(
            "+study=demo",
            "space.model.n_layer.high=9",
            "+space.optimizer.beta2={type: float, low: 0.9, high: 0.99}",
        )
    )
    entries = {entry.path: entry for entry in check_study(config).entries}
    assert entries["model.n_layer"].high == 9
    assert entries["optimizer.beta2"].low == 0.9


# ---- what a person reads


MISTAKES = {
    "+study=dmo": "type: +study=demo",
    "+study=zzzzzz": "there is no study 'zzzzzz' (there is: ",
    "study=demo": "type: python -m search +study=demo",
    "meter=nvlm": "there is no meter 'nvlm' (there is: auto, cpu_time, nvml,",
    "space=deno": "type: space=demo",
    "budget.n_trals=3": "there is no key 'budget.n_trals'; did you mean budget.n_trials?",
    "budgt.n_trials=3": "there is no key 'budgt.n_trials'; did you mean budget.n_trials?",
    "+optimizer.learning=1": "there is no key 'optimizer.learning'",
    "+foo=1": "there is no key 'foo'",
    "+model.deep.er=1": "there is no key 'model.deep'",
    "budget.n_trials=many": "budget.n_trials must be a whole number, got 'many'",
    "budget.n_trials=2.5": "budget.n_trials must be a whole number, got '2.5'",
    "model.n_layer=[1,2]": "model.n_layer",
    "a#b": "see python -m search --help",
    "meter.also=roofline": "meter.also must be a list, got roofline; type meter.also=[roofline]",
    "meter.also=null": "meter.also must be a list, got null; type meter.also=[...]",
    "meter.gpus=0": "meter.gpus must be a list, got 0; type meter.gpus=[0]",
    "objective.names=energy_to_target_j": "type objective.names=[energy_to_target_j]",
    "meter.roofline.pj_per_flop=3": "type one of them, like meter.roofline.pj_per_flop.",
    "budget=3": "budget is a group of keys, got 3; type one of them, like budget.n_trials=...",
    "study.seed=null": "study.seed cannot be null",
    "storage=[hunter2,b]": "storage must be one text",
    "model=5": "model takes the name of one of gpt2_124m,",
    "=3": "'=3' is no key=value",
    "+meter=roofline": "type it without its plus: meter=roofline",
    "+target_loss=2": "type it without its plus: target_loss=2",
    "~model.n_layer": "cannot be taken away; type model.n_layer=VALUE",
    "study.name=${nope}": "refers to ${nope}, and there is no such key",
    "space.model.n_layer=[1,2,3]": "an entry like {type: categorical, choices: [1,2,3]}, got [1,2,3]",
    "target_loss=[1,2]": "target_loss must be one number, or one word like auto, got '[1, 2]'",
    "target_loss=true": "target_loss must be one number, or one word like auto, got 'True'",
    "+study=": "there is no study ''",
    "+study=sub/x": "there is no study 'sub/x'",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_type(override: str) -> None:
    study = [] if "study=" in override else ["+study=demo"]
    line = mistake(*study, override)
    assert "\n" not in line
    assert MISTAKES[override] in line


def test_of_a_key_that_is_typed_twice_the_last_value_is_named() -> None:
    assert "study.name cannot be null;" in mistake("+study=demo", "study.name=mine", "study.name=null")


def test_a_value_that_is_no_bool_is_told_so() -> None:
    assert mistake("+study=demo", "device.wait=perhaps") == "device.wait must be true or false, got 'perhaps'"


@pytest.mark.parametrize("overrides", [[], ["+study=demo", "study.name=???"]], ids=str)
def test_a_study_without_a_name_is_told_what_to_type(overrides: list[str]) -> None:
    assert mistake(*overrides) == missing_study()


@pytest.mark.parametrize("override", ["+budget.foo=3", "+optimizer.lrr=1", "+seeds=1", "+evaluation.x.y=1"])
def test_a_plus_does_not_smuggle_in_a_key_that_the_schema_lacks(override: str) -> None:
    with pytest.raises(UserError, match="there is no key"):
        to_config(composed("+study=demo", override))


def test_an_error_that_nobody_foresaw_is_cut_to_one_readable_line() -> None:
    line = explain(ValueError("first\nsecond " + "x" * 1000), [])
    assert line.startswith("first second xxx")
    assert line.endswith("(see python -m search --help)")
    assert len(line) < 400


@pytest.mark.parametrize("password", ["hunter2,", "hunter2#", "hunter2'", 'hunter2"'])
def test_a_storage_that_hydra_cannot_read_is_shown_without_its_password(password: str) -> None:
    assert "hunter2" not in mistake("+study=demo", f"storage=postgresql://someone:{password}@host/db")


def test_whoever_named_no_study_is_told_how_and_which() -> None:
    line = missing_study()
    assert "type: python -m search +study=" in line
    assert all(name in line for name in studies())


def test_a_line_for_the_user_goes_to_standard_error_and_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("two\n  lines\t of   words")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "joulesearch: two lines of words\n"


@pytest.mark.parametrize(
    "path", ["~/f.txt", "/tmp/a (1).txt", "C:\\x\\y", "a,b.txt", "it's.txt", "[x", "a b"]
)
def test_a_path_is_taken_as_it_is_typed(path: str) -> None:
    found = to_config(composed("study.name=x", readable(f"data.path={path}", swept=False))).data.path
    assert found == str(absolute(path))


def test_a_path_that_is_quoted_for_hydra_or_several_for_m_stay_what_they_are() -> None:
    assert readable("data.path='a b'", swept=False) == "data.path='a b'"
    assert readable("data.path=a,b", swept=True) == "data.path=a,b"
    assert readable("study.name=a(b", swept=False) == "study.name=a(b"


def test_a_typed_path_may_start_at_home_or_here() -> None:
    assert absolute("~/x").is_absolute()
    assert "~" not in str(absolute("~/x"))
    assert absolute("x").is_absolute()


def test_the_configuration_that_ships_lies_in_the_repository() -> None:
    assert (config_dir() / "config.yaml").is_file()
    assert config_dir().is_relative_to(root())


def test_a_path_that_is_written_into_files_is_found_from_other_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def path_of(*overrides: str) -> str | None:
        return to_config(composed("+study=demo", "data=text", *overrides)).data.path

    assert path_of("data.path=my.txt") == str(tmp_path / "my.txt")
    assert path_of("data.path='~/my.txt'") == str(tmp_path / "home" / "my.txt")
    assert path_of() is None

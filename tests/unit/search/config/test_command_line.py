import re
from pathlib import Path

import pytest

from search.config.command_line import checked, config_dirs, quoted
from search.config.help import answer
from search.errors import UserError
from search.files.paths import root
from search.files.version import version

REFUSED = {
    "--resolve": "type: --cfg job --resolve",
    "--cfg hydra --resolve": "type: --cfg job --resolve",
    "--package model": "type: --cfg job --package model",
    "--package": "--package takes a value; for example: --package model",
    "--cfg": "--cfg takes one of job, hydra, all; for example: --cfg job",
    "--cfg foo": "got 'foo'",
    "-c": "-c takes one of job, hydra, all",
    "--info foo": "--info takes one of all, config,",
    "--config-dir": "for example: --config-dir FOLDER",
    "--config-dir -m": "--config-dir takes a value",
    "--shell-completion": "install=bash",
    "-sc +study=demo": "install=bash",
    "-sc install=csh": "install=bash",
    "--config-path x": "type --config-dir FOLDER",
    "--config-name=x": "type --config-dir FOLDER",
    "--experimental-rerun x": "the command that began a study continues it",
    "--multirun --cfg job": "ask for different things",
    "--run --multirun": "ask for different things",
    "--multirun=2": "--multirun takes no value",
    "--hlp": "did you mean --help?",
    "-x": "there is no option -x",
    "-1": "there is no option -1",
    "hydra/launcher=joblib": "the studies of -m run one after another",
    "+hydra/launcher=joblib": "hydra/launcher is a setting of Hydra's",
    "hydra/sweeper=foo": "-m takes every combination",
    "hydra/job_logging=stdout": "hydra/job_logging is a setting of Hydra's",
    "hydra.run.dir=/tmp/x": "type reports=FOLDER",
    "hydra.sweep.dir=/tmp/x": "type reports=FOLDER",
    "++hydra.verbose=true": "fixed here",
    "~hydra.help": "fixed here",
    "hydra=x": "fixed here",
    "hydra.mode=MULTIRUN": "type -m",
    "hydra.searchpath=[x]": "type --config-dir FOLDER",
}


@pytest.mark.parametrize("typed", REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_line(typed: str) -> None:
    with pytest.raises(UserError) as raised:
        checked(typed.split())
    assert REFUSED[typed] in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("+study=demo -m study.seed=1,2", "--multirun +study=demo study.seed=1,2"),
        ("+study=demo -c job -p model", "--cfg=job --package=model +study=demo"),
        ("+study=demo --config-dir x a=1", "--config-dir=x +study=demo a=1"),
        ("-i +study=demo", "--info=all +study=demo"),
        ("--info defaults", "--info=defaults"),
        ("-sc install=bash", "--shell-completion install=bash"),
        ("a=1 -- -b", "a=1 -b"),
        ("--cfg=job --resolve", "--cfg=job --resolve"),
        ("hydrangea=1", "hydrangea=1"),
    ],
)
def test_options_may_stand_anywhere_and_come_first(typed: str, read: str) -> None:
    assert checked(typed.split()) == read.split()


def test_folders_of_configuration_are_known() -> None:
    assert config_dirs(checked(["-cd", "x", "a=1", "--config-dir=y"])) == [Path("x"), Path("y")]


def test_a_quoted_value_keeps_its_own_quotes() -> None:
    assert quoted('data.path=a"b\\c') == 'data.path="a\\"b\\\\c"'


def test_help_shows_an_example_that_can_be_pasted_and_every_group() -> None:
    text = answer(["--help"])
    assert text is not None
    assert "-m study.seed=1,2 'study.name=demo-${study.seed}'" in text
    assert re.search(r"^  meter: auto, cpu_time,", text, re.M)
    assert max(map(len, text.splitlines())) <= 180


def test_help_lists_the_studies_of_a_folder_that_is_added(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "aardvark.yaml").write_text("")
    assert "  study: aardvark, demo" in str(answer(["--help", f"--config-dir={tmp_path}"]))


def test_the_version_is_the_product_s() -> None:
    assert answer(["--version"]) == f"joulesearch {version()}\n"
    assert f'version = "{version()}"' in (root() / "pyproject.toml").read_text(encoding="utf-8")


def test_hydra_s_help_names_only_options_that_work() -> None:
    text = answer(["--hydra-help"])
    assert text is not None
    values = {
        "--config-dir": ["x"],
        "--cfg": ["job"],
        "--info": ["all"],
        "--shell-completion": ["install=bash"],
    }
    options = re.findall(r"^  (--[\w-]+)", text, re.M)
    assert set(options) > set(values)
    for option in options:
        assert checked([option, *values.get(option, [])])


def test_work_is_not_answered() -> None:
    assert answer(["+study=demo"]) is None

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.config import ConfigError
from search.config.checks import NAME_LENGTH, check_name, check_processes, check_run, check_study
from search.config.cores import Cores
from search.config.schema import StudyConfig
from search.errors import ONE_LINE
from search.files.paths import folder_name
from search.record.ledger import CountedPhases
from search.record.outcome import Role

SPACE: dict[str, Any] = {"optimizer": {"lr": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True}}}


def config_with(**values: Any) -> StudyConfig:
    """A sound study with some keys replaced: `study__name="x"` is study.name=x."""
    config = StudyConfig(space=copy.deepcopy(SPACE))
    config.study.name = "sound"
    for key, value in values.items():
        *parents, last = key.split("__")
        node: Any = config
        for parent in parents:
            node = getattr(node, parent)
        assert hasattr(node, last)
        setattr(node, last, value)
    return config


def test_the_defaults_with_a_name_and_a_space_are_a_study() -> None:
    space = check_study(config_with())
    assert [entry.path for entry in space.entries] == ["optimizer.lr"]


def test_a_space_in_which_nothing_ever_varies_is_no_space() -> None:
    never = {"type": "float", "low": 0.1, "high": 0.9, "when": {"schedule.name": ["trapezoid"]}}
    with pytest.raises(
        ConfigError, match=r"nothing in the space varies: .* schedule.name is never trapezoid"
    ):
        check_study(config_with(space={"schedule": {"cooldown_fraction": never}}))


def test_a_run_needs_neither_a_name_nor_a_space() -> None:
    check_run(StudyConfig())


TWO_OR_FOUR = {"train": {"processes": {"type": "categorical", "choices": [1, 2, 4]}}}


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"train__processes": 2, "model__dropout": 0.1},
            "train.processes=2 would drop other activations than one process drops; set model.dropout=0",
        ),
        ({"train__processes": 5}, "train.processes=5 must divide train.grad_accum=1"),
        (
            {"device__name": "cpu", "train__processes": 4096, "train__batch_size": 4096},
            "train.processes=4096 times device.threads=1 is more than this process may use",
        ),
        (
            {"device__id": "1", "train__processes": 2},
            "device.id=1 is one GPU, and train.processes up to 2 trains on the first 2 that are visible",
        ),
        (
            {"device__id": "1", "space": TWO_OR_FOUR},
            "device.id=1 is one GPU, and train.processes up to 4 trains on the first 4",
        ),
        (
            {"meter__gpus": ["0"], "train__processes": 2},
            "meter.gpus=0 is fewer than the 2 GPUs that train.processes=2 trains on; type meter.gpus=null",
        ),
        (
            {"device__slots": 4096, "space": TWO_OR_FOUR},
            "device.slots=4096 times device.threads=1 is more than this process may use",
        ),
    ],
)
def test_processes_that_do_not_go_with_the_rest_are_refused_in_one_line(
    values: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        check_study(config_with(**values))
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_slots_have_cores_for_all_processes() -> None:
    two_slots = config_with(device__slots=2)
    check_processes(two_slots, 2, Cores(4))
    with pytest.raises(ConfigError, match=r"times train\.processes=4 is more than .*type device\.slots=1 or"):
        check_processes(two_slots, 4, Cores(4))


RUN_MISTAKES: list[tuple[str, Any]] = [
    ("inference__batch_sizes", [1, 0]),
    ("inference__prompt_tokens", 0),
    ("inference__tokens", 0),
    ("inference__window_s", 0.0),
    ("inference__limit_s", 0.5),
    ("target_loss", 0.0),
    ("target_loss", -1.0),
    ("target_loss", math.nan),
    ("target_loss", math.inf),
    ("target_loss", "low"),
    ("target_metric", "exactness"),
    ("target_metric", "accuracy"),
    ("target_accuracy", 0.5),
    ("data__name", "shakespear"),
    ("meter__name", "nvlm"),
    ("meter__name", "ampere"),
    ("meter__also", ["auto"]),
    ("meter__also", ["roofline", "roofline"]),
    ("meter__gpu_energy", "both"),
    ("meter__gpus", []),
    ("device__temperature_band_c", [40.0]),
    ("device__temperature_band_c", [50.0, 40.0]),
    ("device__band_limit_s", -1.0),
    ("meter__counted_phases", "everything"),
    ("meter__watts_per_core", 0.0),
    ("meter__watts_per_core", math.nan),
    ("meter__static_w", -0.1),
    ("meter__idle_s", -1.0),
    ("device__name", "gpu"),
    ("device__threads", 0),
    ("budget__hang_s", 0.0),
    ("budget__hang_s", math.inf),
    ("budget__run_energy_j", 0.0),
    ("budget__run_energy_j", -5.0),
    ("budget__run_time_s", 0.0),
    ("budget__run_tokens", 0),
    ("budget__study_energy_j", 0.0),
    ("budget__rival_margin", -0.01),
    ("budget__rival_margin", math.inf),
    ("budget__rival_margin", math.nan),
    ("budget__rival_margin", "automatic"),
    ("seed", -1),
    ("reports", ""),
    ("storage", " "),
    ("recipe", ""),
    ("output", ""),
    ("optimizer__lr", math.inf),
    ("model__n_layer", 0),
    ("model__attention", "flsh"),
    ("optimizer__lr", -0.1),
    ("schedule__min_lr_ratio", 2.0),
    ("train__precision", "fp9"),
    ("evaluation__context", 0),
]
STUDY_MISTAKES: list[tuple[str, Any]] = [
    ("study__name", ""),
    ("study__name", "  "),
    ("study__name", "two\nlines"),
    ("study__seed", -1),
    ("study__prior", [" "]),
    ("budget__n_trials", 0),
    ("sampler__name", "cmaes"),
    ("sampler__name", "grid"),
    ("budget__forecast", 0.0),
    ("budget__forecast", 1.0),
    ("budget__audit", 1.5),
    ("budget__study_time_s", 0.0),
    ("budget__uses", -1.0),
    ("sampler__n_startup_trials", 0),
    ("objective__names", []),
    ("objective__names", ["energy_to_target"]),
    ("objective__names", ["parameters", "parameters"]),
    ("space", {}),
    ("space", {"optimizer": {"lr": {"type": "float", "low": 2, "high": 1}}}),
]


def refusal(check: Any, config: StudyConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        check(config)
    return str(caught.value)


@pytest.mark.parametrize(("key", "value"), RUN_MISTAKES, ids=str)
def test_a_run_refuses_a_value_that_cannot_be_meant_in_one_line_that_names_its_key(
    key: str, value: Any
) -> None:
    message = refusal(check_run, config_with(**{key: value}))
    assert "\n" not in message
    section, _, name = key.rpartition("__")
    # `data=` and so on are what a person types for the name of a group's option
    assert message.startswith(f"{section}.{name} " if section else f"{name} ") or (
        name == "name" and message.startswith(f"{section} ")
    )


@pytest.mark.parametrize(("key", "value"), [*RUN_MISTAKES, *STUDY_MISTAKES], ids=str)
def test_a_study_refuses_it_too(key: str, value: Any) -> None:
    message = refusal(check_study, config_with(**{key: value}))
    assert "\n" not in message
    assert key.split("__")[0] in message


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("data__name", "shakespear", "did you mean shakespeare?"),
        ("meter__name", "cputime", "did you mean cpu_time?"),
        ("objective__names", ["energy_to_target"], "did you mean energy_to_target_j?"),
        ("device__name", "cudaa", "did you mean cuda?"),
    ],
)
def test_a_near_miss_is_told_what_to_type(key: str, value: Any, hint: str) -> None:
    assert hint in refusal(check_study, config_with(**{key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("meter__static_w", 0.0),
        ("meter__idle_s", 0.0),
        ("seed", 0),
        ("study__seed", 0),
        ("budget__n_trials", 1),
        ("budget__run_energy_j", None),
        ("budget__run_tokens", 1),
        ("budget__rival_margin", 0),
        ("budget__rival_margin", "auto"),
    ],
)
def test_the_edge_of_what_can_be_meant_is_accepted(key: str, value: Any) -> None:
    check_study(config_with(**{key: value}))


def test_a_refusal_is_shown_to_the_user_without_a_traceback() -> None:
    assert issubclass(ConfigError, ONE_LINE)


def test_limits_are_the_runs_budgets() -> None:
    limits = config_with(budget__run_energy_j=5.0, budget__run_time_s=6.0, budget__run_tokens=7).limits()
    assert (limits.energy_j, limits.time_s, limits.tokens) == (5.0, 6.0, 7)


@pytest.mark.parametrize("policy", CountedPhases)
def test_every_policy_can_be_configured_by_its_value(policy: CountedPhases) -> None:
    config = config_with(meter__counted_phases=policy.value)
    check_run(config)
    assert config.counted_phases is policy


# ---- names

names = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=NAME_LENGTH)
tricky = st.text("./%2EF5 a", min_size=1, max_size=8)


@pytest.mark.parametrize("name", ["demo", "my study", "lr=0.1, größer", "a.b", "..."[:1] + "x", "-m", "日本"])
def test_a_name_that_can_be_read_on_one_line_is_accepted(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", " ", "\t", "a\nb", "a\x1b[31mb", "a\x00b", "x" * (NAME_LENGTH + 1), "日" * 100, "/" * 100]
)
def test_a_name_that_cannot_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^study\.name [^\n\x00\x1b]*$"):
        check_name(name)


@given(names | tricky)
def test_a_folders_name_is_one_visible_component_of_a_path(name: str) -> None:
    folder = folder_name(name)
    assert folder
    assert "/" not in folder
    assert not folder.startswith(".")


@given(names | tricky, names | tricky)
@example("a/b", "a%2Fb")
@example(".a", "%2Ea")
def test_two_studies_never_share_a_folder(first: str, second: str) -> None:
    assert (folder_name(first) == folder_name(second)) == (first == second)


@given(st.text("abcXYZ019-_ .,=äß日", min_size=1).filter(lambda name: not name.startswith(".")))
def test_a_plain_name_is_its_own_folder(name: str) -> None:
    assert folder_name(name) == name


def test_more_runs_of_the_baseline_than_there_may_be_name_both_keys() -> None:
    with pytest.raises(ConfigError, match=r"noise\.runs=9 is more than noise\.max_runs=4; raise that too"):
        check_study(config_with(noise__runs=9))


def test_a_number_without_end_is_not_told_to_be_larger() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr must be a finite number, more than 0, got inf"):
        check_run(config_with(optimizer__lr=math.inf))


def test_generating_may_not_last_so_long_that_its_worker_is_taken_for_dead() -> None:
    values = {"inference__limit_s": 700.0}
    check_run(config_with(**values))  # nothing is generated
    for asked in ({"inference__measure": True}, {"confirm__inference": True}):
        assert refusal(check_run, config_with(**values, **asked)).startswith("inference.limit_s=700 must be")


def test_who_generates_is_decided_by_the_objectives_and_the_confirmation() -> None:
    def roles(**values: Any) -> set[Role]:
        return {role for role in Role if config_with(**values).inference_plan(role) is not None}

    assert roles() == set()
    assert roles(confirm__inference=True) == {Role.CONFIRM}
    assert roles(inference__measure=True) == set(Role)
    assert roles(objective__names=["energy_to_target_j", "inference_energy_j_per_token"]) == set(Role)

from __future__ import annotations

import pytest
from records_factory import make_study, study_config

from search.report.view.data import study_view
from search.report.view.varied import varied
from search.space.levers import Lever, by_function, in_words, lever_of


@pytest.mark.parametrize(
    ("path", "values", "lever"),
    [
        ("model.attention", ["sdpa", "manual", "flex"], Lever.KERNEL),
        ("model.attention", ["sdpa", "sliding_window"], Lever.MODEL),
        ("model.attention", ["sdpa", "a row of a later version"], Lever.MODEL),
        ("model.attention_window", [16, 32], Lever.MODEL),
        ("model.loss", ["plain", "chunked", "liger"], Lever.KERNEL),
        ("model.mlp", ["swiglu", "swiglu_liger"], Lever.KERNEL),
        ("model.mlp", ["gelu", "relu2"], Lever.MODEL),
        ("model.norm", ["rmsnorm", "rmsnorm_weightless"], Lever.MODEL),
        ("model.n_layer", [1, 2], Lever.MODEL),
        ("optimizer.name", ["adamw", "muon"], Lever.TRAINING),
        ("optimizer.kernel", ["fused", "foreach"], Lever.KERNEL),
        ("optimizer.lr", [0.1, 0.2], Lever.TRAINING),
        ("schedule.name", ["cosine", "linear"], Lever.TRAINING),
        ("train.batch_size", [8, 16], Lever.TRAINING),
        ("train.precision", ["fp32", "bf16"], Lever.KERNEL),
        ("train.compile", [False, True], Lever.KERNEL),
        ("device.power_limit_w", [None, 300.0], Lever.DEVICE),
    ],
)
def test_what_computes_the_same_is_a_lever_of_the_kernel(
    path: str, values: list[object], lever: Lever
) -> None:
    assert lever_of(path, values) is lever


def test_values_that_compute_the_same_stand_together() -> None:
    tried = ["sliding_window", "manual", "sdpa", "manual", "gone"]
    assert by_function("model.attention", tried) == (("manual", "sdpa"), ("sliding_window",), ("gone",))
    assert in_words("model.attention", tried) == "manual, sdpa | sliding_window | gone"
    assert in_words("train.batch_size", [8, 16]) == "8, 16"
    assert in_words("optimizer.lr", [0.001, 0.0123456, 0.5, 2e-05, 3.0]) == "2e-05 to 3"
    assert in_words("train.compile", [False, True]) == "False, True"
    assert in_words("device.power_limit_w", [None, 300.0]) == "null, 300"


def test_a_report_lists_what_varied_with_levers_of_the_model_first() -> None:
    listed = varied(study_view(make_study(), study_config()))
    assert listed
    order = [list(Lever).index(one.lever) for one in listed]
    assert order == sorted(order)
    assert len({one.path for one in listed}) == len(listed)

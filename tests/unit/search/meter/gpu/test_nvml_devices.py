"""Which physical GPU an index or UUID means: CUDA's rules over NVML's list, as a pure function of values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import MeterUnavailable
from search.meter.gpu.nvml_devices import GpuInfo, resolve_devices

UUIDS = (
    "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
    "GPU-8932f9a0-0000-4106-c12f-20bd9faed9f6",
    "GPU-1f00aa00-1111-4106-c12f-20bd9faed9f6",
    "GPU-70d1c0de-2222-4106-c12f-20bd9faed9f6",
)
ALIKE = tuple(GpuInfo(uuid, i, "NVIDIA A100", f"00000000:{i + 1:02X}:00.0") for i, uuid in enumerate(UUIDS))
MIXED = (*ALIKE[:3], GpuInfo(UUIDS[3], 3, "NVIDIA GeForce GT 710", "00000000:04:00.0"))


def indices(
    visible: str | None, *wanted: str, order: str | None = None, gpus: tuple[GpuInfo, ...] = ALIKE
) -> list[int]:
    return [gpu.index for gpu in resolve_devices(gpus, visible, order, wanted)]


def test_without_the_variable_cuda_sees_every_gpu_in_nvmls_order() -> None:
    assert indices(None) == [0, 1, 2, 3]
    assert indices(None, "2") == [2]


def test_the_inventory_may_come_in_any_order() -> None:
    assert indices(None, "2", gpus=ALIKE[::-1]) == [2]


def test_an_index_list_renumbers_the_gpus() -> None:
    assert indices("2,0", "0") == [2]
    assert indices("2,0", "1") == [0]
    assert indices("2,0") == [2, 0]


def test_the_result_is_in_the_order_that_was_asked_for() -> None:
    assert indices("3,2,1", "2", "0") == [1, 3]


def test_full_uuids_are_visible_devices() -> None:
    assert indices(f"{UUIDS[3]},{UUIDS[1]}", "1") == [1]


def test_abbreviated_uuids_are_visible_devices() -> None:
    assert indices("GPU-1f,GPU-8932f93", "0", "1") == [2, 0]


def test_a_uuid_may_be_wanted_whole_or_abbreviated() -> None:
    assert indices("2,0", UUIDS[0]) == [0]
    assert indices("2,0", "GPU-8932f9") == [0], "the other GPU with this prefix is hidden"


@pytest.mark.parametrize("visible", ["", "-1", "-1,0", "99", "none", " ", ",0", "GPU-ffff"])
def test_a_list_without_a_valid_first_entry_hides_every_gpu(visible: str) -> None:
    with pytest.raises(MeterUnavailable, match=r"no GPU is visible: CUDA_VISIBLE_DEVICES=.* hides all 4"):
        indices(visible, "0")


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("0,2,-1,1", [0, 2]),
        ("1,4,0", [1]),
        ("1,x,0", [1]),
        ("1,,0", [1]),
        (f"1,{UUIDS[0]}", [1]),
        ("GPU-1f,GPU-ffff,GPU-70", [2]),
        ("GPU-1f,0", [2]),
    ],
)
def test_an_invalid_entry_hides_itself_and_all_after_it(visible: str, seen: list[int]) -> None:
    assert indices(visible) == seen


def test_an_abbreviation_that_fits_two_gpus_is_invalid() -> None:
    assert indices("GPU-1f,GPU-8932f9,GPU-70") == [2]


def test_spaces_and_text_after_digits_are_read_as_cuda_reads_them() -> None:
    assert indices(" 2, 1gpu,+0") == [2, 1, 0]


@pytest.mark.parametrize("visible", ["0,0", "1,0,1", "GPU-1f,GPU-1f00"])
def test_a_repeated_entry_hides_every_gpu(visible: str) -> None:
    with pytest.raises(MeterUnavailable, match="no GPU is visible"):
        indices(visible)


@pytest.mark.parametrize("visible", ["MIG-GPU-8932f937/1/0", "0,MIG-41f2"])
def test_a_visible_mig_slice_is_refused(visible: str) -> None:
    with pytest.raises(MeterUnavailable, match=r"MIG-\S+ is a MIG slice"):
        indices(visible, "0")


def test_a_wanted_mig_slice_is_refused() -> None:
    with pytest.raises(MeterUnavailable, match="MIG-41f2 is a MIG slice"):
        indices(None, "MIG-41f2")


@pytest.mark.parametrize("order", [None, "FASTEST_FIRST", "nonsense"])
@pytest.mark.parametrize(("visible", "wanted"), [(None, "0"), ("0,1", "0"), ("0,1", UUIDS[0])])
def test_with_different_models_an_index_needs_the_bus_order(
    order: str | None, visible: str | None, wanted: str
) -> None:
    with pytest.raises(MeterUnavailable, match="set CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        indices(visible, wanted, order=order, gpus=MIXED)


def test_bus_order_makes_an_index_mean_nvmls() -> None:
    assert indices("3,1", "0", order="PCI_BUS_ID", gpus=MIXED) == [3]


def test_with_different_models_uuids_need_no_order() -> None:
    assert indices(None, UUIDS[3], gpus=MIXED) == [3]
    assert indices("GPU-70,GPU-1f", "0", gpus=MIXED) == [3]


def test_different_models_do_not_matter_where_all_are_hidden() -> None:
    with pytest.raises(MeterUnavailable, match="no GPU is visible"):
        indices("", "0", gpus=MIXED)


def test_a_hidden_gpu_is_refused_with_what_cuda_sees() -> None:
    with pytest.raises(MeterUnavailable, match=rf"CUDA_VISIBLE_DEVICES='2'; CUDA sees 0={UUIDS[2]}"):
        indices("2", UUIDS[0])
    with pytest.raises(MeterUnavailable, match="1 is no visible GPU"):
        indices("2", "1")


def test_a_wanted_abbreviation_that_fits_two_gpus_is_refused() -> None:
    with pytest.raises(MeterUnavailable, match="GPU-8932f9 is several GPUs"):
        indices(None, "GPU-8932f9")


@pytest.mark.parametrize("name", ["cuda:0", "", "-1", "8932f937", "0x1", "²"])
def test_a_name_of_another_form_is_the_callers_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="a CUDA index such as 0, or a UUID"):
        indices(None, name)


def test_the_same_gpu_twice_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="named once"):
        indices(None, "0", UUIDS[0])


@settings(deadline=None)
@given(st.permutations(range(len(ALIKE))), st.data())
def test_an_index_and_the_uuid_behind_it_name_the_same_gpu(listed: list[int], data: st.DataObject) -> None:
    shown = listed[: data.draw(st.integers(1, len(listed)))]
    by_index = ",".join(map(str, shown))
    by_uuid = ",".join(UUIDS[i] for i in shown)
    assert indices(by_index) == indices(by_uuid) == shown
    for logical, physical in enumerate(shown):
        assert indices(by_index, str(logical)) == indices(by_uuid, UUIDS[physical]) == [physical]


@settings(deadline=None)
@given(st.text(alphabet="0123-,GPUMIGx8 f", max_size=24), st.sampled_from([*"0123", "GPU-8932f93"]))
def test_whatever_the_variable_holds_the_answer_is_one_visible_gpu_or_a_reason(
    visible: str, wanted: str
) -> None:
    try:
        chosen = resolve_devices(ALIKE, visible, None, [wanted])
    except MeterUnavailable:
        return
    assert len(chosen) == 1
    assert chosen[0] in resolve_devices(ALIKE, visible, None, [])

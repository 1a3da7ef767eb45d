"""Where the time of a step goes, by the names of kernels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.exam.kernel_parts import (
    Kernel,
    Part,
    covered_s,
    part_of,
    spent,
    spent_by_operators,
    utilisation,
)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nvjet_hsh_128x256_64x4_2x1_v_bz_coopA_TNT", Part.MATRIX_PRODUCTS),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n", Part.MATRIX_PRODUCTS),
        ("void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_bf16_128x64>", Part.MATRIX_PRODUCTS),
        ("ampere_sgemm_128x64_nn", Part.MATRIX_PRODUCTS),
        ("triton_tem_fused_addmm_mm_3", Part.MATRIX_PRODUCTS),
        ("aten::addmm", Part.MATRIX_PRODUCTS),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64>>", Part.ATTENTION),
        ("fmha_cutlassF_bf16_aligned_64x64_rf_sm80(PyTorchMemEffAttention)", Part.ATTENTION),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", Part.ATTENTION),
        ("triton_poi_fused_gelu_native_layer_norm_2", Part.MEMORY_BOUND),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::AddFunctor>", Part.MEMORY_BOUND),
        ("aten::native_layer_norm", Part.MEMORY_BOUND),
        ("Memcpy DtoD (Device -> Device)", Part.COPIES),
        ("aten::copy_", Part.COPIES),
    ],
)
def test_a_name_says_what_a_kernel_does(name: str, part: Part) -> None:
    assert part_of(name) is part


spans = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 10)).map(lambda one: (one[0], one[0] + one[1])), max_size=8
)


@given(spans)
def test_what_spans_cover_is_counted_once(found: list[tuple[int, int]]) -> None:
    seconds = {moment for start, end in found for moment in range(start, end)}
    assert covered_s(found) == len(seconds)


@given(spans)
def test_gaps_are_what_no_kernel_covers(found: list[tuple[int, int]]) -> None:
    kernels = [Kernel("gemm", float(start), float(end)) for start, end in found]
    gaps = spent(kernels, 100.0).by_part_s[Part.GAPS]
    assert gaps == pytest.approx(100.0 - covered_s(found))


def test_parts_of_a_step_add_up_to_it() -> None:
    kernels = [Kernel("gemm", 0.0, 3.0), Kernel("relu", 4.0, 5.0), Kernel("Memcpy HtoD", 5.0, 5.5)]
    found = spent(kernels, 8.0)
    assert sum(found.by_part_s.values()) == pytest.approx(8.0)
    assert found.share(Part.MATRIX_PRODUCTS) == pytest.approx(3 / 8)
    found = spent_by_operators([("aten::mm", 2.0), ("aten::add", 1.0), ("aten::mm", 1.0)], 5.0)
    assert found.by_part_s[Part.MATRIX_PRODUCTS] == 3.0
    assert found.by_part_s[Part.GAPS] == pytest.approx(1.0)


def test_utilisation_is_a_share_of_what_the_device_could_have_done() -> None:
    assert utilisation(matmul_flops=3e12, time_s=0.01, peak_flops_per_s=1e15) == pytest.approx(0.3)

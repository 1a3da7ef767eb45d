from __future__ import annotations

import pytest

from search.report.findings.flags import flag_words

FLAGS = (
    *("counter_power_disagree", "throttled_thermal", "throttled_power_brake", "throttled_hardware"),
    *("throttling_unknown", "power_capped", "power_limit_lowered", "foreign_process"),
    *("processes_not_identifiable", "foreign_cpu_load", "cpu_contended", "cpu_stolen", "cpu_waiting"),
    *("cpu_throttled", "cpu_load_unknown", "short_window", "started_hot", "started_cold"),
    *("temperature_unknown", "device_not_exclusive", "sampling_gap", "energy_until_last_report"),
    *("paused", "power_implausible", "threads_spinning"),
)


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_has_words(name: str) -> None:
    text = flag_words(name)
    assert text != name
    assert "_" not in text
    assert not text.endswith(".")


def test_an_unknown_flag_is_shown_by_its_name() -> None:
    assert flag_words("something_new") == "something_new"

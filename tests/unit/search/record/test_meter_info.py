"""What of a meter's settings is its model's, and what its board's."""

from __future__ import annotations

from search.record.meter_info import settings_of_model


def test_two_boards_of_a_model_have_the_same_settings() -> None:
    gpu = {"name": "H100", "power_limit_w": 700.0}
    boards = [
        {"gpu_energy": "auto", "devices": [uuid], "gpus": [{**gpu, "uuid": uuid, "pci_bus_id": uuid}]}
        for uuid in ("GPU-a", "GPU-b")
    ]
    assert settings_of_model(boards[0]) == settings_of_model(boards[1])
    assert settings_of_model(boards[0]) == {"gpu_energy": "auto", "gpus": [gpu]}
    assert settings_of_model({"watts_per_core": 3.75, "devices": ["cpu"]}) == {"watts_per_core": 3.75}

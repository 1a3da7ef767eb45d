"""What of the confirmation cannot be meant is said in one line with its key."""

import pytest

from model.config import ConfigError
from search.confirm.settings import ConfirmSettings


def test_the_defaults_can_be_meant_and_no_candidates_is_off() -> None:
    assert ConfirmSettings().candidates == 2
    assert ConfirmSettings(candidates=0).candidates == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"candidates": -1}, "confirm.candidates must be 0 (no confirmation) or more, got -1"),
        ({"seeds": 2}, "confirm.seeds must be 3 or more, got 2"),
        ({"max_seeds": 4}, "confirm.max_seeds must be confirm.seeds=5 or more, got 4"),
        ({"share": 1.0}, "confirm.share must be above 0 and below 1, got 1.0"),
        ({"share": float("nan")}, "confirm.share must be a finite number, above 0 and below 1, got nan"),
        ({"fit_runs": 2}, "confirm.fit_runs must be 3 or more, got 2"),
        ({"repeats": -1}, "confirm.repeats must be 0 or more, got -1"),
        ({"time_margin": -0.1}, "confirm.time_margin must be 0 or more, got -0.1"),
        ({"loss_margin": -0.1}, "confirm.loss_margin must be 0 or more, got -0.1"),
        ({"inference_margin": -0.1}, "confirm.inference_margin must be 0 or more, got -0.1"),
        ({"tie": 0.0}, "confirm.tie must be more than 0, got 0.0"),
        ({"energy_j": 0.0}, "confirm.energy_j must be null, or more than 0, got 0.0"),
        ({"ablate_seeds": 2}, "confirm.ablate_seeds must be 3 or more, got 2"),
    ],
)
def test_a_setting_that_cannot_be_meant_names_its_key(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        ConfirmSettings(**values)
    assert str(raised.value) == message

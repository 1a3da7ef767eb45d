"""GPUs that a run holds to a power limit and a clock are put back, whoever dies."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_gpu import Clock, FakeGpu

from model.config import DeviceConfig
from search.errors import UserError
from search.meter.choose import ChosenMeter
from search.meter.gpu.controls import NotPermitted
from search.meter.gpu.library import GpuError
from search.meter.gpu.meter import GpuMeter
from search.record.stratum import stratum_of
from search.worker.found import Found, note_of, noted, read_note, this_boot, write_note
from search.worker.holding import (
    as_found,
    check_gpus,
    held,
    holdable,
    limits_as_found,
    put_back,
    put_back_left_overs,
)
from search.worker.locks import VARIABLE, exclusive

BOTH = DeviceConfig(power_limit_w=80.0, sm_clock_mhz=600)
FORBIDDEN = NotPermitted("NVML does not permit this user to set the power limit")


class Board:
    """A machine of two GPUs, opened as NVML's are."""

    def __init__(self) -> None:
        self.gpus = [FakeGpu(Clock(), index) for index in range(2)]

    @contextmanager
    def __call__(self, uuids: Sequence[str]) -> Iterator[list[FakeGpu]]:
        yield [gpu for gpu in self.gpus if gpu.uuid in uuids]

    def is_as_found(self) -> bool:
        return all(gpu.limits_w[0] == 100.0 and gpu.fixed_mhz is None for gpu in self.gpus)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return Board()


def left_by_a_killed_run(board: Board, **changed: object) -> None:
    """GPU-0 as a run leaves it that was killed while it held 80 W and 600 MHz."""
    found = {"power_limit_mw": 100_000, "fixes_clock": True, "boot": this_boot()}
    write_note("GPU-0", Found(**{**found, **changed}))  # type: ignore[arg-type]
    board.gpus[0].limits_w, board.gpus[0].fixed_mhz = (80.0, 100.0), 600


def test_every_gpu_of_a_run_is_held_and_put_back(board: Board) -> None:
    with held(["GPU-0", "GPU-1"], BOTH, board) as changed:
        assert [(gpu.limits_w[0], gpu.fixed_mhz) for gpu in board.gpus] == [(80.0, 600)] * 2
        both = {
            "power_limit_w": {"found": 100.0, "set": 80.0},
            "sm_clock_mhz": {"found": None, "set": 600},
        }
        assert changed == {"GPU-0": both, "GPU-1": both}
        assert limits_as_found() == {"GPU-0": 100.0, "GPU-1": 100.0}
    assert board.is_as_found()
    assert noted() == []


def test_a_run_that_wants_nothing_tells_the_gpu_nothing(board: Board) -> None:
    with held(["GPU-0"], DeviceConfig(), board) as changed:
        assert (changed, noted()) == ({}, [])
    assert board.gpus[0].told == []


def test_what_is_not_asked_for_is_not_touched(board: Board) -> None:
    with held(["GPU-0"], DeviceConfig(power_limit_w=80.0), board):
        pass
    assert board.gpus[0].told == ["80 W", "100 W"]


def test_what_was_found_is_noted_before_the_first_change(board: Board) -> None:
    class Watched(FakeGpu):
        def set_power_limit(self, milliwatts: int) -> None:
            assert read_note(self.uuid) == Found(100_000, True, this_boot())
            super().set_power_limit(milliwatts)

    board.gpus[0] = Watched(Clock())
    with held(["GPU-0"], BOTH, board):
        assert board.gpus[0].told == ["80 W", "600 MHz"]
    assert board.is_as_found()


def test_a_run_that_raises_leaves_its_gpus_as_they_were(board: Board) -> None:
    with pytest.raises(KeyboardInterrupt), held(["GPU-0"], BOTH, board):
        raise KeyboardInterrupt
    assert board.is_as_found()
    assert noted() == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (DeviceConfig(power_limit_w=80.0), "GPU-1 was set to 80 W, says 100 W"),
        (DeviceConfig(sm_clock_mhz=600), "GPU-1 was fixed at 600 MHz and runs at 1000 MHz"),
    ],
)
def test_what_does_not_read_back_is_refused_and_all_gpus_put_back(
    board: Board, wanted: DeviceConfig, said: str
) -> None:
    board.gpus[1].deaf = True
    with pytest.raises(UserError, match=said), held(["GPU-0", "GPU-1"], wanted, board, settle_s=0.0):
        raise AssertionError("it is not held")
    assert board.is_as_found()
    assert noted() == []


def test_a_limit_that_something_else_undercuts_is_refused(board: Board) -> None:
    board.gpus[0].enforced_mw = 60_000
    with (
        pytest.raises(UserError, match=r"says 80 W and holds 60 W; type device\.power_limit_w=null"),
        held(["GPU-0"], DeviceConfig(power_limit_w=80.0), board, settle_s=0.0),
    ):
        raise AssertionError("it is not held")
    assert board.is_as_found()


def test_who_may_not_set_it_is_told_in_one_line_what_to_type(board: Board) -> None:
    board.gpus[0].refuses["set_power_limit"] = FORBIDDEN
    line = r"does not permit .*; start the program as root .* type device\.power_limit_w=null"
    with pytest.raises(UserError, match=line), held(["GPU-0"], BOTH, board):
        raise AssertionError("it is not held")
    with pytest.raises(UserError, match=line):
        check_gpus(["GPU-1", "GPU-0"], to_hold=True, open_controls=board)
    check_gpus(["GPU-0"], to_hold=False, open_controls=board)
    assert board.is_as_found()


def test_asking_for_permission_changes_nothing(board: Board) -> None:
    board.gpus[1].refuses["power_limit_mw"] = GpuError("it has no limit", unsupported=True)
    check_gpus(["GPU-0", "GPU-1"], to_hold=True, open_controls=board)
    assert board.is_as_found()
    assert [gpu.told for gpu in board.gpus] == [["100 W"], []]


def test_what_a_killed_run_left_is_put_back_by_whoever_comes_next(board: Board) -> None:
    left_by_a_killed_run(board)
    put_back_left_overs(board)
    assert board.is_as_found()
    assert noted() == []
    left_by_a_killed_run(board)
    with held(["GPU-0"], DeviceConfig(power_limit_w=90.0), board) as changed:
        assert changed["GPU-0"]["power_limit_w"]["found"] == 100.0
    assert board.is_as_found()


def test_what_was_not_changed_yet_when_the_run_was_killed_stays(board: Board) -> None:
    write_note("GPU-0", Found(100_000, False, this_boot()))
    put_back_left_overs(board)
    assert board.gpus[0].told == []
    assert noted() == []


def test_a_gpu_that_a_run_holds_is_left_alone(board: Board) -> None:
    left_by_a_killed_run(board)
    with exclusive(["GPU-0"], "a run", wait=False):
        put_back_left_overs(board)
        check_gpus(["GPU-0"], to_hold=True, open_controls=board)
    assert board.gpus[0].limits_w[0] == 80.0
    assert noted() == ["GPU-0"]


def test_after_a_reboot_the_driver_has_forgotten_it_already(board: Board) -> None:
    left_by_a_killed_run(board, boot="another boot")
    put_back_left_overs(board)
    assert board.gpus[0].told == []
    assert noted() == []


def test_a_gpu_that_cannot_be_put_back_keeps_its_note_and_the_next_run_is_told(
    board: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(["GPU-0"], BOTH, board):
        board.gpus[0].refuses["set_power_limit"] = FORBIDDEN
    assert "GPU-0 could not be put back" in capsys.readouterr().err
    assert noted() == ["GPU-0"]
    put_back_left_overs(board)
    for start in (lambda: put_back("GPU-0", board), lambda: check_gpus(["GPU-0"], False, board)):
        with pytest.raises(
            UserError, match=r"as root: nvidia-smi -i GPU-0 -pl 100; nvidia-smi -i GPU-0 -rgc"
        ):
            start()
    board.gpus[0].refuses.clear()
    put_back_left_overs(board)
    assert board.is_as_found()


def test_a_note_that_says_nothing_is_refused(board: Board) -> None:
    note_of("GPU-0").write_text("{}")
    with pytest.raises(
        UserError, match=r"cannot be believed, .* type, as root: nvidia-smi -i GPU-0 -pl WATTS"
    ):
        put_back("GPU-0", board)
    assert limits_as_found() == {}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's file")
def test_another_users_note_is_not_believed(board: Board) -> None:
    left_by_a_killed_run(board)
    os.chown(note_of("GPU-0"), 12345, 12345)
    with pytest.raises(UserError, match="cannot be believed"):
        put_back("GPU-0", board)
    assert board.gpus[0].told == []


def test_a_limit_that_a_run_sets_makes_no_other_kind_of_device(board: Board) -> None:
    """The limit as it was found does."""
    before, limit_w = kind_of(board), 80.0
    with held(["GPU-0"], DeviceConfig(power_limit_w=limit_w), board):
        assert kind_of(board) == before
    board.gpus[0].limits_w = (limit_w, 100.0)
    assert kind_of(board) != before


def kind_of(board: Board) -> object:
    class Described(FakeGpu):
        def describe(self) -> dict[str, object]:
            return {"uuid": self.uuid, "power_limit_w": board.gpus[0].limits_w[0]}

    meter = GpuMeter([Described(Clock())], in_background=False)
    return stratum_of({}, as_found(ChosenMeter.of(meter, ""), limits_as_found()).info)


def test_what_can_be_set_is_what_all_gpus_of_the_run_take(board: Board) -> None:
    meter = ChosenMeter.of(GpuMeter(board.gpus, in_background=False), "")
    board.gpus[0].limit_range_mw, board.gpus[1].limit_range_mw = (50_000, 200_000), (80_000, 300_000)
    board.gpus[1].clocks = (300, 307, 315)
    found = holdable([meter], board)
    assert (found.power_limits_w, found.sm_clocks_mhz, found.held_not) == ((80.0, 200.0), (300, 315), "")
    board.gpus[0].refuses["power_limits_mw"] = GpuError("it has none", unsupported=True)
    assert holdable([meter], board).power_limits_w == ()

"""What makes a run doubtful, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from search.console.plural import counted
from search.report.findings.names import capitalised
from search.report.view.data import StudyView

# What makes a run doubtful. A flag that is not here is shown by its name.
FLAGS = {
    "counter_power_disagree": "the energy counter and the integrated power differ by over 5 %",
    "throttled_thermal": "heat held the clocks down",
    "throttled_power_brake": "an outside power brake held the clocks down",
    "throttled_hardware": "the hardware held the clocks down",
    "throttling_unknown": "whether the clocks were held down could not be read",
    "power_capped": "the power limit held the clocks down, as it may under heavy work on a healthy GPU",
    "power_limit_lowered": "the power limit is below the board's default",
    "foreign_process": "another process computed on the GPU, and its joules are in the run's",
    "processes_not_identifiable": "who else computed on the device could not be told, as in a container",
    "foreign_cpu_load": "other processes used over a tenth of a core",
    "cpu_contended": "a thread of the run waited for a core for over 5 % of the time",
    "cpu_stolen": "the hypervisor gave over 5 % of a core to others",
    "cpu_waiting": "the run left its core idle without a known cause: a disk, a lock, or a silent hypervisor",
    "cpu_throttled": "a CPU quota held the run back for over 5 % of the time",
    "cpu_load_unknown": "what else kept the CPU busy could not be read",
    "waited_for_data": "training waited for data for over 2 % of its time: a faster disk, or a text "
    "that fits on the device",
    "short_window": "so short that one update of the meter is over 1 % of what counts",
    "started_hot": "the device was above its temperature band at the start, and so may have drawn more",
    "started_cold": "the device was below its temperature band at the start, and so may have drawn less",
    "temperature_unknown": "the device gave no temperature, so whether it started in its band is not known",
    "device_not_exclusive": "nothing kept other runs off the device",
    "sampling_gap": "the power was not sampled for a while, so that its integral has a gap",
    "power_implausible": "the power read beside the counter was not above 0 W, so it checks nothing",
    "paused": "the run's process stood still for over a second (stopped, suspended, or asleep with its "
    "machine), and what was drawn meanwhile is in its joules",
    "threads_spinning": "threads never slept while one waited for a core, so they spin and burn core-seconds "
    "that no work needs; device.threads=1 avoids it",
    "energy_until_last_report": "the worker was lost: its joules are those up to its last report, at least",
}


def flag_words(name: str) -> str:
    """The flag as a clause, or its name where it has no words."""
    return FLAGS.get(name, name)


@dataclass(frozen=True)
class FlagRow:
    """A flag with how many runs have it; `meaning` is empty where it has no words."""

    name: str
    meaning: str


def flags(view: StudyView) -> tuple[FlagRow, ...]:
    """Those that occurred, the most frequent first."""
    found = Counter(name for record in view.records for name in record.flags).most_common()
    return tuple(FlagRow(f"{name}, {counted(runs, 'run')}", _meaning(name)) for name, runs in found)


def _meaning(name: str) -> str:
    text = flag_words(name)
    return "" if text == name else f"{capitalised(text)}."

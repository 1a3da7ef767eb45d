"""Every flag and its meaning: what made a run doubtful. A flag is shown and does not lose the run.

`python -m search.record.flags` prints the Markdown table in `docs/measurement.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Flag(StrEnum):
    """A flag's name as it stands in a record, and what it means, as a clause."""

    meaning: str

    def __new__(cls, name: str, meaning: str = "") -> Flag:
        flag = str.__new__(cls, name)
        flag._value_ = name
        flag.meaning = meaning
        return flag

    SHORT_WINDOW = "short_window", "so short that one update of the meter is over 1 % of what counts"
    PAUSED = (
        "paused",
        "the run's process stood still for over a second (stopped, suspended, or asleep with its machine), "
        "and what was drawn meanwhile is in its joules",
    )
    WAITED_FOR_DATA = (
        "waited_for_data",
        "training waited for data for over 2 % of its time: a faster disk, or a text that fits on the device",
    )
    ENERGY_UNTIL_LAST_REPORT = (
        "energy_until_last_report",
        "the worker was lost: its joules are those up to its last report, at least",
    )

    CODE_CHANGED = (
        "code_changed",
        "other code trained it than the baseline of its study, or another torch, so the two do not compare",
    )

    LATE = (
        "late",
        "it ended after its lease had run out, and another run stands in its place, so it ranks nowhere",
    )

    STARTED_HOT = (
        "started_hot",
        "the device was above its temperature band at the start, and so may have drawn more",
    )
    STARTED_COLD = (
        "started_cold",
        "the device was below its temperature band at the start, and so may have drawn less",
    )
    TEMPERATURE_UNKNOWN = (
        "temperature_unknown",
        "the device gave no temperature, so whether it started in its band is not known",
    )

    FOREIGN_CPU_LOAD = "foreign_cpu_load", "other processes used over a tenth of a core"
    CPU_CONTENDED = "cpu_contended", "a thread of the run waited for a core for over 5 % of the time"
    CPU_STOLEN = "cpu_stolen", "the hypervisor gave over 5 % of a core to others"
    CPU_THROTTLED = "cpu_throttled", "a CPU quota held the run back for over 5 % of the time"
    THREADS_SPINNING = (
        "threads_spinning",
        "two threads or more never slept while one waited for a core, or a quota held the run back, for over "
        "5 % of the time, so they spin and burn core-seconds that no work needs; device.threads=1 avoids it",
    )
    CPU_WAITING = (
        "cpu_waiting",
        "the run left over a tenth of its core idle without a known cause: a disk, a lock, or a silent "
        "hypervisor",
    )
    CPU_LOAD_UNKNOWN = "cpu_load_unknown", "what else kept the CPU busy could not be read"

    FOREIGN_PROCESS = (
        "foreign_process",
        "another process computed on the GPU, and its joules are in the run's",
    )
    PROCESSES_NOT_IDENTIFIABLE = (
        "processes_not_identifiable",
        "who else computed on the device could not be told, as in a container",
    )
    THROTTLED_THERMAL = "throttled_thermal", "heat held the clocks down"
    THROTTLED_POWER_BRAKE = "throttled_power_brake", "an outside power brake held the clocks down"
    THROTTLED_HARDWARE = "throttled_hardware", "the hardware held the clocks down"
    POWER_CAPPED = (
        "power_capped",
        "the power limit held the clocks down, as it may under heavy work on a healthy GPU",
    )
    THROTTLING_UNKNOWN = "throttling_unknown", "whether the clocks were held down could not be read"
    POWER_LIMIT_LOWERED = (
        "power_limit_lowered",
        "the power limit is below the board's default, or below what the run itself had set",
    )

    COUNTER_POWER_DISAGREE = (
        "counter_power_disagree",
        "the energy counter and the integrated power differ by over 5 % in 10 s or more",
    )
    SAMPLING_GAP = (
        "sampling_gap",
        "the power was not sampled for over 2 s, so that its integral has a gap",
    )
    POWER_IMPLAUSIBLE = (
        "power_implausible",
        "the power read beside the counter was not above 0 W, so it checks nothing",
    )


# What kept the device busy, held it back, or trained otherwise. Two runs of which only one saw this do not
# compare.
LOAD_FLAGS = frozenset(
    (
        Flag.CODE_CHANGED,
        Flag.STARTED_HOT,
        Flag.STARTED_COLD,
        Flag.FOREIGN_CPU_LOAD,
        Flag.CPU_CONTENDED,
        Flag.CPU_STOLEN,
        Flag.CPU_THROTTLED,
        Flag.THREADS_SPINNING,
        Flag.CPU_WAITING,
        Flag.FOREIGN_PROCESS,
        Flag.THROTTLED_THERMAL,
        Flag.THROTTLED_POWER_BRAKE,
        Flag.THROTTLED_HARDWARE,
        Flag.POWER_CAPPED,
    )
)

_MEANINGS: Mapping[str, str] = {flag: flag.meaning for flag in Flag}


def meaning(name: str) -> str:
    """The flag as a clause, or its name where this version does not know it."""
    return _MEANINGS.get(name, name)


def markdown_table() -> str:
    """All flags in Markdown, without a newline at the end."""
    rows = [f"| `{flag}` | {flag.meaning} |" for flag in Flag]
    return "\n".join(["| flag | what was seen |", "|---|---|", *rows])


if __name__ == "__main__":
    print(markdown_table())

"""RAPL's zones as Linux lists them under /sys/class/powercap; the one place where a failing file becomes one
of our errors.

Zones are links there, nested ones beside their parents ("intel-rapl:0", "intel-rapl:0:1"), so the folder is
listed and not descended into: each zone is found once. AMD's counters are under the same names. The control
type intel-rapl-mmio is left out: it shows a package of intel-rapl a second time, through another register.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from search.meter.cpu.powercap import Domain, PowercapError

ROOT = Path("/sys/class/powercap")
ZONE = re.compile(r"intel-rapl(:[0-9a-f]+)+")  # the kernel numbers zones in hexadecimal


class SysfsPowercap:
    """The zones of this machine. `read` gives a file's text."""

    def __init__(self, root: Path = ROOT, read: Callable[[Path], str] = Path.read_text) -> None:
        self._root = root
        self._read = read

    def domains(self) -> Sequence[Domain]:
        try:
            zones = [folder.name for folder in self._root.iterdir() if ZONE.fullmatch(folder.name)]
        except OSError:
            zones = []
        if not zones:
            raise PowercapError(
                f"{self._root} lists no RAPL counter: this is a virtual machine, an ARM processor or not "
                "Linux, or the kernel's module is not loaded (`sudo modprobe intel_rapl_msr`, for AMD too)"
            )
        return tuple(self._domain(zone) for zone in sorted(zones, key=_numbers))

    def energy_uj(self, domain: Domain) -> int:
        return int(self._text(domain.zone, "energy_uj"))

    def _domain(self, zone: str) -> Domain:
        return Domain(
            zone=zone,
            name=self._text(zone, "name").strip(),
            range_uj=int(self._text(zone, "max_energy_range_uj")),
            max_power_w=self._max_power_w(zone),
        )

    def _max_power_w(self, zone: str) -> float | None:
        """The largest power in the zone's constraints: rated powers, and the limits in force, which may be
        higher. Many kernels answer 0 or an error for those that a processor does not have."""
        limits_uw: list[int] = []
        for pattern in ("constraint_*_max_power_uw", "constraint_*_power_limit_uw"):
            for file in (self._root / zone).glob(pattern):
                try:
                    limits_uw.append(int(self._read(file)))
                except (OSError, ValueError):
                    continue
        largest_uw = max(limits_uw, default=0)
        return largest_uw / 1e6 if largest_uw > 0 else None

    def _text(self, zone: str, file: str) -> str:
        """The number or name in a zone's file."""
        try:
            text = self._read(self._root / zone / file)
        except PermissionError as error:
            self._refuse(zone, file, error)
        except FileNotFoundError as error:
            raise PowercapError(
                f"{self._root / zone} has no {file}: this container hides RAPL, as Docker does since 24.0.7, "
                "or the kernel's module was unloaded"
            ) from error
        except OSError as error:
            raise PowercapError(f"{zone}/{file} cannot be read: {error.strerror or error}") from error
        if file != "name" and not re.fullmatch(r"\s*-?[0-9]+\s*", text):
            raise PowercapError(f"{zone}/{file} holds no whole number: {text.strip()[:40]!r}")
        return text

    def _refuse(self, zone: str, file: str, error: PermissionError) -> NoReturn:
        """Since Linux 5.10 only root may read energy_uj, on some distributions nothing of a zone."""
        raise PowercapError(
            f"only root may read RAPL's {zone}/{file}: `sudo chmod -R a+r {self._root}/intel-rapl/` opens it "
            "to everybody until the next boot, which is your decision, because through this counter other "
            "users of the machine can learn secrets such as keys (PLATYPUS, CVE-2020-8694)",
            forbidden=True,
        ) from error


def _numbers(zone: str) -> tuple[int, ...]:
    return tuple(int(number, 16) for number in zone.split(":")[1:])

"""Where a study's numbers come from, in one line: device, dates and versions."""

from __future__ import annotations

from datetime import datetime

from search.console.plural import counted
from search.report.view.origin import Origin


def origin_words(found: Origin) -> str:
    """Device, dates and versions in one line, without what is not known."""
    return "; ".join(part for part in (_device(found), _dates(found), _versions(found)) if part)


def _device(found: Origin) -> str:
    name = found.hardware.get("device") or found.hardware.get("gpu") or found.hardware.get("cpu")
    if not name:
        return ""
    threads, system = found.hardware.get("threads"), found.hardware.get("system")
    parts = [str(name)]
    if isinstance(threads, int):
        parts.append(counted(threads, "thread"))
    if system:
        parts.append(str(system))
    return ", ".join(parts)


def _dates(found: Origin) -> str:
    """`2026-11-25, 22:47 to 22:48 UTC`; with both days where they differ."""
    try:
        first, last = (datetime.fromisoformat(time or "") for time in (found.first_started, found.last_ended))
    except ValueError:
        return ""
    if first.date() == last.date():
        return f"{first:%Y-%m-%d, %H:%M} to {last:%H:%M} UTC"
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _versions(found: Origin) -> str:
    """The versions of what moves the joules: the product, torch, Python."""
    named = {
        "joulesearch": found.code.get("version"),
        "torch": found.software.get("torch"),
        "Python": found.software.get("python"),
    }
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)

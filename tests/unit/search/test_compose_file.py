"""docs/compose.yaml: a database for shared studies, which nobody reaches from outside unless asked."""

from __future__ import annotations

from pathlib import Path

import yaml

COMPOSE = Path(__file__).parents[3] / "docs" / "compose.yaml"


def test_every_port_is_published_on_loopback_and_no_password_is_written_down() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    published = [port for service in services.values() for port in service["ports"]]
    assert published
    assert all(port.removeprefix("${POSTGRES_BIND:-").startswith("127.0.0.1") for port in published)
    secrets = [service["environment"] for service in services.values()]
    values = [value for each in secrets for key, value in each.items() if "PASSWORD" in key]
    assert values
    assert all(value.startswith("${POSTGRES_PASSWORD:?") for value in values)

"""The meter: scripted sensors and counters, then this machine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from engine.load.machine import MachineMeter, list_allowed_cpus


def sense(**groups: list[float | None]) -> dict[str, list[Any]]:
    return {
        name: [SimpleNamespace(current=value) for value in values]
        for name, values in groups.items()
    }


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({}, None),
        ({"coretemp": [None]}, None),
        ({"coretemp": [51.0, 64.0], "nvme": [127.0]}, 64.0),
        ({"acpitz": [40.0], "nvme": [45.0]}, 45.0),
    ],
)
def test_temperature_is_that_of_the_processors_where_known(
    groups: dict[str, list[float | None]],
    expected: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = sense(**groups)
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: answer, raising=False)
    assert MachineMeter([0]).read_temperature_c() == expected


def test_sensor_that_refuses_is_no_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "sensors_temperatures", refuse, raising=False)
    assert MachineMeter([0]).read_temperature_c() is None


def test_hidden_or_missing_counters_are_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MachineMeter([0, 100_000]).read_totals() == [None, None]
    meter = MachineMeter([0])

    def refuse(percpu: bool) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    assert meter.read_totals() == [None]
    assert meter.read_totals() == [None]


def test_this_machine() -> None:
    cpus = list_allowed_cpus()
    assert cpus == sorted(set(cpus))
    meter = MachineMeter(cpus)
    shares = meter.read_totals()
    assert len(shares) == len(cpus)
    assert all(share is None or 0.0 <= share <= 1.0 for share in shares)
    memory = meter.read_memory()
    assert 0 < memory.available_bytes <= memory.total_bytes

"""`scribble monitor` and `scribble doctor` on whatever machine this is."""

from __future__ import annotations

import json
import sys

import pytest

from engine.monitor import ResourceMetrics, ResourceMonitor
from experiments import doctor, monitor
from experiments.cli import main

Capture = pytest.CaptureFixture[str]


def test_monitor_json_is_one_snapshot(capsys: Capture) -> None:
    assert main(["monitor", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    metrics = ResourceMetrics.from_dict(row)
    assert metrics.to_dict() == row
    assert 0 < metrics.tunnel_frequency <= 432.0 * 1.618033988749895


def test_monitor_once(capsys: Capture) -> None:
    assert main(["monitor", "--once"]) == 0
    out = capsys.readouterr().out
    for label in ("cores", "memory", "available", "process", "offer"):
        assert label in out


def test_monitor_ends_cleanly_on_interrupt(capsys: Capture) -> None:
    waits = []

    def wait(span_s: float) -> None:
        waits.append(span_s)
        if len(waits) == 3:
            raise KeyboardInterrupt

    assert monitor.show_monitor(wait=wait) == 0
    assert capsys.readouterr().out.count("available") == 2


def test_doctor_finds_no_fault_here(capsys: Capture) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for subject in ("Python", "numba", "cores", "memory", "NVML", "threading", "CUDA",
                    "conf", "folder"):  # fmt: skip
        assert subject in out


def test_doctor_json(capsys: Capture) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {finding["level"] for finding in findings} <= {"ok", "note"}


def test_doctor_names_what_is_broken_and_goes_on(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    def fail() -> None:
        raise OSError("no such device")

    monkeypatch.setattr(ResourceMonitor, "__enter__", lambda self: fail())
    findings = {finding.subject: finding for finding in doctor.examine_machine()}
    assert findings["pyarrow"].level == "broken"
    assert findings["pyarrow"].cure == "pip install pyarrow"
    assert findings["resources"].level == "broken"
    assert findings["conf"].level == "ok"
    assert main(["doctor"]) == 1


def test_doctor_and_monitor_need_no_hydra(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] in ("hydra", "omegaconf")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hydra", None)
    monkeypatch.setitem(sys.modules, "omegaconf", None)
    assert main(["monitor", "--json"]) == 0
    capsys.readouterr()
    assert main(["doctor"]) == 0
    assert "pip install hydra-core" in capsys.readouterr().out

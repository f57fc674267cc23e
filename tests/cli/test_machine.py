"""`scribble monitor` and `scribble doctor` on whatever machine this is."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

from engine.backends import kernel_cache
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
    for subject in ("Python", "numba", "cores", "memory", "NVML", "threading",
                    "kernels", "CUDA", "conf", "folder"):  # fmt: skip
        assert subject in out


def test_doctor_json(capsys: Capture) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {finding["level"] for finding in findings} <= {"ok", "note"}


def test_doctor_says_whether_kernels_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_cache, "find_cache_folder", lambda: ("/kept", True))
    (finding,) = doctor.examine_kernel_cache()
    assert (finding.level, finding.cure) == ("ok", "")
    assert "/kept" in finding.text
    monkeypatch.setattr(kernel_cache, "find_cache_folder", lambda: ("/tmp/x", False))
    (finding,) = doctor.examine_kernel_cache()
    assert finding.level == "note"
    assert finding.cure == "set NUMBA_CACHE_DIR to a writable folder"


def test_doctor_names_a_foreign_conf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "conf", raising=False)
    (finding,) = doctor.examine_configuration()
    assert (finding.subject, finding.level) == ("conf", "broken")
    assert str(tmp_path / "conf.py") in finding.text


def test_doctor_finds_cupy_packages_that_exclude_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    versions = {"cupy-cuda11x": "13.6", "cupy-cuda12x": "14.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    finding = next(doctor.examine_cuda())
    assert finding.level == "broken"
    assert finding.text == "cupy-cuda11x 13.6 and cupy-cuda12x 14.0 exclude each other"


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

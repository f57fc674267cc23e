"""The GPU benchmark where there is no GPU, or one that is too small."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import gpu
from engine.backends.probe import probe_cuda

Capture = pytest.CaptureFixture[str]


@pytest.mark.skipif(probe_cuda().is_usable, reason="there is a GPU")
def test_no_device_is_one_sentence_and_exit_code_two(
    tmp_path: Path, capsys: Capture
) -> None:
    assert gpu.main(["--save", str(tmp_path / "gpu.json")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("scribble: error: ")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_absent_folder_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: Capture
) -> None:
    assert gpu.main(["--save", str(tmp_path / "absent" / "gpu.json")]) == 2
    assert "make its folder first" in capsys.readouterr().err


def test_case_that_does_not_fit_is_listed_with_the_reason() -> None:
    small = SimpleNamespace(memory_free_bytes=lambda: 2**30)
    row = gpu.measure_lattice(small, "square", (16384, 16384), "euler", 1e12)
    # 1.3 times 12 bytes for each of 2^28 nodes.
    assert row["left_out"] == "needs 3.9 GiB, and 1 GiB are free"
    assert gpu.describe_lattice(row) == (
        "square (16384, 16384) euler: left out, it needs 3.9 GiB, and 1 GiB are free"
    )


def test_steps_are_launched_one_by_one() -> None:
    calls: list[object] = []
    stream = SimpleNamespace(synchronize=lambda: calls.append("wait"))
    device = SimpleNamespace(
        step_lattice=lambda lattice, tableau, dt_s, count: calls.append(count),
        _device=SimpleNamespace(stream=stream),
    )
    assert gpu.time_single_steps(device, None, "euler", 3) > 0.0
    turns = gpu.WARM_PERIODS + gpu.ROUNDS
    assert calls == [1, 1, 1, "wait"] * turns

"""A GPU that fails in mid-run: the real CUDA back end, on the emulation of a device.

What is raised are CuPy's exceptions by name and text, at any call that a run makes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.backends.probe import probe_cuda
from engine.errors import DeviceError
from engine.recording.checkpoint import list_checkpoints
from engine.system import ScribbleSystem
from experiments.cli import main
from experiments.overrides import compose_run_config
from experiments.sweep.plan import join_words
from tests.faults.harness import SETTINGS, Ledger, read_summary
from tests.host_cuda.emulated_cupy import (
    CUDADriverError,
    CUDARuntimeError,
    EmulatedCupy,
    EmulatedDevice,
    OutOfMemoryError,
)

WORDS = (
    *(*SETTINGS, "lattice.shape=[16,16]", "dynamics.duration_s=0.03"),
    *("controller.period_steps=10", "record.checkpoint_every_s=0.01"),
    "backend.auto_min_nodes=1",
)
# Beyond the shared memory of a small block, so that launches are captured as graphs.
LARGE = "lattice.shape=[32,32]"
SMALL_BLOCK = EmulatedDevice.attributes | {"MaxSharedMemoryPerBlockOptin": 12 * 1024}
SHORT = OutOfMemoryError("Out of memory allocating 512 bytes (allocated so far: 9).")
SHORT_LAUNCH = CUDADriverError("CUDA_ERROR_OUT_OF_MEMORY: out of memory")
SHORT_RUNTIME = CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
ILLEGAL = CUDARuntimeError(
    "cudaErrorIllegalAddress: an illegal memory access was encountered"
)
GONE = CUDADriverError("CUDA_ERROR_DEVICE_UNAVAILABLE: device is busy or unavailable")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def libraries() -> dict[str, Any]:
    return {}


@pytest.fixture(autouse=True)
def cupy(
    folder: Path, libraries: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> EmulatedCupy:
    emulated = EmulatedCupy(folder, libraries)
    monkeypatch.setitem(sys.modules, "cupy", emulated)
    monkeypatch.setattr(EmulatedDevice, "attributes", SMALL_BLOCK)
    probe_cuda.cache_clear()
    monkeypatch.setattr("engine.backends.probe._list_cupy_packages", lambda: ["cupy"])
    return emulated


@pytest.fixture(autouse=True)
def _forget_the_probe() -> Any:
    yield
    probe_cuda.cache_clear()


@dataclass
class Trouble:
    """Raises an error at one of the calls that begin with a name."""

    what: str
    error: Exception | None = None
    at: int = 0
    """Number of the call, from 1."""
    lasts: str | None = None
    """Names of the calls that go on failing; empty: all; None: none."""
    seen: int = 0
    freed: int = 0

    def __call__(self, called: str) -> None:
        self.freed += called == "free"
        has_begun = self.error is not None and self.seen >= self.at
        if has_begun and self.lasts is not None and called.startswith(self.lasts):
            assert self.error is not None
            raise self.error
        if not called.startswith(self.what):
            return
        self.seen += 1
        if self.error is not None and self.seen == self.at:
            raise self.error


def make(trouble: Trouble, monkeypatch: pytest.MonkeyPatch) -> Trouble:
    monkeypatch.setattr(EmulatedDevice, "trouble", trouble)
    return trouble


def run(folder: Path, *words: str) -> dict[str, Any]:
    """Run from the command line, in this process."""
    own = join_words(WORDS, words)
    assert main(["run", "-q", f"record.folder={folder}", *own]) in (0, 1)
    return read_summary(folder)


def find_late_call(
    what: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str]:
    """Return a call late in a run that nothing happens to, and its digest."""
    assert probe_cuda().is_usable  # once, so that runs make the same calls
    counting = make(Trouble(what), monkeypatch)
    summary = run(folder, "backend=cuda", *words)
    monkeypatch.setattr(EmulatedDevice, "trouble", None)
    assert (summary["status"], summary["backend"]) == ("done", "cuda")
    # Most arrays are allocated at the start; the last copies belong to the digest.
    assert counting.seen > 8
    back = 4 if what == "allocate" else counting.seen // 4
    return counting.seen - back, summary["state_digest"]


@pytest.mark.parametrize(
    ("what", "error", "lasts", "shape"),
    [
        ("allocate", SHORT, "allocate", ()),
        ("launch run_period", SHORT_LAUNCH, None, ()),
        ("launch graph", ILLEGAL, "", (LARGE,)),
        *(
            pytest.param(*case, marks=pytest.mark.faults)
            for case in (
                ("allocate", SHORT_RUNTIME, "allocate", (LARGE,)),
                ("launch run_tunnel_events", SHORT_LAUNCH, None, (LARGE,)),
                ("launch sum_order", ILLEGAL, "", ()),
                ("get", GONE, "", ()),
                ("set", GONE, "", (LARGE,)),
            )
        ),
    ],
)
def test_a_run_that_loses_its_gpu_goes_on_elsewhere(
    what: str,
    error: Exception,
    lasts: str | None,
    shape: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ledger: Ledger,
) -> None:
    at, digest = find_late_call(what, tmp_path / "whole", monkeypatch, *shape)
    make(Trouble(what, error, at, lasts), monkeypatch)
    capsys.readouterr()
    cut = tmp_path / "cut"
    words = [f"record.folder={cut}", "backend=cuda", *join_words(WORDS, shape)]
    assert main(["run", "-q", *words]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("scribble: error: host emulation of a CUDA device ")
    assert told[-1].endswith(f"On the CPU: scribble resume {cut} --backend cpu")
    assert str(error).rstrip(".") in told[-1]
    assert "Traceback" not in "".join(told)
    summary = read_summary(cut)
    assert (summary["status"], summary["state_digest"]) == ("failed", None)
    step = int(list_checkpoints(cut)[0].stem)
    assert f"scribble resume goes on from step {step}" in summary["notes"]
    assert 0 < step <= summary["steps"]
    assert main(["resume", "-q", str(cut), "--backend", "cpu"]) == 0
    resumed = read_summary(cut)
    assert (resumed["status"], resumed["backend"]) == ("done", "cpu")
    assert resumed["state_digest"] == digest
    ledger.gpu_faults += 1


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("allocate", SHORT),
        *(
            pytest.param(*case, marks=pytest.mark.faults)
            for case in (
                ("set", SHORT_RUNTIME),
                ("get", SHORT_RUNTIME),
                ("launch sum_order", SHORT_LAUNCH),
            )
        ),
    ],
)
def test_a_shortage_that_passes_is_outlived(
    what: str,
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ledger: Ledger,
) -> None:
    """What has changed nothing yet is done again, once memory has been freed."""
    at, digest = find_late_call(what, tmp_path / "whole", monkeypatch)
    # Half of all copies to the host end a period, whose launches cannot be repeated.
    at += what == "get" and not is_reading(at, monkeypatch, tmp_path / "look")
    trouble = make(Trouble(what, error, at), monkeypatch)
    summary = run(tmp_path / "short", "backend=cuda")
    assert (summary["status"], summary["state_digest"]) == ("done", digest)
    assert trouble.freed == 1
    ledger.gpu_faults += 1


def is_reading(at: int, monkeypatch: pytest.MonkeyPatch, folder: Path) -> bool:
    """Tell whether a copy to the host comes behind a sum, not behind a period."""
    calls: list[str] = []
    monkeypatch.setattr(EmulatedDevice, "trouble", calls.append)
    run(folder, "backend=cuda")
    places = [place for place, call in enumerate(calls) if call == "get"]
    return calls[places[at - 1] - 1].startswith("launch sum")


@pytest.mark.parametrize(
    "error",
    [
        SHORT,
        pytest.param(SHORT_RUNTIME, marks=pytest.mark.faults),
        pytest.param(ILLEGAL, marks=pytest.mark.faults),
    ],
)
def test_auto_leaves_a_gpu_that_does_not_take_the_run(
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ledger: Ledger,
) -> None:
    _, digest = find_late_call("allocate", tmp_path / "whole", monkeypatch)
    assert probe_cuda().is_usable
    config = compose_run_config([*WORDS, "backend=auto"])
    make(Trouble("allocate", error, 8, "allocate"), monkeypatch)
    with ScribbleSystem(config) as system:
        assert system.backend.name == "cpu"
        told = system.description["backend"]
        assert told.startswith("cpu (host emulation of a CUDA device did not take the")
        assert system.run().state_digest == digest
    monkeypatch.setattr(EmulatedDevice, "trouble", Trouble("allocate", error, 8, ""))
    named = compose_run_config([*WORDS, "backend=cuda"])
    with pytest.raises((DeviceError, MemoryError)):
        ScribbleSystem(named)
    ledger.gpu_faults += 1

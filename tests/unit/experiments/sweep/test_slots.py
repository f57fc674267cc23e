"""GPU slots: a scripted NVML, real lock files and real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.config import BackendConfig, RunConfig
from engine.errors import ResourceError
from experiments.sweep import slots
from experiments.sweep.process import JobOrder, run_process
from experiments.sweep.slots import Gpu, find_slot, keep_gpu, list_gpus, try_lock
from experiments.sweep.stops import Stops

GIB = 2**30
ROOT = Path(__file__).parents[4]
CUDA_RUN = RunConfig(backend=BackendConfig("cuda"))
HOLD = (
    "import sys; from pathlib import Path;"
    "from experiments.sweep.slots import try_lock;"
    "print(try_lock(Path(sys.argv[1])) is not None, flush=True); sys.stdin.read()"
)


class NvmlError(Exception):
    value = 999


def fake_nvml(*gpus: Gpu) -> Any:
    """An NVML that shows these GPUs."""

    def memory_of(handle: int) -> SimpleNamespace:
        if gpus[handle].free_bytes is None:
            raise NvmlError
        return SimpleNamespace(
            free=gpus[handle].free_bytes, total=gpus[handle].total_bytes
        )

    return SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda handle: gpus[handle].uuid,
        nvmlDeviceGetMemoryInfo=memory_of,
    )


A, B = Gpu("GPU-aa", 60 * GIB, 80 * GIB), Gpu("GPU-bb", 70 * GIB, 80 * GIB)


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(slots.LOCKS_VARIABLE, str(tmp_path))
    monkeypatch.delenv(slots.VISIBLE_VARIABLE, raising=False)
    return tmp_path


def start_holder(path: Path) -> subprocess.Popen[str]:
    """Start a process that locks a file and holds it until it is killed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    return holder


def test_lock_of_a_killed_holder_is_free(locks: Path) -> None:
    path = locks / "GPU-aa.lock"
    with start_holder(path) as holder:
        assert try_lock(path) is None
        holder.send_signal(signal.SIGKILL)
    descriptor = try_lock(path)
    assert descriptor is not None
    os.close(descriptor)


def test_emptiest_free_gpu_is_taken_first(locks: Path) -> None:
    first, _ = find_slot([A, B], GIB, locks)
    second, _ = find_slot([A, B], GIB, locks)
    assert first is not None
    assert second is not None
    assert (first.uuid, second.uuid) == ("GPU-bb", "GPU-aa")
    assert first.environment == {"CUDA_VISIBLE_DEVICES": "GPU-bb"}
    none, reason = find_slot([A, B], 65 * GIB, locks)
    assert none is None
    assert "GPU-bb is kept for another job" in reason
    assert "GPU-aa has 60 GiB of 65 GiB free" in reason
    for slot in (first, second):
        os.close(slot.descriptor)


def test_job_waits_until_the_gpu_is_free(
    locks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, reasons = fake_nvml(A), []
    with start_holder(locks / "GPU-aa.lock") as holder:
        # The holder ends while the job would sleep.
        def end_holder(_: float) -> None:
            holder.kill()
            holder.wait()

        monkeypatch.setattr(slots.time, "sleep", end_holder)
        with keep_gpu(CUDA_RUN, reasons.append, library) as slot:
            assert slot is not None
            assert slot.uuid == "GPU-aa"
            assert try_lock(locks / "GPU-aa.lock") is None
    assert reasons == ["waiting for a GPU: GPU-aa is kept for another job"]
    descriptor = try_lock(locks / "GPU-aa.lock")
    assert descriptor is not None
    os.close(descriptor)


def test_process_of_the_job_holds_the_lock_and_sees_its_gpu_only(
    locks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES']); os._exit(7)"
    monkeypatch.setattr("experiments.sweep.process._START", f"{code} #")
    held = []
    with keep_gpu(CUDA_RUN, held.append, fake_nvml(A)) as slot:
        assert slot is not None
        order = JobOrder({}, locks, str(locks), environment=slot.environment)
        end = run_process(order, held.append, lambda: None, Stops())
    assert end.return_code == 7
    assert (locks / "job.log").read_text("utf-8") == "GPU-aa\n"


def test_job_that_no_gpu_can_hold_is_refused(locks: Path) -> None:
    small = Gpu("GPU-aa", GIB // 4, GIB // 2)
    with (
        pytest.raises(ResourceError, match="largest has 512 MiB; shrink"),
        keep_gpu(CUDA_RUN, pytest.fail, fake_nvml(small)),
    ):
        pass


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_jobs_of_the_cpu_take_no_gpu(name: str, locks: Path) -> None:
    config = RunConfig(backend=BackendConfig(name))
    with keep_gpu(config, pytest.fail, fake_nvml(A)) as slot:
        assert slot is None


def test_without_gpus_there_is_no_slot(locks: Path) -> None:
    with keep_gpu(CUDA_RUN, pytest.fail, fake_nvml()) as slot:
        assert slot is None


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        (None, ["GPU-aa", "GPU-bb"]),
        ("1", ["GPU-bb"]),
        ("GPU-b", ["GPU-bb"]),
        ("GPU-", []),  # names two
        ("1,7,0", ["GPU-bb"]),  # CUDA stops at a device it does not know
        ("", []),
        ("MIG-cc", ["MIG-cc"]),
    ],
)
def test_visible_devices_narrow_the_choice(
    visible: str | None, uuids: list[str]
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = list_gpus(fake_nvml(A, B), environment)
    assert [gpu.uuid for gpu in found] == uuids


def test_gpu_that_does_not_tell_its_memory_may_still_be_used(locks: Path) -> None:
    with keep_gpu(CUDA_RUN, pytest.fail, fake_nvml(Gpu("GPU-aa"))) as slot:
        assert slot is not None


def test_lock_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(slots.LOCKS_VARIABLE, raising=False)
    monkeypatch.setattr(slots.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = slots.find_lock_folder()
    assert folder == slots.find_lock_folder()
    folder.chmod(0o777)
    with pytest.raises(ResourceError, match="not a folder of yours alone"):
        slots.find_lock_folder()
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    elsewhere.chmod(0o700)
    with pytest.raises(ResourceError, match=slots.LOCKS_VARIABLE):
        slots.find_lock_folder()
    monkeypatch.setenv(slots.LOCKS_VARIABLE, str(folder))
    assert slots.find_lock_folder() == folder

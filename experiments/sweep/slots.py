"""One GPU per job: a lock file per GPU, held as long as the job's process lives.

The kernel frees the lock of a killed process (flock), so nothing is left to clean.
Works between jobs, sweeps and launchers of one user on one node.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from engine.config import RunConfig
from engine.errors import ResourceError
from engine.monitor.nvml import load_library, open_library, query
from experiments.wording import format_bytes

LOCKS_VARIABLE: Final = "SCRIBBLE_GPU_LOCKS"
"""Environment variable that names the folder of the lock files."""
VISIBLE_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
"""Environment variable in which CUDA, Ray and Slurm name the GPUs of a process."""
CONTEXT_BYTES: Final = 600 * 2**20
"""What CUDA and CuPy take on a GPU before the first array [byte], generously."""
POLL_S: Final = 0.5
"""Time between two looks while all GPUs are taken [s]."""
_CUPY: Final = "cupy"


@dataclass(frozen=True)
class Gpu:
    """A GPU that a job could have."""

    uuid: str
    """Its name for CUDA, such as ``GPU-5a6b...``."""
    free_bytes: int | None = None
    """Free memory [byte]; None where NVML does not tell."""
    total_bytes: int | None = None
    """All of its memory [byte]."""


@dataclass(frozen=True)
class Slot:
    """A GPU that is kept for one job."""

    uuid: str
    """Its name for CUDA."""
    descriptor: int
    """The locked file; whoever holds it open holds the lock."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables that show a process this GPU only."""
        return {VISIBLE_VARIABLE: self.uuid}


def wants_gpu(config: RunConfig) -> bool:
    """Tell whether a job may run on a GPU.

    Args:
        config: The job's configuration.
    """
    backend = config.backend
    if backend.name == "cuda":
        return True
    is_large = config.lattice.node_count >= backend.auto_min_nodes
    return backend.name == "auto" and is_large and find_spec(_CUPY) is not None


@contextmanager
def keep_gpu(
    config: RunConfig, on_wait: Callable[[str], None], library: Any | None = None
) -> Iterator[Slot | None]:
    """Keep a GPU for a job, waiting until one is free and has room.

    Args:
        config: The job's configuration.
        on_wait: Called with the reason whenever nothing is free.
        library: The `pynvml` module; loaded by default.

    Yields:
        The slot; None for a job of the CPU, or where NVML shows no GPU.

    Raises:
        ResourceError: No GPU is large enough.
    """
    if not wants_gpu(config):
        yield None
        return
    library = load_library() if library is None else library
    if open_library(library) is not None:
        yield None  # the back end says what is missing
        return
    slot = _wait_for_slot(library, estimate_need(config), on_wait)
    try:
        yield slot
    finally:
        if slot is not None:
            os.close(slot.descriptor)


def estimate_need(config: RunConfig) -> int:
    """Estimate what a job takes on its GPU [byte].

    Args:
        config: The job's configuration.
    """
    from engine.forecast import estimate_memory

    return estimate_memory(config, "cuda").device_bytes + CONTEXT_BYTES


def _wait_for_slot(
    library: Any, need_bytes: int, on_wait: Callable[[str], None]
) -> Slot | None:
    while True:
        gpus = list_gpus(library, os.environ)
        if not gpus:
            return None
        _check_room(gpus, need_bytes)
        slot, reason = find_slot(gpus, need_bytes, find_lock_folder())
        if slot is not None:
            return slot
        on_wait(reason)
        time.sleep(POLL_S)


def _check_room(gpus: list[Gpu], need_bytes: int) -> None:
    """Refuse a job that no GPU could ever hold."""
    totals = [gpu.total_bytes for gpu in gpus]
    known = [total for total in totals if total is not None]
    if len(known) == len(totals) and need_bytes > max(known):
        raise ResourceError(
            f"The job needs {format_bytes(need_bytes)} on a GPU, and the largest has "
            f"{format_bytes(max(known))}; shrink lattice.shape or bridges.per_node, or "
            "use backend=cpu."
        )


def find_slot(
    gpus: list[Gpu], need_bytes: int, folder: Path
) -> tuple[Slot | None, str]:
    """Lock the GPU with the most free memory that no other job holds.

    Args:
        gpus: Those to choose from.
        need_bytes: Memory that must be free on it [byte].
        folder: Where lock files lie.

    Returns:
        The slot, or None with the reason why there is none now.
    """
    reasons = []
    for gpu in sorted(gpus, key=lambda gpu: -(gpu.free_bytes or 0)):
        if gpu.free_bytes is not None and gpu.free_bytes < need_bytes:
            reasons.append(
                f"{gpu.uuid} has {format_bytes(gpu.free_bytes)} of "
                f"{format_bytes(need_bytes)} free"
            )
            continue
        descriptor = try_lock(folder / f"{gpu.uuid.replace('/', '_')}.lock")
        if descriptor is not None:
            return Slot(gpu.uuid, descriptor), ""
        reasons.append(f"{gpu.uuid} is kept for another job")
    return None, "waiting for a GPU: " + "; ".join(reasons)


def try_lock(path: Path) -> int | None:
    """Lock a file without waiting.

    Args:
        path: The file; made where it does not exist.

    Returns:
        Its descriptor, or None if another process holds the lock.

    Raises:
        OSError: The file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def find_lock_folder() -> Path:
    """Find the folder of the lock files, one per user and node, and make it.

    Raises:
        ResourceError: Somebody else has made the default folder, or may write there.
    """
    named = os.environ.get(LOCKS_VARIABLE)
    default = Path(tempfile.gettempdir()) / f"scribble-gpus-{os.getuid()}"
    folder = Path(named) if named else default
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not named and (not is_own or found.st_mode & 0o022):
        raise ResourceError(
            f"{folder} is to hold the locks of GPUs, but is not a folder of yours "
            f"alone; remove it, or name another one in {LOCKS_VARIABLE}."
        )
    return folder


def list_gpus(library: Any, environment: Mapping[str, str]) -> list[Gpu]:
    """List the GPUs that this process may use.

    Args:
        library: The `pynvml` module, initialised.
        environment: Its CUDA_VISIBLE_DEVICES narrows the choice, as for CUDA itself.

    Returns:
        What NVML shows, without devices that do not answer.
    """
    count = query(library, "nvmlDeviceGetCount").value or 0
    found = [_look_at(library, index) for index in range(count)]
    visible = environment.get(VISIBLE_VARIABLE)
    if visible is None:
        return [gpu for gpu in found if gpu is not None]
    chosen = []
    for token in (word.strip() for word in visible.split(",")):
        gpu = _match(token, found)
        if gpu is None:
            break  # CUDA, too, ignores what follows a device it does not know
        chosen.append(gpu)
    return chosen


def _look_at(library: Any, index: int) -> Gpu | None:
    handle = query(library, "nvmlDeviceGetHandleByIndex", index).value
    if handle is None:
        return None
    uuid = query(library, "nvmlDeviceGetUUID", handle).value
    memory = query(library, "nvmlDeviceGetMemoryInfo", handle).value
    if uuid is None:
        return None
    if memory is None:
        return Gpu(uuid)
    return Gpu(uuid, memory.free, memory.total)


def _match(token: str, found: list[Gpu | None]) -> Gpu | None:
    """Find the GPU that one word of CUDA_VISIBLE_DEVICES names."""
    if token.isdigit():
        return found[int(token)] if int(token) < len(found) else None
    if token.startswith("MIG-"):
        return Gpu(token)  # a part of a GPU, whose memory the whole does not tell
    fitting = [g for g in found if g is not None and token and g.uuid.startswith(token)]
    return fitting[0] if len(fitting) == 1 else None

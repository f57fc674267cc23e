"""Workers as real processes: they work, and nothing outlives its parent.

What is waited for here happens in milliseconds; the deadlines only bound a failure.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.errors import ResourceError
from engine.load.children import Child
from engine.load.cores import WORKER as CPU
from engine.load.memory import WORKER as MEMORY
from engine.load.memory_worker import BLOCK_BYTES, TOUCH_PERIOD_S, MemoryHolder

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 30.0
PARENT = """
import sys, threading
from engine.config import GeneratorConfig
from engine.load.generator import LoadGenerator
config = GeneratorConfig(cpu=(0.1,), memory_bytes=2**25, duration_s=120.0)
with LoadGenerator(config) as load:
    pids = [*load._cores.pids, load._memory.pid]
    load.step()
    sys.stdout.write(" ".join(map(str, pids)) + "\\n")
    sys.stdout.flush()
    threading.Event().wait()
"""


def wait_until(is_so: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def parent() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) >= 2
    assert not any(is_gone(pid) for pid in pids)
    yield process, pids
    process.kill()
    process.wait()
    process.stdout.close()
    for pid in pids:
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)


def test_killed_parent_takes_its_workers_along(
    parent: tuple[subprocess.Popen[str], list[int]],
) -> None:
    process, pids = parent
    process.send_signal(signal.SIGKILL)
    assert wait_until(lambda: all(is_gone(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != "linux", reason="a Linux signal")
def test_kernel_ends_even_a_worker_that_cannot_see_the_pipe(
    parent: tuple[subprocess.Popen[str], list[int]],
) -> None:
    process, pids = parent
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    process.send_signal(signal.SIGKILL)
    assert wait_until(lambda: all(is_gone(pid) for pid in pids))


@pytest.fixture(params=[(CPU, (0,)), (MEMORY, ())], ids=["cpu", "memory"])
def child(request: pytest.FixtureRequest) -> Iterator[Child]:
    module, arguments = request.param
    child = Child(module, 60.0, *arguments)
    child.wait_ready()
    yield child
    child.close()


def test_closed_pipe_ends_a_worker_without_a_signal(child: Child) -> None:
    child.close()
    # Not -SIGKILL: it went by itself, as it would where no signal tells it.
    assert child._process.returncode == 0


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGHUP])
def test_what_reaches_a_whole_terminal_is_the_parents_business(
    child: Child, kind: signal.Signals
) -> None:
    os.kill(child.pid, kind)
    before_s = child.read()[0]
    assert wait_until(lambda: child.read()[0] > before_s)
    assert child.is_alive


def test_sigterm_ends_a_worker_and_the_parent_notices(child: Child) -> None:
    os.kill(child.pid, signal.SIGTERM)
    assert wait_until(lambda: not child.is_alive)
    child.send(1)  # into the void, without an error


def test_deadline_ends_a_worker_whose_parent_forgot_it() -> None:
    child = Child(CPU, 0.2, -1)
    assert wait_until(lambda: not child.is_alive)
    assert child._process.returncode == 0
    child.close()


def test_worker_of_another_parent_ends_at_once() -> None:
    code = "from engine.load.cpu_worker import main; main(['1', '60', '-1'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"")


def test_cpu_worker_uses_its_core_only_while_asked() -> None:
    child = Child(CPU, 60.0, 0)
    child.wait_ready()
    if hasattr(os, "sched_getaffinity"):
        assert os.sched_getaffinity(child.pid) == {0}
    child.send(1.0)
    # Asked and used are the worker's own account: on a busy machine used lags behind.
    assert wait_until(lambda: child.read()[2] > 0.3)
    wall_s, used_s, asked_s = child.read()
    assert used_s > 0.0
    assert asked_s <= wall_s
    child.send(0.0)
    # The share falls to nothing at the command: from some report on asked stands still.
    reports = [child.read()]

    def stands_still() -> bool:
        if child.read()[0] > reports[-1][0]:
            reports.append(child.read())
        return len(reports) > 2 and reports[-1][2] == reports[-2][2]

    assert wait_until(stands_still)
    child.close()


def test_memory_worker_holds_touched_pages_and_gives_them_back() -> None:
    child = Child(MEMORY, 60.0)
    child.wait_ready()
    process = psutil.Process(child.pid)
    empty = process.memory_info().rss
    child.send(5 * BLOCK_BYTES + 1)
    assert wait_until(lambda: child.read()[1] == 5 * BLOCK_BYTES)
    assert process.memory_info().rss - empty >= 5 * BLOCK_BYTES
    child.send(BLOCK_BYTES)
    assert wait_until(lambda: child.read()[1] == BLOCK_BYTES)
    assert process.memory_info().rss - empty < 2 * BLOCK_BYTES
    child.close()


def test_every_block_is_touched_in_turn() -> None:
    holder = MemoryHolder()
    while holder.approach(4 * BLOCK_BYTES):
        pass
    before = [bytes(block[:: 2**12]) for block in holder._blocks]
    for _ in range(5):
        holder.touch_some(0.2 / TOUCH_PERIOD_S)
    after = [bytes(block[:: 2**12]) for block in holder._blocks]
    # 4096 random bytes each: equal by chance never.
    assert all(old != new for old, new in zip(before, after, strict=True))
    holder.approach(0)
    assert holder.held_bytes == 0


def test_worker_that_does_not_start_is_named() -> None:
    child = Child("engine.load.nothing_like_this", 60.0)
    with pytest.raises(ResourceError, match="did not start: it gave no sign of life"):
        child.wait_ready()
    child.close()


def test_workers_start_light() -> None:
    code = (
        "import sys, engine.load.cpu_worker, engine.load.memory_worker;"
        "heavy = {'numpy', 'psutil', 'engine.config', 'cupy', 'pynvml'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")

"""Jobs in processes of joblib's kind, each of which watches the job's own process.

Every worker is a pool of one, so that one that is killed takes no other along.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from experiments.sweep.confinement import end_with_parent
from experiments.sweep.status import read_statuses
from experiments.sweep.task import STOP_GRACE_S, Shared, run_task, share_parts

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.2
"""Time between two looks at whether the sweep is to stop [s]."""


def run_tasks(
    settings: Mapping[str, Any],
    parts: tuple[Any, Any, Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """Run jobs several at a time and wait for all of them.

    Args:
        settings: Fields of `experiments.plugins.JoblibLauncherSettings`.
        parts: Hydra's context, the configuration of the sweep and the task function.
        job_overrides: The words of each job.
        first: Number of the first job.

    Returns:
        What came of the jobs; none for a job whose worker was killed, for its status
        file says so.

    Raises:
        KeyboardInterrupt: A job or the whole sweep was interrupted.
    """
    from joblib import effective_n_jobs

    jobs = [(first + index, list(words)) for index, words in enumerate(job_overrides)]
    crew = _Crew(share_parts(parts), jobs, Path(str(parts[1].hydra.sweep.dir)))
    crew.run(min(len(jobs), effective_n_jobs(settings["n_jobs"])))
    return [crew.returns[number] for number in sorted(crew.returns)]


class _Crew:
    """Threads that hand jobs to a worker each, until none is left or all shall stop."""

    def __init__(
        self, shared: Shared, jobs: Sequence[tuple[int, list[str]]], folder: Path
    ) -> None:
        self.returns: dict[int, JobReturn] = {}
        self._shared = shared
        self._line = deque(jobs)
        self._folder = folder
        self._stop = threading.Event()
        self._asked: set[int] = set()

    def run(self, count: int) -> None:
        """Work with so many workers.

        Raises:
            KeyboardInterrupt: A job or the whole sweep was interrupted.
        """
        threads = [threading.Thread(target=self._work) for _ in range(count)]
        for thread in threads:
            thread.start()
        give_up_s: float | None = None
        while any(thread.is_alive() for thread in threads):
            try:
                time.sleep(LOOK_S)
                if self._stop.is_set():
                    give_up_s = give_up_s or time.monotonic() + STOP_GRACE_S
                    self._end_jobs(give_up_s)
            except KeyboardInterrupt:
                # A second one is no request any more.
                give_up_s = time.monotonic() if self._stop.is_set() else None
                self._stop.set()
        if self._stop.is_set():
            raise KeyboardInterrupt

    def _end_jobs(self, give_up_s: float) -> None:
        """Ask those who have a job to end it; kill them when it takes too long."""
        if time.monotonic() < give_up_s:
            self._signal(signal.SIGTERM)
        else:
            self._asked.clear()
            self._signal(signal.SIGKILL)

    def _signal(self, kind: signal.Signals) -> None:
        """Signal every worker that has a job, once."""
        own = {child.pid for child in psutil.Process().children()}
        for status in read_statuses(self._folder):
            pid = status.pid
            if status.is_open and pid in own and pid not in self._asked:
                self._asked.add(pid)
                os.kill(pid, kind)

    def _work(self) -> None:
        """Hand jobs over to a worker, one after another; replace one that is lost."""
        worker: Any = None
        while self._line and not self._stop.is_set():
            number, words = self._line.popleft()
            worker = worker or _hire()
            try:
                task = worker.submit(run_task, self._shared, words, number)
                self.returns[number] = task.result()
            except KeyboardInterrupt:
                self._stop.set()
            except BrokenExecutor:
                logger.warning("The worker of job %d died; others go on.", number)
                _dismiss(worker)
                worker = None
            except Exception as error:  # noqa: BLE001 - one job must not end the others
                logger.warning("Job %d could not be run: %s", number, error)
        _dismiss(worker)


def _hire() -> Any:
    """Start a worker."""
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(
        max_workers=1, initializer=_prepare, initargs=(os.getpid(),)
    )


def _dismiss(worker: Any) -> None:
    """Let a worker go, if there is one."""
    if worker is not None:
        worker.shutdown(wait=True, kill_workers=True)


def _prepare(parent: int) -> None:
    """Make a worker end with its parent, and let the parent alone stop it.

    Ctrl-C reaches workers as well, but one that is told twice kills its job.
    """
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)

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
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from experiments.sweep.confinement import end_with_parent
from experiments.sweep.stops import Stops, collect_stops, spare_children_the_warning
from experiments.sweep.task import (
    LOOK_S,
    STOP_GRACE_S,
    Shared,
    run_task,
    share_parts,
)

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

logger = logging.getLogger(__name__)


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
    crew = _Crew(share_parts(parts), jobs)
    crew.run(min(len(jobs), effective_n_jobs(settings["n_jobs"])))
    return [crew.returns[number] for number in sorted(crew.returns)]


class _Crew:
    """Threads that hand jobs to a worker each, until none is left or all shall stop."""

    def __init__(self, shared: Shared, jobs: Sequence[tuple[int, list[str]]]) -> None:
        self.returns: dict[int, JobReturn] = {}
        self._shared = shared
        self._line = deque(jobs)
        self._stop = threading.Event()
        self._workers: list[Any] = []
        self._asked: set[int] = set()

    def run(self, count: int) -> None:
        """Work with so many workers.

        Raises:
            KeyboardInterrupt: A job or the whole sweep was interrupted.
        """
        threads = [threading.Thread(target=self._work) for _ in range(count)]
        with collect_stops() as stops:
            with spare_children_the_warning():
                for thread in threads:
                    thread.start()
            try:
                self._oversee(threads, stops)
            except BaseException:
                self._stop.set()  # or the threads would begin further jobs
                raise
        if self._stop.is_set():
            raise KeyboardInterrupt

    def _oversee(self, threads: Sequence[threading.Thread], stops: Stops) -> None:
        """Wait for the threads; when all shall stop, see to it that jobs end."""
        give_up_s: float | None = None
        while any(thread.is_alive() for thread in threads):
            stops.wait(LOOK_S)
            if stops.is_asked:
                self._stop.set()
            if self._stop.is_set():
                give_up_s = give_up_s or time.monotonic() + STOP_GRACE_S
                is_late = stops.is_urgent or time.monotonic() > give_up_s
                self._end_jobs(is_late=is_late)

    def _end_jobs(self, *, is_late: bool) -> None:
        """Ask every worker once to end its job; kill them when it takes too long."""
        for worker in list(self._workers):
            for pid in list(worker._processes or ()):
                with suppress(ProcessLookupError):
                    if is_late:
                        os.kill(pid, signal.SIGKILL)
                    elif pid not in self._asked:
                        os.kill(pid, signal.SIGTERM)
                self._asked.add(pid)

    def _work(self) -> None:
        """Hand jobs over to a worker, one after another; replace one that is lost."""
        worker: Any = None
        while self._line and not self._stop.is_set():
            number, words = self._line.popleft()
            worker = worker or self._hire()
            try:
                task = worker.submit(run_task, self._shared, words, number)
                self.returns[number] = task.result()
            except KeyboardInterrupt:
                self._stop.set()
            except BrokenExecutor:
                logger.warning("The worker of job %d died; others go on.", number)
                self._dismiss(worker)
                worker = None
            except Exception as error:  # noqa: BLE001 - one job must not end the others
                logger.warning("Job %d could not be run: %s", number, error)
        self._dismiss(worker)

    def _hire(self) -> Any:
        """Start a worker."""
        from joblib.externals.loky import ProcessPoolExecutor

        worker = ProcessPoolExecutor(
            max_workers=1, initializer=_prepare, initargs=(os.getpid(),)
        )
        self._workers.append(worker)
        return worker

    def _dismiss(self, worker: Any) -> None:
        """Let a worker go, if there is one."""
        if worker is not None:
            self._workers.remove(worker)
            worker.shutdown(wait=True, kill_workers=True)


def _prepare(parent: int) -> None:
    """Make a worker end with its parent, and let the parent alone stop it.

    Ctrl-C reaches workers as well as the parent, and so may SIGTERM, by which it asks.
    A worker takes note of that, whatever it is just doing, and ends its job when it has
    one.
    """
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Stops().listen()

"""Jobs as Ray tasks, each in a worker that watches the job's own process."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from experiments.sweep.stops import (
    collect_stops,
    keep_handlers,
    spare_children_the_warning,
)
from experiments.sweep.task import (
    LOOK_S,
    STOP_GRACE_S,
    Shared,
    run_task,
    share_parts,
)

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

_ENVIRONMENT: Final[Mapping[str, str]] = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # leave GPUs to the slots of this house
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}


def run_tasks(
    settings: Mapping[str, Any],
    parts: tuple[Any, Any, Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """Run jobs on Ray and wait for all of them.

    Args:
        settings: Fields of `experiments.plugins.RayLauncherSettings`.
        parts: Hydra's context, the configuration of the sweep and the task function.
        job_overrides: The words of each job.
        first: Number of the first job.

    Returns:
        What came of the jobs; none for a job whose worker was killed, for its status
        file says so.

    Raises:
        KeyboardInterrupt: A job or the whole sweep was interrupted.
    """
    import ray

    with _join_cluster(settings):
        start = ray.remote(_run_in_worker).options(**_list_resources(settings)).remote
        shared = ray.put(share_parts(parts))
        tasks = [
            start(shared, list(words), first + index)
            for index, words in enumerate(job_overrides)
        ]
        try:
            return list(_collect(tasks))
        except KeyboardInterrupt:
            _end_tasks(tasks)
            raise


def _end_tasks(tasks: Sequence[Any]) -> None:
    """Ask jobs to end and wait until they have, or somebody presses Ctrl-C again."""
    import ray

    with collect_stops() as stops:
        for task in tasks:
            ray.cancel(task, force=False)
        give_up_s, left = time.monotonic() + STOP_GRACE_S, list(tasks)
        while left and not stops.interrupt_count and time.monotonic() < give_up_s:
            _, left = ray.wait(left, num_returns=len(left), timeout=LOOK_S)


def _list_resources(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Translate our settings into options of a Ray task."""
    options: dict[str, Any] = {
        "num_cpus": settings["cpus_per_job"],
        "num_gpus": settings["gpus_per_job"],
        "max_retries": 0,
    }
    if settings["memory_per_job_gib"] is not None:
        options["memory"] = int(settings["memory_per_job_gib"] * 2**30)
    return options


@contextmanager
def _join_cluster(settings: Mapping[str, Any]) -> Iterator[None]:
    """Connect to a cluster or make one here; leave it at the end."""
    os.environ.update({k: os.environ.get(k, v) for k, v in _ENVIRONMENT.items()})
    import ray

    if ray.is_initialized():
        yield
        return
    own: dict[str, Any] = {"address": settings["address"]}
    if settings["address"] is None:
        # "local" makes a cluster of its own even where another one runs.
        workers = settings["workers"]
        cores = None if workers is None else workers * settings["cpus_per_job"]
        own = {"address": "local", "num_cpus": cores, "include_dashboard": False}
    # Ray takes SIGTERM for itself, and would exit without a word.
    with keep_handlers([signal.SIGTERM]), spare_children_the_warning():
        ray.init(**own, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _run_in_worker(shared: Shared, words: list[str], number: int) -> JobReturn:
    """Run a job in a worker of Ray, whose own answer to SIGTERM would kill it.

    Raises:
        KeyboardInterrupt: The job was interrupted.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run_task(shared, words, number)
    finally:
        signal.signal(signal.SIGTERM, before)


def _collect(tasks: Sequence[Any]) -> Iterator[JobReturn]:
    """Wait for tasks one after another; a dead worker ends its own job only."""
    import ray
    from ray.exceptions import RayError, TaskCancelledError

    for task in tasks:
        try:
            yield ray.get(task)
        except TaskCancelledError as error:
            raise KeyboardInterrupt from error
        except RayError as error:
            logging.getLogger(__name__).warning("A Ray worker died: %s", error)

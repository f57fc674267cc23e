"""What a launcher calls once per job: write the status, run, write how it ended.

A launcher may call it anywhere, in this process, in a worker or on another node; all
that is known of a job is in its folder.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config import RunConfig
from engine.errors import ConfigError, quote
from engine.recording.checkpoint import list_checkpoints
from engine.recording.folder import JOB_FILES, clear_folder
from experiments import outcome
from experiments.overrides import convert_node
from experiments.resume import go_on_or_begin, is_finished
from experiments.run import set_folder, to_plain
from experiments.sweep.child import describe_failure
from experiments.sweep.process import JobEnd, JobOrder, conclude, run_process
from experiments.sweep.slots import Slot, keep_gpu
from experiments.sweep.status import (
    JobStatus,
    beat,
    clear_drafts,
    open_status,
    read_status,
    write_status,
)
from experiments.sweep.stops import Stops, collect_stops

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class SweepJob:
    """The task function of a sweep; a plain value, so that launchers can send it."""

    is_quiet: bool = False
    """Show only a line per job."""
    is_recorded: bool = True
    """Whether jobs write run folders."""
    is_isolated: bool = True
    """Whether each job has a process of its own."""
    memory_bytes: int | None = None
    """Most memory that a job's process may hold [byte]; None: no limit."""
    working_folder: str = "."
    """Where relative paths begin."""

    def __call__(self, composed: DictConfig) -> None:
        """Run one job; whatever becomes of it ends in its status file.

        Args:
            composed: Configuration without Hydra's own node.

        Raises:
            KeyboardInterrupt: The job was interrupted, so the sweep ends.
        """
        if not self.is_isolated:
            ended = self._attempt(composed, self._run_here)
            is_asked = False
        else:
            with collect_stops() as stops:
                ended = self._attempt(composed, partial(self._run_apart, stops=stops))
                is_asked = stops.is_asked
        if is_asked or ended.status == "interrupted":
            raise KeyboardInterrupt

    def _attempt(
        self,
        composed: DictConfig,
        run: Callable[[DictConfig, Path, JobStatus], JobStatus],
    ) -> JobStatus:
        """Run the job, its status file written before and after."""
        from hydra.core.hydra_config import HydraConfig

        own = HydraConfig.get()
        folder = Path(own.runtime.output_dir)
        words = [str(word) for word in own.overrides.task]
        before = read_status(folder)
        attempt = before.attempt + 1 if before else 1
        status = open_status(int(folder.name), words, attempt)
        began_s = time.monotonic()
        _clear_attempt(folder)
        write_status(folder, status)
        ended = run(composed, folder, status)
        # Whatever the clock on the wall has been set to meanwhile.
        ended = replace(ended, seconds=time.monotonic() - began_s)
        write_status(folder, ended)
        return ended

    def _prepare(
        self, composed: DictConfig, folder: Path, status: JobStatus
    ) -> RunConfig:
        config = convert_node(composed, status.overrides)
        if config.record.folder is not None:
            raise ConfigError(
                f"record.folder is {quote(config.record.folder)}, but every job of a "
                "sweep is recorded in a folder of its own; leave it out."
            )
        return set_folder(config, is_recorded=self.is_recorded, folder=folder)

    def _run_here(
        self, composed: DictConfig, folder: Path, status: JobStatus
    ) -> JobStatus:
        """Run in this process, in view."""
        words = " ".join(status.overrides) or "defaults"
        sys.stdout.write(f"\njob {status.job}: {words}\n")
        sys.stdout.flush()
        try:
            with outcome.interrupt_on_signals():
                config = self._prepare(composed, folder, status)
                name, message = go_on_or_begin(config, is_quiet=self.is_quiet)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - others go on
            return replace(status, **describe_failure(error))
        code = outcome.code_of_status(name)
        return replace(status, status=name, exit_code=code, message=message)

    def _run_apart(
        self, composed: DictConfig, folder: Path, status: JobStatus, stops: Stops
    ) -> JobStatus:
        """Run in a process of its own, on a GPU of its own where it wants one."""
        watch = _Watch(folder, status, stops)
        try:
            config = self._prepare(composed, folder, status)
            with keep_gpu(config, watch.wait) as slot:
                watch.heed()
                order = self._order(config, folder, slot)
                end = run_process(order, watch.start(slot), watch.beat, stops)
        except KeyboardInterrupt:  # while nothing ran yet
            code = outcome.INTERRUPTED
            return replace(watch.status, status="interrupted", exit_code=code)
        except Exception as error:  # noqa: BLE001 - one job must not end the others
            return replace(
                watch.status,
                status="failed",
                exit_code=outcome.code_of_error(error),
                message=outcome.describe_error(error),
            )
        return _close(watch.status, end, folder)

    def _order(self, config: RunConfig, folder: Path, slot: Slot | None) -> JobOrder:
        if slot is not None:  # the only GPU that the process will see
            config = replace(config, backend=replace(config.backend, device=0))
        return JobOrder(
            to_plain(config),
            folder,
            self.working_folder,
            memory_bytes=self.memory_bytes,
            is_quiet=self.is_quiet,
            environment=slot.environment if slot else None,
            kept_descriptors=[slot.descriptor] if slot else [],
        )


class _Watch:
    """Keeps the status file of a job true while the job goes on."""

    def __init__(self, folder: Path, status: JobStatus, stops: Stops) -> None:
        self._folder = folder
        self._stops = stops
        self.status = status

    def heed(self) -> None:
        """Give up where somebody has asked for it.

        Raises:
            KeyboardInterrupt: Somebody has.
        """
        if self._stops.is_asked:
            raise KeyboardInterrupt

    def wait(self, reason: str) -> None:
        """Write that the job waits, or give a sign of life."""
        self.heed()
        waiting = replace(self.status, status="waiting", message=reason)
        if waiting == self.status:
            self.beat()
        else:
            self._write(waiting)

    def start(self, slot: Slot | None) -> Callable[[int], None]:
        """Return what writes that the job has started."""

        def write(pid: int) -> None:
            gpu = slot.uuid if slot else None
            running = replace(self.status, status="running", message="", gpu=gpu)
            self._write(replace(running, job_pid=pid))

        return write

    def beat(self) -> None:
        """Give a sign of life."""
        beat(self._folder)

    def _write(self, status: JobStatus) -> None:
        self.status = status
        write_status(self._folder, status)


def _close(status: JobStatus, end: JobEnd, folder: Path) -> JobStatus:
    name, code, message = conclude(end, folder)
    return replace(
        status,
        status=name,
        exit_code=code,
        message=message,
        peak_memory_bytes=end.peak_memory_bytes,
    )


def _clear_attempt(folder: Path) -> None:
    """Remove what an earlier attempt has written, unless it can be of use."""
    clear_drafts(folder)
    if not (list_checkpoints(folder) or is_finished(folder)):
        clear_folder(folder)
        return
    for name in JOB_FILES:
        (folder / name).unlink(missing_ok=True)

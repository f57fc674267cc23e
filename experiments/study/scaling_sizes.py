"""What a run of some size cost: a job's figures for the scaling study."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from engine.recording.folder import STATUS_FILE
from experiments.report.document import to_number
from experiments.report.jobs import Job
from experiments.report.records import dig, read_json
from experiments.study.statistics import Estimate, divide, estimate_mean


@dataclass(frozen=True)
class SizedRun:
    """A finished job and what it cost."""

    job: Job
    """The job."""

    def _spent_ns(self, stage: str) -> float | None:
        seconds = self.job.record.number("stage_seconds", stage)
        return None if not seconds else 1e9 * seconds

    @property
    def nodes(self) -> float | None:
        """Oscillators [-]."""
        return self.job.record.number("nodes")

    @property
    def bridge_ends(self) -> float | None:
        """Bridge ends per node [-]; None where the bridges are not known."""
        bridges = self.job.record.number("bridges")
        return divide(None if bridges is None else 2.0 * bridges, self.nodes)

    @property
    def threads(self) -> float | None:
        """Threads asked for [-]; None where the run was to choose."""
        return to_number(self.job.record.setting("backend", "threads"))

    @property
    def pace(self) -> float | None:
        """Wall time per simulated second [s/s]."""
        return self.job.pace

    @property
    def node_step_ns(self) -> float | None:
        """Lattice time per node and step [ns]."""
        work = (self.nodes or 0.0) * (self.job.record.number("steps") or 0.0)
        return divide(self._spent_ns("lattice"), work)

    @property
    def event_ns(self) -> float | None:
        """Tunnel time per attempted event [ns]; None without events."""
        events = self.job.record.number("tunnels", "attempted")
        return divide(self._spent_ns("tunnel"), events)

    @property
    def throughput(self) -> float | None:
        """Node steps per second of wall time, all stages counted [1/s]."""
        return self.job.record.number("node_steps_per_second")

    @property
    def memory_bytes(self) -> float | None:
        """Most memory that its process held [byte]; None without a process."""
        status = read_json(self.job.record.folder / STATUS_FILE, [])
        return to_number(dig(status, "peak_memory_bytes"))

    @property
    def saved(self) -> float | None:
        """Times fewer events than every bridge in every step [-]."""
        return self.job.record.number("events_saved_factor")


Read = Callable[[SizedRun], float | None]


@dataclass(frozen=True)
class Variable:
    """Something that sizes differ in."""

    name: str
    """As a sentence has it."""
    label: str
    """As an axis has it, with its unit."""
    read: Read
    """Reads it from a job."""
    keys: tuple[str, ...]
    """Settings that change it."""


VARIABLES: Final = (
    Variable("nodes", "nodes [-]", lambda run: run.nodes, ("lattice.shape",)),
    Variable(
        "bridge ends per node", "bridge ends per node [-]",
        lambda run: run.bridge_ends, ("bridges.per_node",),
    ),
    Variable("threads", "threads [-]", lambda run: run.threads, ("backend.threads",)),
)  # fmt: skip
"""What a run may be scaled in."""


@dataclass(frozen=True)
class Size:
    """Jobs that differ in their seed only."""

    value: float
    """Of the variable."""
    runs: tuple[SizedRun, ...]
    """At least one."""

    def estimate(self, read: Read) -> Estimate | None:
        """Average a figure over the jobs.

        Args:
            read: Reads it from a job.
        """
        return estimate_mean([read(run) for run in self.runs])


def list_runs(jobs: Iterable[Job]) -> list[SizedRun]:
    """List the jobs that are done and left a wall time.

    Args:
        jobs: Jobs of a sweep.
    """
    runs = [SizedRun(job) for job in jobs if job.status == "done"]
    return [run for run in runs if run.pace and run.nodes]


def group_sizes(runs: Iterable[SizedRun], variable: Variable) -> list[Size]:
    """Put jobs of equal size together, sizes ascending.

    Args:
        runs: Jobs alike but for the variable and the seed.
        variable: What the size is.
    """
    found: dict[float, list[SizedRun]] = {}
    for run in runs:
        value = variable.read(run)
        if value:
            found.setdefault(value, []).append(run)
    return [Size(value, tuple(found[value])) for value in sorted(found)]

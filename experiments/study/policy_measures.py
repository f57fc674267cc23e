"""Policies under one load: what each measured, and how it differs from another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from experiments.report.jobs import Job
from experiments.report.records import flatten
from experiments.study.statistics import Estimate, divide, estimate_mean

GROUPS: Final = ("tunnel", "resources")
"""Groups that make a policy."""
UNNAMED: Final = "the configured policy"
"""Name of a policy that no group was chosen for."""


@dataclass(frozen=True)
class Measure:
    """Something that policies are compared in."""

    name: str
    """What it is, as a sentence has it."""
    column: str
    """The same as a heading, with its unit."""
    read: Callable[[Job], float | None]
    """Reads it from a job."""
    is_cost: bool
    """Whether less is better."""
    is_relative: bool
    """Whether differences are shares of the other's, not in the unit itself."""
    least: float
    """Smallest difference worth a word: a share, or in the unit itself."""


def read_frequency(job: Job) -> float | None:
    """Return the average tunnel frequency [Hz].

    Args:
        job: A job.
    """
    return job.frequency_hz


def read_coherence(job: Job) -> float | None:
    """Return r over the later part of the run [-].

    Args:
        job: A job.
    """
    return job.coherence


def read_pace(job: Job) -> float | None:
    """Return the wall time per simulated second [s/s].

    Args:
        job: A job.
    """
    return job.pace


def _read_events(job: Job) -> float | None:
    number = job.record.number
    bridges, span = number("bridges"), number("simulated_seconds")
    return divide(number("tunnels", "successful"), (bridges or 0.0) * (span or 0.0))


def _read_failed(job: Job) -> float | None:
    number = job.record.number
    return divide(number("tunnels", "failed"), number("tunnels", "attempted"))


def _read_power(job: Job) -> float | None:
    number = job.record.number
    return divide(number("energy_joules"), number("simulated_seconds"))


def _read_violations(job: Job) -> float | None:
    return job.record.number("coherence", "violation_fraction")


def _read_least(job: Job) -> float | None:
    return job.record.number("coherence", "minimum_after_settling")


COHERENCE: Final = Measure("r", "r [-]", read_coherence, False, False, 0.001)
EVENTS: Final = Measure(
    "attempted events", "average frequency [Hz]", read_frequency, True, True, 0.01
)
WALL: Final = Measure(
    "wall time", "wall time per simulated s [s]", read_pace, True, True, 0.01
)
ENERGY: Final = Measure(
    "energy", "energy per simulated s [J]", _read_power, True, True, 0.01
)
VIOLATIONS: Final = Measure(
    "time below the floor", "below floor [-]", _read_violations, True, False, 1e-4
)
FAILED: Final = Measure(
    "failed attempts", "failed attempts [-]", _read_failed, True, False, 0.001
)
MEASURES: Final[tuple[Measure, ...]] = (
    COHERENCE,
    Measure("the least r", "least r [-]", _read_least, False, False, 0.001),
    EVENTS,
    Measure(
        "successful events", "succeeded per bridge and s [Hz]", _read_events, True,
        True, 0.01,
    ),
    FAILED,
    WALL,
    ENERGY,
    VIOLATIONS,
)  # fmt: skip
"""What is measured, in the order of the table."""
JUDGED: Final = (COHERENCE, EVENTS, WALL, ENERGY, VIOLATIONS)
"""What tells for whom a policy is; the rest follows from these."""


@dataclass(frozen=True)
class Policy:
    """The jobs of one policy."""

    name: str
    """Such as production; tunnel/resources where the two groups differ."""
    jobs: tuple[Job, ...]
    """At least one."""

    def estimate(self, measure: Measure) -> Estimate | None:
        """Average a measure over the jobs.

        Args:
            measure: What to average.
        """
        return estimate_mean([measure.read(job) for job in self.jobs])

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the policy's groups by full key, as the first job has them."""
        config = flatten(self.jobs[0].record.config)
        return {k: v for k, v in config.items() if k.partition(".")[0] in GROUPS}


@dataclass(frozen=True)
class Difference:
    """How far a policy lies from another one in a measure."""

    measure: Measure
    """In what."""
    estimate: Estimate
    """Difference, from jobs alike but for the policy."""

    @property
    def is_told(self) -> bool:
        """Whether it is larger than its doubt, and than what is worth a word."""
        found = self.estimate
        is_sure = found.is_positive or found.is_negative
        return is_sure and abs(found.mean) >= self.measure.least

    @property
    def is_gain(self) -> bool:
        """Whether it is for the better."""
        return (self.estimate.mean < 0.0) == self.measure.is_cost

    def format(self) -> str:
        """Write it with its direction, such as ``12 ± 1% less wall time``."""
        found, measure = self.estimate, self.measure
        size = Estimate(abs(found.mean), found.half_width, found.count)
        if not measure.is_relative:
            word = "lower" if found.mean < 0.0 else "higher"
            return f"{word} {measure.name} (by {size.format()})"
        less = "fewer" if measure.name.endswith("s") else "less"
        word = less if found.mean < 0.0 else "more"
        return f"{size.format(factor=100.0)}% {word} {measure.name}"


def name_policy(job: Job) -> str:
    """Name the policy of a job by the groups that were chosen for it.

    Args:
        job: A job.
    """
    chosen = [str(job.overrides[key]) for key in GROUPS if key in job.overrides]
    return "/".join(dict.fromkeys(chosen)) or UNNAMED


def group_policies(jobs: Iterable[Job]) -> list[Policy]:
    """Put the finished jobs of each policy together.

    Args:
        jobs: Jobs of a sweep.
    """
    found: dict[str, list[Job]] = {}
    for job in jobs:
        if job.status == "done" and job.coherence is not None:
            found.setdefault(name_policy(job), []).append(job)
    return [Policy(name, tuple(entries)) for name, entries in found.items()]


def compare_policies(
    policy: Policy, other: Policy, measure: Measure, keys: Sequence[str]
) -> Difference | None:
    """Compare jobs that are alike but for the policy.

    Args:
        policy: The one.
        other: What it is compared with.
        measure: In what.
        keys: Varied keys other than the policy, such as the seed.

    Returns:
        The difference; None where no two jobs can be compared.
    """
    others = {tuple(map(job.value, keys)): measure.read(job) for job in other.jobs}
    found: list[float | None] = []
    for job in policy.jobs:
        own, base = measure.read(job), others.get(tuple(map(job.value, keys)))
        if own is None or base is None or (measure.is_relative and not base):
            continue
        found.append((own - base) / base if measure.is_relative else own - base)
    estimate = estimate_mean(found)
    return None if estimate is None else Difference(measure, estimate)

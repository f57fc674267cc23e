"""The summary of a run: what `summary.json` holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.late import LatePart, Spread
from engine.state import State, keep_fields, take_fields

TALLY_FIELDS = (
    *("final", "settled_at_s", "minimum"),
    *("_sum", "_count", "_settled_count", "_violations"),
)
"""What a tally counts, its later part apart."""


def digest_state(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """Return the SHA-256 of arrays, little-endian, in order, as hex digits.

    Args:
        arrays: Phases as binary angles, then the bridge state by bridge id; equal
            on every back end of binary angles.
    """
    digest = hashlib.sha256()
    for array in arrays:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


@dataclass
class CoherenceTally:
    """Running account of the order parameter against its floor.

    A run has settled when coherence first reaches the floor; only then can it be
    violated. Metastability is the standard deviation of r in time (Shanahan 2010,
    doi:10.1063/1.3305451, takes the variance) over the later part of the run, whether
    it has reached the floor or not: between its first quarter and half is left out.
    """

    floor: float
    """min_coherence [-]."""
    final: float = 0.0
    """Last value [-]."""
    settled_at_s: float | None = None
    """Simulated time at which the floor was first reached [s]; None: never."""
    minimum: float | None = None
    """Least value since then [-]."""
    _sum: float = 0.0
    _count: int = 0
    _settled_count: int = 0
    _violations: int = 0
    _late: LatePart[Spread] = field(default_factory=lambda: LatePart(Spread))

    def add(self, value: float, simulated_s: float) -> None:
        """Take the coherence at the end of a control period."""
        self.final = value
        self._sum += value
        self._count += 1
        self._late.add(value)
        if self.settled_at_s is None and value >= self.floor:
            self.settled_at_s = simulated_s
        if self.settled_at_s is not None:
            self._settled_count += 1
            self._violations += value < self.floor
            self.minimum = value if self.minimum is None else min(self.minimum, value)

    def to_state(self) -> State:
        """Return the counts, and the spread over the later part."""
        return {**keep_fields(self, *TALLY_FIELDS), "late": self._late.to_state()}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of a tally.
        """
        take_fields(self, state, *TALLY_FIELDS)
        self._late.from_state(state["late"])

    @property
    def violation_count(self) -> int:
        """Control periods that ended below the floor after it was reached [-]."""
        return self._violations

    def to_dict(self) -> dict[str, float | None]:
        """Return the figures of `summary.json`."""
        return {
            "final": self.final,
            "mean": self._sum / max(self._count, 1),
            "metastability": self._late.sums.deviation,
            "minimum_after_settling": self.minimum,
            "settled_at_seconds": self.settled_at_s,
            "floor": self.floor,
            "violation_fraction": (
                self._violations / self._settled_count if self._settled_count else None
            ),
        }


@dataclass
class StageTimes:
    """Wall time by stage [s]."""

    lattice: float = 0.0
    """Lattice steps."""
    tunnel: float = 0.0
    """Planning windows and tunnel events."""
    control: float = 0.0
    """Reading the monitor, deciding, and measuring coherence."""
    record: float = 0.0
    """Writing and showing."""


@dataclass(frozen=True)
class RunSummary:
    """Everything worth knowing of a finished or interrupted run."""

    status: str
    """done, interrupted or failed."""
    backend: str
    """Name of the back end."""
    device: str
    """The processor in words."""
    seed: int
    """Key of the random numbers."""
    nodes: int
    """Oscillators [-]."""
    bridges: int
    """Bridges [-]."""
    steps: int
    """Lattice steps done [-]."""
    simulated_seconds: float
    """Simulated time [s]."""
    wall_seconds: float
    """Wall time of the loop [s]."""
    stage_seconds: dict[str, float]
    """Wall time by stage [s]."""
    node_steps_per_second: float
    """Oscillator updates per second of wall time [1/s]."""
    tunnels: dict[str, int]
    """attempted, successful, failed [-]."""
    average_frequency_hz: float
    """Attempts per bridge and simulated second, error windows left out [Hz]."""
    coherence: dict[str, Any]
    """final, mean, metastability (standard deviation of r), minimum_after_settling,
    floor, violation_fraction; continuous and distance_to_continuous with its
    distance_stderr [-], source and reason."""
    controller_state: str
    """State at the end."""
    events_saved_factor: float | None
    """Every bridge in every step over the attempts made [-], error windows left out;
    None without any."""
    energy_joules: float | None
    """Energy of the GPU that was used [J]; None where unknown."""
    state_digest: str | None
    """SHA-256 of phases and bridge state; None where they were lost with a GPU."""
    folder: str | None = None
    """Run folder, if one was written."""
    forecast: dict[str, Any] | None = None
    """coherence_unlimited, coherence (averaged over the frequencies in use, their mean
    being frequency_hz), outcome, difference [-], is_trusted, reason; None where
    record.forecast is off."""
    observation: dict[str, Any] | None = None
    """snapshots, frequency, locking: what was seen of single nodes; None where the
    group observe asks for nothing."""
    rollout: dict[str, Any] | None = None
    """target, verdict (running, passed, rolled back, not started), reason, share of
    the bridges under the new policy, its changes, and the stages with their gates;
    None where no policy is rolled out."""
    mesh: dict[str, Any] | None = None
    """rule, looks, seconds and wall_share (of the loop) that they took, budget_hz, and
    of each share of the budget frequencies_hz and shares of the bridges; mean_gap is
    the mean of 1 - cos d at attempts, as far as it lasts; None where every bridge acts
    alike."""
    paths: dict[str, Any] | None = None
    """rewirings, seconds that they took, bridges that they retired, and the report of
    the last; None where nothing was rewired."""
    load: dict[str, Any] | None = None
    """seconds, ended_by, asked against achieved of a real load; None without one."""
    sensor: dict[str, Any] | None = None
    """decisions, of which stale and disbelieved ones, the longest age_s of a sample
    and the flaws seen, of a resource sensor that failed; None where it never did."""
    resumed: tuple[dict[str, Any], ...] | None = None
    """step, backend, device and version of each time that the run was resumed; None
    where it never was."""
    notes: tuple[str, ...] = field(default_factory=tuple)
    """What else a reader must know, such as the reason of a failure."""

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `summary.json`."""
        return asdict(self)

"""What every back end offers, and the plain data it works on.

A back end knows how to run a period, never why: it gets arrays, windows and a
tableau, and imports no physics.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.backends.matching import Matching
from engine.geometry import Geometry

Array = Any
"""An array in the memory of a back end: NumPy or CuPy."""

U32Array = npt.NDArray[np.uint32]
F32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge-Kutta scheme in which each stage starts from the last.

    Stage k is taken at y + feeds[k - 1] * dt * rate_{k-1}; the step ends at
    y + dt * sum(weights[k] * rate_k).
    """

    name: str
    """Integrator name as in the configuration."""
    order: int
    """Order of convergence in dt [-]."""
    feeds: tuple[float, ...]
    """Subdiagonal coefficients [-], one less than the stages."""
    weights: tuple[float, ...]
    """Weights of the stages [-], summing to one."""


TABLEAUS = {
    tableau.name: tableau
    for tableau in (
        Tableau("euler", 1, (), (1.0,)),
        Tableau("rk2", 2, (0.5,), (0.0, 1.0)),
        Tableau("rk4", 4, (0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
        # One stage finds the rate, which velocities then follow (motion.py).
        Tableau("leapfrog", 1, (), (1.0,)),
    )
}


@dataclass(frozen=True)
class Motion:
    """How oscillators move, beyond following neighbours and detuning at once."""

    lag_rad: float = 0.0
    """alpha in sin(theta_j - theta_i - alpha) (Sakaguchi and Kuramoto 1986) [rad]."""
    is_global: bool = False
    """Whether every node couples to the mean of all, K / N each, not to neighbours."""
    inertia_s: float = 0.0
    """m in m theta'' + theta' = rate [s]; 0: phases follow their rate."""
    diffusion_rad2_s: float = 0.0
    """D of white noise sqrt(2 D) xi on every node [rad^2/s]."""
    noise_key: tuple[int, int] = (0, 0)
    """(seed, stream) of the noise."""

    @property
    def is_steady(self) -> bool:
        """Whether a step is neighbours and detuning alone, phase lag or not."""
        return not (self.is_global or self.inertia_s or self.diffusion_rad2_s)


FOLLOWING = Motion()
"""Phases that follow neighbours and detuning at once."""


@dataclass
class TurnCount:
    """How far every node has turned since a count began (counting.py)."""

    sums: Array
    """Turns up to the last look [2^-32 turn], int64 (float64 in `reference`), shape
    (nodes,)."""
    marks: Array
    """Phases at the last look, as in `LatticeState`."""
    fastest_hz: float
    """Largest rate of a phase, bridges and noise apart [Hz]."""
    event_turns: float
    """Longest way that one tunnel event moves a node [turn]."""
    moved_turns: float = 0.0
    """Longest way that a node can have gone since the last look [turn]."""
    pushed_hz: float = 0.0
    """Largest velocity that events can have left in a node with inertia [Hz]."""


@dataclass
class LatticeState:
    """The oscillators in the memory of a back end."""

    geometry: Geometry
    """Shape and neighbours."""
    coupling_turns: float
    """K / 2 pi per edge [1/s]."""
    phases: Array
    """Binary angles, uint32, shape (nodes,); radians, float64 in `reference`."""
    detunings: Array
    """Natural frequency minus frame [Hz], float32, shape (nodes,)."""
    work: dict[str, Array] = field(default_factory=dict)
    """Scratch arrays of the back end by name; `spare` holds the phases before the last
    step."""
    motion: Motion = FOLLOWING
    """Lag, range, inertia and noise."""
    velocities: Array = None
    """Phase velocities in the rotating frame [Hz], float32 (float64 in `reference`),
    shape (nodes,); None without inertia."""
    kicks: int = 0
    """Kicks of noise so far: the counter of the next one's random words."""
    turn_count: TurnCount | None = None
    """The turns of every node, while somebody wants them."""


@dataclass
class BridgeArrays:
    """The bridges as dense columns, one entry per slot, shape (bridges,) each.

    Slots are ordered by layer, then rung group, then golden-ratio position, so
    that the bridges due in a step are contiguous.
    """

    ids: Array
    """Stable bridge id, uint32."""
    sources: Array
    """First end, uint32 node id; plus `DIRECTED_FLAG` where it stays in an event."""
    targets: Array
    """Second end, uint32 node id."""
    dose_rates: Array
    """kappa / P [rad/s], float32, its sign bit set where the bridge repels; half of
    that where it is directed, for the target then moves by twice the shift."""
    thresholds: Array
    """An attempt succeeds if its random word is at most this, uint32."""
    last_ticks: Array
    """Tick of the last attempt, uint32; 0 before the first."""
    attempts: Array
    """Attempts so far, uint32."""
    successes: Array
    """Successes so far, uint32."""
    locking_cos: Array
    """Running mean of cos(theta_target - theta_source) over attempts, float32."""
    locking_sin: Array
    """Running mean of sin(theta_target - theta_source) over attempts, float32."""

    @property
    def columns(self) -> tuple[Array, ...]:
        """All columns in declaration order, as the kernels take them."""
        return tuple(vars(self).values())

    @property
    def state_columns(self) -> tuple[Array, ...]:
        """The columns that a run changes."""
        return self.columns[5:]


@dataclass
class MatchingArrays:
    """Bridges whose ends are computed: only what a run changes lies in memory.

    Slot, row and bridge id are the same number. The columns have shape (bridges,).
    """

    matching: Matching
    """Ends, dose rates and thresholds as a formula."""
    keys: Array
    """Round keys of the matching, uint32, shape (layers, rounds)."""
    last_ticks: Array
    """As in `BridgeArrays`, and so are the columns below."""
    attempts: Array
    """Attempts so far, uint32."""
    successes: Array
    """Successes so far, uint32."""
    locking_cos: Array
    """Running mean of cos(theta_target - theta_source) over attempts, float32."""
    locking_sin: Array
    """Running mean of sin(theta_target - theta_source) over attempts, float32."""

    @property
    def state_columns(self) -> tuple[Array, ...]:
        """The columns that a run changes, in the order of `BridgeArrays`."""
        return tuple(vars(self).values())[2:]


Bridges = BridgeArrays | MatchingArrays
"""Bridges of either kind: ends stored, or ends computed."""
STATE_COLUMNS = ("last_ticks", "attempts", "successes", "locking_cos", "locking_sin")
"""Names of the columns that a run changes."""
STATE_TYPES = (np.uint32, np.uint32, np.uint32, np.float32, np.float32)
"""Number types of the columns that a run changes, in order."""


@dataclass(frozen=True)
class Period:
    """A control period: what to run until the next decision."""

    step_count: int
    """Lattice steps, >= 1."""
    dt_s: float
    """Time step [s]."""
    tableau: Tableau
    """Integrator of the lattice."""
    first_tick: int
    """Tick of the first tunnel slice; ticks count lattice steps from 1 over a run."""
    segments: npt.NDArray[np.int64]
    """Contiguous slots [lo, hi) that are due, shape (m, 2), ordered by slice."""
    segment_bounds: npt.NDArray[np.int64]
    """Rows of `segments` of slice i are bounds[i] .. bounds[i + 1] - 1."""
    key: tuple[int, int]
    """(seed, stream) of the success draws."""
    slice_steps: int = 1
    """Lattice steps from one tunnel slice to the next; divides `step_count`."""
    segment_layers: npt.NDArray[np.int64] | None = None
    """Layer of each segment, shape (m,); None if unknown.

    Neighbours in a slice that lie in one layer share no node, so a back end may run
    them together.
    """

    @property
    def slice_count(self) -> int:
        """Tunnel slices of the period [-]."""
        return self.step_count // self.slice_steps


@dataclass(frozen=True)
class PeriodResult:
    """What a period cost and did."""

    lattice_s: float
    """Wall time in lattice steps [s]."""
    tunnel_s: float
    """Wall time in tunnel events [s]."""
    successes: int
    """Successful tunnel events [-]."""


class Backend(Protocol):
    """One way to run the arithmetic."""

    name: str
    """Name in the configuration."""
    device: str
    """The processor in words."""
    gpu_identifiers: tuple[str, ...]
    """PCI addresses of the GPUs in use; empty on a CPU."""

    def memory_free_bytes(self) -> int | None:
        """Return the free memory of the device [byte]; None if it is the host's."""

    def warm_up(
        self,
        *,
        computes_ends: bool = False,
        counts_turns: bool = False,
        motion: Motion = FOLLOWING,
    ) -> None:
        """Compile and load every kernel that a run needs before it is timed."""

    def build_lattice(
        self,
        geometry: Geometry,
        phases: U32Array,
        detunings_hz: F32Array,
        coupling_rad_s: float,
        motion: Motion = FOLLOWING,
    ) -> LatticeState:
        """Take the oscillators into the back end's memory."""

    def build_bridges(self, bridges: BridgeArrays) -> BridgeArrays:
        """Take host columns into the back end's memory."""

    def move_bridges(
        self, bridges: BridgeArrays, came_from: npt.NDArray[np.integer]
    ) -> BridgeArrays:
        """Return the bridges in another order: slot i from slot came_from[i]."""

    def build_matchings(self, matching: Matching) -> MatchingArrays:
        """Allocate bridges that have attempted nothing; the host holds no column."""

    def sum_thresholds(self, lattice: LatticeState, bridges: MatchingArrays) -> int:
        """Sum the thresholds of all bridges, exactly [2^-32 of a probability]."""

    def share_cores(self, idle_cores: float) -> None:
        """Hear how many cores others leave; results never depend on it."""

    def advance(
        self, lattice: LatticeState, bridges: Bridges, period: Period
    ) -> PeriodResult:
        """Run one control period."""

    def read_phases(self, lattice: LatticeState) -> U32Array:
        """Copy the phases to the host as binary angles, shape (nodes,)."""

    def read_probe(
        self, lattice: LatticeState, nodes: npt.NDArray[np.int64]
    ) -> U32Array:
        """Copy the phases of some nodes to the host as binary angles."""

    def start_counting(
        self, lattice: LatticeState, fastest_hz: float, event_turns: float
    ) -> None:
        """Count every node's turns from here on."""

    def read_turns(self, lattice: LatticeState) -> npt.NDArray[np.float64]:
        """Return the turns of each node since the count began [turn]."""

    def write_phases(self, lattice: LatticeState, phases: U32Array) -> None:
        """Replace the phases by binary angles from the host, shape (nodes,)."""

    def write_detunings(self, lattice: LatticeState, detunings_hz: F32Array) -> None:
        """Replace the detunings by others from the host [Hz], shape (nodes,)."""

    def to_host(self, array: Array) -> npt.NDArray[Any]:
        """Copy an array of this back end to the host."""

    def fill(self, array: Array, values: npt.NDArray[Any]) -> None:
        """Replace the values of an array of this back end by those of the host."""

    def order_parameter(self, lattice: LatticeState) -> complex:
        """Return mean exp(i theta) [-]."""

    def local_coherence(self, lattice: LatticeState) -> float:
        """Return the mean cosine over lattice edges [-]."""

    def vortex_count(self, lattice: LatticeState) -> int:
        """Return the number of plaquettes around which the phase winds [-]."""

    def winding_numbers(self, lattice: LatticeState) -> tuple[float, ...]:
        """Return the mean turns of phase along each axis; 0 for an open axis."""

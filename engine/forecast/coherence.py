"""Coherence and cost of a run at every rung of the ladder, before it is run."""

from __future__ import annotations

import math
import types
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import TABLEAUS
from engine.bridge import EdgeList, build_edges
from engine.bridge.edges import spread_flag
from engine.bridge.matching import CHUNK, build_matching
from engine.bridge.operator import F64
from engine.config import BridgesConfig, RunConfig
from engine.crystal import draw_detunings
from engine.errors import ForecastError
from engine.forecast.locking import LockedNetwork, LockedState
from engine.forecast.scope import find_obstacle
from engine.geometry import Geometry, build_geometry
from engine.state import digest_inputs

MAX_EDGES: Final = 2**24
"""Lattice edges plus bridges up to which a forecast is made: minutes, 1 GiB."""
FEW_BRIDGES: Final = 0.1
"""Bridge ends per node below which random phases may stay wound up [-]."""
CHAIN_BRIDGES: Final = 2.0
"""Likewise on a chain."""
UNWINDING_AXES: Final = 3
"""Axes from which on a lattice was seen to unwind random phases by itself."""
LEAST_PULLS: Final = types.MappingProxyType(
    {
        ("matchings", 1): 1.0, ("procedural", 1): 1.0,
        ("small_world", 1): 1.0, ("file", 1): 1.0,
        ("matchings", 2): 0.1, ("procedural", 2): 0.1,
        ("small_world", 2): 0.5, ("file", 2): 0.5,
    }
)  # fmt: skip
"""Pull of a node's bridges, by kind and axes, from which on random phases were seen to
unwind, as a share of K (scanned over 0.1 to 3, with 1 to 8 bridges per node)."""
WINDING_DOUBT: Final = (
    "random initial phases may lock around vortices or twisted waves that these "
    "bridges do not unwind; lattice.initial_phases=aligned avoids it"
)
"""Why a forecast is not trusted although a locked state was found."""
NODE_STEP_S: Final = 1.0e-9
"""Wall time per node and Euler step, two cores of `benchmarks/README.md` [s]."""
EVENT_S: Final = 6.0e-9
"""Wall time per tunnel event, likewise [s]."""


@dataclass(frozen=True)
class CoherenceForecast:
    """What a run at one tunnel frequency is expected to reach, and to cost."""

    frequency_hz: float | None
    """Mean tunnel frequency of the bridges [Hz]; None: each acts all the time."""
    coherence: float
    """Order parameter r after settling [-], in [0, 1]."""
    is_trusted: bool
    """Whether the theory holds here, to 0.01 in r."""
    reason: str
    """Why it does not; empty where it is trusted."""
    events_per_simulated_second: float | None
    """Tunnel attempts per simulated second [1/s]; None without a frequency."""
    wall_s_per_simulated_second: float | None
    """Wall time on two cores of the machine of `benchmarks/README.md` [-]."""


@dataclass(frozen=True)
class LadderForecast:
    """The forecast of a whole ladder."""

    floor: float
    """min_coherence [-]."""
    unlimited: CoherenceForecast
    """Every bridge all the time."""
    rungs: tuple[CoherenceForecast, ...]
    """One per rung, the highest frequency first; none without bridges."""

    @property
    def cheapest(self) -> CoherenceForecast | None:
        """The lowest rung that holds the floor, as all above it do."""
        held = None
        for rung in self.rungs:
            if rung.coherence < self.floor:
                break
            held = rung
        return held

    @property
    def is_reachable(self) -> bool:
        """Whether any rung, or the bare lattice, holds the floor."""
        if not self.rungs:
            return self.unlimited.coherence >= self.floor
        return self.cheapest is not None

    def to_dict(self) -> dict[str, Any]:
        """Return plain figures, ready for JSON."""
        return {**asdict(self), "cheapest": self.cheapest and asdict(self.cheapest)}


class Forecaster:
    """Forecasts of one network at any frequency, each found once.

    Example:
        >>> from engine.config import LatticeConfig
        >>> small = RunConfig(lattice=LatticeConfig(shape=(16, 16)))
        >>> forecaster = build_forecaster(small)
        >>> forecaster.unlimited.coherence > forecaster.forecast(63.0).coherence > 0.87
        True
    """

    def __init__(
        self,
        config: RunConfig,
        edges: EdgeList,
        detunings_hz: npt.NDArray[np.floating],
    ) -> None:
        """Take in a network that has been drawn.

        Args:
            config: The run.
            edges: Its bridges.
            detunings_hz: Natural frequencies minus a common one [Hz], shape (nodes,).

        Raises:
            ForecastError: The theory does not know such a network.
        """
        obstacle = find_obstacle(config, edges)
        if obstacle:
            raise ForecastError(f"{obstacle}.")
        lattice = config.lattice
        self.config = config
        self.network = LockedNetwork(
            build_geometry(lattice.kind, lattice.shape, lattice.periodic),
            edges,
            detunings_hz,
            lattice.coupling_rad_s,
            config.tunnel,
        )
        self._known: dict[str, CoherenceForecast] = {}
        self._last: LockedState | None = None

    @property
    def unlimited(self) -> CoherenceForecast:
        """Forecast for bridges that act all the time."""
        return self.forecast(math.inf)

    def forecast(self, frequency_hz: float | F64) -> CoherenceForecast:
        """Forecast a run at given tunnel frequencies.

        Args:
            frequency_hz: Frequency of all bridges, or of each, shape (bridges,) [Hz],
                > 0; may be infinite.

        Returns:
            Coherence, trust and cost.
        """
        key = digest_inputs(np.asarray(frequency_hz, dtype=np.float64))
        if key not in self._known:
            start = self._find_start(frequency_hz)
            state = self.network.settle(frequency_hz, start)
            self._last = state if state.is_converged else self._last
            self._known[key] = self._describe(state)
        return self._known[key]

    def _find_start(self, frequency_hz: float | F64) -> LockedState | None:
        """Return the last state if no bridge acted less often there.

        Oscillators that slipped at a lower frequency would stay so at a higher one.
        """
        last = self._last
        if last is None or np.any(last.rhythm.by_bridge < np.asarray(frequency_hz)):
            return None
        return last

    def _describe(self, state: LockedState) -> CoherenceForecast:
        dynamics, operator = self.config.dynamics, self.network.operator
        rhythm = state.rhythm
        is_finite = not rhythm.is_continuous
        events = operator.bridge_count * rhythm.mean_hz if is_finite else None
        stages = len(TABLEAUS[dynamics.integrator].weights)
        steps_s = NODE_STEP_S * stages * operator.node_count / dynamics.dt_s
        reason = state.doubt or self._find_doubt(rhythm.by_bridge)
        return CoherenceForecast(
            frequency_hz=rhythm.mean_hz if is_finite else None,
            coherence=state.coherence,
            is_trusted=not reason,
            reason=reason,
            events_per_simulated_second=events,
            wall_s_per_simulated_second=(
                None if events is None else steps_s + EVENT_S * events
            ),
        )

    def _find_doubt(self, frequency_hz: float | F64) -> str:
        """Say where random initial phases may lock into another state than this one.

        Bridges unwind twists and vortices if they reach far and pull hard enough
        beside the lattice; in three axes the lattice does so by itself.
        """
        lattice, bridges = self.config.lattice, self.config.bridges
        axes = len(lattice.shape)
        pulls = np.minimum(self.network.strengths, 0.5 * frequency_hz)
        ends = 2.0 * len(pulls) / lattice.node_count
        pull = 2.0 * float(pulls.sum()) / lattice.node_count
        is_local = bridges.kind == "small_world" and bridges.distance_exponent > axes
        least = LEAST_PULLS.get((bridges.kind, axes), 0.0) * lattice.coupling_rad_s
        is_short = axes < UNWINDING_AXES and (is_local or pull < least)
        is_sparse = ends < (CHAIN_BRIDGES if axes == 1 else FEW_BRIDGES)
        if lattice.initial_phases == "random" and (is_short or is_sparse):
            return WINDING_DOUBT
        return ""

    def forecast_ladder(self) -> LadderForecast:
        """Forecast every rung, from the highest down; none without bridges."""
        tunnel = self.config.tunnel
        rungs = range(tunnel.rungs + 1 if self.network.operator.bridge_count else 0)
        return LadderForecast(
            floor=tunnel.min_coherence,
            unlimited=self.unlimited,
            rungs=tuple(self.forecast(tunnel.rung_frequency_hz(k)) for k in rungs),
        )


def count_lattice_edges(config: RunConfig) -> int:
    """Count the edges of the lattice, bridges excluded [-].

    Args:
        config: A validated configuration.
    """
    lattice = config.lattice
    return build_geometry(lattice.kind, lattice.shape, lattice.periodic).edge_count


def build_forecaster(
    config: RunConfig, bridges: BridgesConfig | None = None
) -> Forecaster:
    """Draw the network of a configuration as a run would, and take it in.

    Args:
        config: A validated configuration.
        bridges: Bridges to draw instead of the configured ones.

    Returns:
        The forecaster.

    Raises:
        ConfigError: The bridges do not fit the lattice.
        ForecastError: The theory does not know such a network.
        RecordError: An input cannot be read.
        ShapeError: An input does not fit the lattice.
    """
    lattice = config.lattice
    geometry = build_geometry(lattice.kind, lattice.shape, lattice.periodic)
    detunings_hz = draw_detunings(lattice, config.seed)
    edges = _draw_edges(geometry, bridges or config.bridges, config, detunings_hz)
    return Forecaster(config, edges, detunings_hz)


def _draw_edges(
    geometry: Geometry,
    bridges: BridgesConfig,
    config: RunConfig,
    detunings_hz: npt.NDArray[np.floating],
) -> EdgeList:
    """Build the edge list; ends that a run would compute are stored, in chunks."""
    if bridges.kind != "procedural":
        return build_edges(
            geometry,
            bridges,
            config.seed,
            detunings_hz=detunings_hz,
            coupling_rad_s=config.lattice.coupling_rad_s,
        )
    matching = build_matching(geometry.node_count, bridges, config.tunnel, config.seed)
    ends = np.empty((2, matching.bridge_count), dtype=np.uint32)
    for start in range(0, matching.bridge_count, CHUNK):
        ids = np.arange(start, min(start + CHUNK, matching.bridge_count))
        ends[:, ids] = matching.compute_ends(ids)
    strengths = np.full(ends.shape[1], bridges.strength_rad_s, dtype=np.float32)
    layers = np.zeros(ends.shape[1], np.int32)
    directed = spread_flag(bridges.directed, len(layers))
    return EdgeList(ends[0], ends[1], strengths, layers, directed)

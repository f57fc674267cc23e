"""Every call of the suite into the inner parts of a back end, in one place.

A case holds what is timed: `run` does the work and waits for the device, so that a
clock around it tells the truth.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends import select_backend
from engine.backends.protocol import TABLEAUS, BridgeArrays, LatticeState
from engine.bridge import BridgeNetwork, build_matchings
from engine.config import (
    LATTICE_AXES,
    BackendConfig,
    BridgesConfig,
    DynamicsConfig,
    LatticeConfig,
    TunnelConfig,
)
from engine.geometry import build_geometry
from engine.recording import digest_state
from engine.tunnel import TunnelSchedule, transmission_probability

from .cases import split_axes

DT_S = DynamicsConfig().dt_s
SEED = 0
STEPS_PER_CALL = 8
"""Steps in a row: each starts from the caches that the step before it left."""
COPY_BYTES = 2**26
"""Size of the copied array [byte]: beyond every cache."""

U32Array = npt.NDArray[np.uint32]


def build_backend(name: str, threads: int | None = None) -> Any:
    """Build a back end; `threads` counts for `cpu` only."""
    return select_backend(BackendConfig(name, threads), 1).backend


class LatticeCase:
    """Oscillators of random phases, stepped without bridges."""

    def __init__(
        self,
        backend: Any,
        kind: str,
        log2_nodes: int,
        *,
        integrator: str = "euler",
    ) -> None:
        """Take 2^log2_nodes oscillators into the memory of a back end."""
        config = LatticeConfig(kind)
        self.backend = backend
        shape = split_axes(log2_nodes, LATTICE_AXES[kind])
        self.geometry = build_geometry(kind, shape)
        self.tableau = TABLEAUS[integrator]
        self.coupling_rad_s = config.coupling_rad_s
        rng = np.random.default_rng(SEED)
        nodes = self.geometry.node_count
        self.start = rng.integers(0, 2**32, nodes, dtype=np.uint32)
        self.detunings_hz = rng.standard_normal(nodes, dtype=np.float32)
        self.detunings_hz *= np.float32(config.spread_hz)
        self.state: LatticeState = backend.build_lattice(
            self.geometry, self.start, self.detunings_hz, self.coupling_rad_s
        )

    @property
    def node_count(self) -> int:
        """Number of oscillators [-]."""
        return self.geometry.node_count

    def advance(self, count: int) -> None:
        """Advance by `count` steps and wait for the device."""
        self.backend.step_lattice(self.state, self.tableau, DT_S, count)
        self.wait()

    def run(self) -> None:
        """Do what is timed."""
        self.advance(STEPS_PER_CALL)

    def wait(self) -> None:
        """Wait until the device is idle."""
        self.backend.take_successes()

    def restart(self, phases: U32Array | None = None) -> None:
        """Set the phases, by default to those of the start."""
        self.backend.write_phases(self.state, self.start if phases is None else phases)

    def read_phases(self) -> U32Array:
        """Copy the phases to the host."""
        phases: U32Array = self.backend.read_phases(self.state)
        return phases


class TunnelCase:
    """Bridges on a square lattice, whose events are run without lattice steps."""

    def __init__(self, backend: Any, log2_nodes: int, frequency_hz: float) -> None:
        """Draw the default bridges and plan a slice of steps."""
        self.backend = backend
        self.lattice = LatticeCase(backend, "square", log2_nodes)
        edges = build_matchings(self.lattice.node_count, BridgesConfig(), SEED)
        detunings = self.lattice.detunings_hz.astype(np.float64)
        gaps = detunings[edges.targets] - detunings[edges.sources]
        tunnel = TunnelConfig()
        chances = transmission_probability(gaps, tunnel)
        self.network = BridgeNetwork(edges, chances, backend, tunnel)
        self.network.follow(frequency_hz)
        self.schedule = TunnelSchedule(self.network, DT_S, SEED)
        self.period, self.event_count = self.schedule.plan_period(
            STEPS_PER_CALL, TABLEAUS["euler"]
        )
        self.successes = 0
        self._next_tick = self.period.first_tick

    def run(self) -> None:
        """Run the events of the slice's steps and wait for the device."""
        bounds = self.period.segment_bounds
        for step in range(self.period.step_count):
            due = self.period.segments[bounds[step] : bounds[step + 1]]
            if len(due):
                self.backend.step_tunnels(
                    self.lattice.state,
                    self.network.arrays,
                    self.period,
                    due,
                    self._next_tick + step,
                )
        self._next_tick += self.period.step_count
        self.successes = self.backend.take_successes()

    def read_bridges(self) -> BridgeArrays:
        """Copy the columns to the host by bridge id."""
        return self.network.columns_by_id()

    def digest(self) -> str:
        """Return the SHA-256 of phases and bridge state."""
        columns = self.read_bridges().state_columns
        return digest_state([self.lattice.read_phases(), *columns])


def build_copy(backend: Any) -> Any:
    """Build a copy of `COPY_BYTES` in the memory of a back end, on all its cores.

    Returns:
        A function that copies once and waits; it reads and writes 2 * COPY_BYTES.
    """
    if backend.name == "cuda":
        return _build_device_copy()
    parts = [np.ones(COPY_BYTES // backend.threads, np.uint8) for _ in range(2)]
    pairs = [tuple(part.copy() for part in parts) for _ in range(backend.threads)]
    pool = ThreadPoolExecutor(backend.threads)
    return lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs))


def _build_device_copy() -> Any:
    import cupy

    source = cupy.ones(COPY_BYTES, cupy.uint8)
    target = cupy.empty_like(source)

    def copy() -> None:
        cupy.copyto(target, source)
        cupy.cuda.get_current_stream().synchronize()

    return copy

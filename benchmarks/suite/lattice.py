"""Lattice steps by size, lattice type, integrator and back end."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .cases import BACKENDS, LOG2_NODES, require
from .stopwatch import measure_seconds

if TYPE_CHECKING:
    from .engine_calls import LatticeCase

BYTES_PER_NODE_STEP = 12
"""Least traffic: read phase and detuning, write phase [byte]."""
COMPARED_LOG2_NODES = 18
"""Size at which lattice types are compared: 64 x 64 x 64."""
REFERENCE_LOG2_NODES = 16


@cache  # asv calls setup again before every sample
def build_case(
    backend: str, log2_nodes: int, kind: str, integrator: str, *, whole: bool
) -> LatticeCase:
    """Build and check a case; `whole` compares every node with `reference`."""
    from .engine_calls import LatticeCase, build_backend
    from .validation import check_parity, check_sampled_step

    case = LatticeCase(build_backend(backend), kind, log2_nodes, integrator=integrator)
    (check_parity if whole else check_sampled_step)(case)
    return case


class StepBySize:
    """Euler on a square lattice."""

    params = (LOG2_NODES, BACKENDS)
    param_names = ("log2_nodes", "backend")

    def setup(self, log2_nodes: int, backend: str) -> None:
        require(backend, log2_nodes)
        self.case = build_case(backend, log2_nodes, "square", "euler", whole=False)

    def time_8_steps(self, log2_nodes: int, backend: str) -> None:
        self.case.run()

    def _node_steps_per_s(self) -> float:
        from .engine_calls import STEPS_PER_CALL

        return STEPS_PER_CALL * self.case.node_count / measure_seconds(self.case.run)

    def track_node_steps(self, log2_nodes: int, backend: str) -> float:
        return self._node_steps_per_s()

    def track_traffic(self, log2_nodes: int, backend: str) -> float:
        return BYTES_PER_NODE_STEP * self._node_steps_per_s() / 1e9

    def track_share_of_copy_bandwidth(self, log2_nodes: int, backend: str) -> float:
        from .engine_calls import COPY_BYTES, build_copy

        traffic = BYTES_PER_NODE_STEP * self._node_steps_per_s()
        copy_s = measure_seconds(build_copy(self.case.backend))
        return traffic * copy_s / (2.0 * COPY_BYTES)

    track_node_steps.unit = "node-steps/s"
    track_traffic.unit = "GB/s"
    track_share_of_copy_bandwidth.unit = "share of copy bandwidth"


class StepByKind:
    """Euler on every lattice type, 2^18 nodes."""

    params = (["chain", "square", "triangular", "cubic", "bcc", "fcc"], BACKENDS)
    param_names = ("kind", "backend")
    log2_nodes = COMPARED_LOG2_NODES

    def setup(self, kind: str, backend: str) -> None:
        require(backend)
        self.case = build_case(backend, self.log2_nodes, kind, "euler", whole=True)

    def time_8_steps(self, kind: str, backend: str) -> None:
        self.case.run()


class StepByIntegrator:
    """Every integrator on a square lattice of 2^16 nodes, `reference` too."""

    params = (["euler", "rk2", "rk4"], ["reference", *BACKENDS])
    param_names = ("integrator", "backend")
    log2_nodes = REFERENCE_LOG2_NODES

    def setup(self, integrator: str, backend: str) -> None:
        require(backend)
        self.case = build_case(
            backend, self.log2_nodes, "square", integrator, whole=True
        )

    def time_8_steps(self, integrator: str, backend: str) -> None:
        self.case.run()

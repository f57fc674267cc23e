"""What is measured of the phases: order parameter, local coherence, vortices."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .cases import BACKENDS, LOG2_NODES, require

if TYPE_CHECKING:
    from .engine_calls import LatticeCase


@cache  # asv calls setup again before every sample
def build_case(backend: str, log2_nodes: int) -> LatticeCase:
    """Build and check a case; its observables wait for the device themselves."""
    from .engine_calls import LatticeCase, build_backend
    from .validation import check_observables

    case = LatticeCase(build_backend(backend), "square", log2_nodes)
    check_observables(case)
    return case


class ObservablesBySize:
    """A square lattice of random phases."""

    params = (LOG2_NODES, BACKENDS)
    param_names = ("log2_nodes", "backend")

    def setup(self, log2_nodes: int, backend: str) -> None:
        require(backend, log2_nodes)
        self.case = build_case(backend, log2_nodes)

    def time_order_parameter(self, log2_nodes: int, backend: str) -> None:
        self.case.backend.order_parameter(self.case.state)

    def time_local_coherence(self, log2_nodes: int, backend: str) -> None:
        self.case.backend.local_coherence(self.case.state)

    def time_vortex_count(self, log2_nodes: int, backend: str) -> None:
        self.case.backend.vortex_count(self.case.state)

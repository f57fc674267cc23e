"""Control periods captured as CUDA graphs and launched again from period to period.

A graph holds everything that its key names: kernels, grids, scalars and the addresses
of arrays. What changes from period to period lies in device memory. A key is captured
when it comes for the second time, so that a period of odd length is not captured for
nothing, and every `SAMPLE_PERIODS`-th time it runs uncaptured, with events between its
stages; events inside a graph would need a call that CuPy does not offer.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from engine.backends.cuda_device import CudaDevice
from engine.backends.cuda_faults import first_line
from engine.backends.protocol import LatticeState

logger = logging.getLogger(__name__)

MOST_GRAPHS: Final = 16
"""Keys that are remembered [-]."""
SAMPLE_PERIODS: Final = 64
"""Uses of a key from one uncaptured, sampled period to the next [-]."""


@dataclass
class _Entry:
    """What is known of a key."""

    kept: tuple[Any, ...]
    """Arrays that the graph refers to; they must outlive it."""
    uses: int = 0
    """Periods that had this key [-]."""
    graph: Any = None
    """The captured launches, or None."""
    phases: tuple[Any, Any] | None = None
    """Phases and spare array after the launches."""


class GraphCache:
    """Runs periods, captured wherever that is possible."""

    def __init__(self, device: CudaDevice) -> None:
        """Start empty.

        Args:
            device: The device whose stream is captured.
        """
        self._device = device
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._can_capture = hasattr(device.stream, "begin_capture")
        if not self._can_capture:
            logger.warning("This CuPy cannot capture graphs: plain launches are used.")

    def clear(self) -> None:
        """Forget all graphs and let go of their arrays."""
        self._entries.clear()

    def run(
        self,
        key: Hashable,
        kept: tuple[Any, ...],
        lattice: LatticeState,
        issue: Callable[[], None],
    ) -> bool:
        """Run a period's launches from a graph, or say that it must be run plainly.

        The stream must be current, and everything that `issue` needs allocated.

        Args:
            key: Names everything that the launches hold by value or address.
            kept: Arrays that the launches refer to.
            lattice: Its phases and spare array are exchanged as the launches do.
            issue: Asks for the launches.

        Returns:
            Whether the launches are under way; if not, nothing has happened.
        """
        entry = self._entries.pop(key, None) or _Entry(kept)
        self._entries[key] = entry
        if len(self._entries) > MOST_GRAPHS:
            self._entries.popitem(last=False)
        entry.uses += 1
        if entry.uses % SAMPLE_PERIODS == 1 or not self._can_capture:
            return False
        if entry.graph is None:
            self._capture(entry, lattice, issue)
        if entry.graph is None or entry.phases is None:
            return False
        self._device.launch_graph(entry.graph)
        lattice.phases, lattice.work["spare"] = entry.phases
        return True

    def _capture(
        self, entry: _Entry, lattice: LatticeState, issue: Callable[[], None]
    ) -> None:
        """Capture the launches; never again if the driver refuses."""
        before = lattice.phases, lattice.work["spare"]
        stream = self._device.stream
        try:
            stream.begin_capture()
            try:
                issue()
            finally:
                graph = stream.end_capture()
            entry.graph = graph
            entry.phases = lattice.phases, lattice.work["spare"]
        except RuntimeError as error:
            self._can_capture = False
            logger.warning(
                "CUDA graphs are not available (%s): plain launches are used, which "
                "cost microseconds each. A newer driver may help.",
                first_line(error),
            )
        finally:
            lattice.phases, lattice.work["spare"] = before

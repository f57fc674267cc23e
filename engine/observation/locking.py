"""Phase locking within a probe set: which nodes keep their distance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.constants import LOCKING_FILE, PHI_COEFFICIENT, TURN
from engine.disk import build_write_error, replace_whole
from engine.errors import RecordError
from engine.intake import IntakeError, describe, read_arrays
from engine.state import State, keep_array, keep_fields, take_fields


def choose_probe(node_count: int, probe_count: int) -> npt.NDArray[np.int64]:
    """Choose nodes that are spread evenly over a lattice.

    Multiples of the stride nearest to nodes / golden ratio that is coprime to the
    number of nodes: all distinct, and any number of them is spread evenly.

    Args:
        node_count: Nodes of the lattice.
        probe_count: Nodes to choose, at most as many.

    Returns:
        Node ids in ascending order, shape (probe_count,).
    """
    stride = max(1, round(node_count * PHI_COEFFICIENT))
    while math.gcd(stride, node_count) != 1:
        stride += 1
    return np.sort(np.arange(probe_count, dtype=np.int64) * stride % node_count)


class LockingSums:
    """Sums exp(i (theta_i - theta_j)) over time for every pair of the probe set."""

    def __init__(self, probe_count: int) -> None:
        """Start before the first sample.

        Args:
            probe_count: Nodes of the probe set.
        """
        self._sums = np.zeros((probe_count, probe_count), np.complex128)
        self.count = 0
        """Samples so far [-]."""

    def add(self, phases: npt.NDArray[np.uint32]) -> None:
        """Take in a sample of the phases as binary angles, shape (probe_count,)."""
        points = np.exp(phases * (2j * np.pi / TURN))
        self._sums += np.multiply.outer(points, points.conj())
        self.count += 1

    def to_state(self) -> State:
        """Return the sums and their number."""
        parts = self._sums.view(np.float64).reshape(*self._sums.shape, 2)
        dims = ("probe", "probe", "real, imaginary")
        return {**keep_fields(self, "count"), "sums": keep_array(parts, dims, "1")}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of such a probe set.
        """
        take_fields(self, state, "count")
        shape = (*self._sums.shape, 2)
        parts = state["sums"].load("Sums of the probe set", np.float64, shape)
        self._sums = parts.view(np.complex128)[..., 0]

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Phase-locking values [-], 1 on the diagonal, shape (probe_count,) * 2."""
        return np.minimum(np.abs(self._sums) / max(self.count, 1), 1.0)


@dataclass(frozen=True)
class Locking:
    """The phase-locking matrix |<exp(i (theta_i - theta_j))>| of a run.

    It is averaged over the ends of the control periods in the later part of the run:
    between its first quarter and half is left out.
    """

    nodes: npt.NDArray[np.int64]
    """Node ids of the probe set, ascending, shape (probe_count,)."""
    matrix: npt.NDArray[np.float64]
    """Phase-locking values [-], shape (probe_count, probe_count)."""
    sample_count: int
    """Moments that were averaged [-]."""

    @property
    def mean(self) -> float | None:
        """Mean over all pairs of two nodes [-]; None for a single node."""
        pairs = self.nodes.size * (self.nodes.size - 1)
        total = float(self.matrix.sum() - np.trace(self.matrix))
        return total / pairs if pairs else None

    def save(self, folder: Path) -> None:
        """Write the matrix into a run folder.

        Raises:
            WriteError: The disk takes no more; no part of it is left.
        """
        path = folder / LOCKING_FILE
        count = np.int64(self.sample_count)
        try:
            with replace_whole(path) as draft, draft.open("wb") as file:
                np.savez(file, nodes=self.nodes, matrix=self.matrix, sample_count=count)
        except OSError as error:
            raise build_write_error(
                path, error, "set observe.probe_count=0 in another run"
            ) from error


def open_locking(folder: str | Path) -> Locking | None:
    """Read the phase-locking matrix of a run.

    Args:
        folder: Run folder.

    Returns:
        The matrix; None where the run has observed none.

    Raises:
        RecordError: The file is damaged.
    """
    path = Path(folder) / LOCKING_FILE
    if not path.is_file():
        return None
    try:
        found = read_arrays(path)
        count = int(found["sample_count"])
        locking = Locking(found["nodes"], found["matrix"], count)
        size = locking.nodes.size
        if locking.matrix.shape != (size, size) or locking.nodes.ndim != 1:
            raise IntakeError("its matrix does not fit its nodes")
        if locking.matrix.dtype.kind != "f" or locking.nodes.dtype.kind not in "iu":
            raise IntakeError("its matrix or its nodes are no such numbers")
    except Exception as error:  # NumPy's parser of headers has many
        raise RecordError(
            f"{path} cannot be read ({describe(error)}); name the folder of a "
            "finished run."
        ) from error
    return locking

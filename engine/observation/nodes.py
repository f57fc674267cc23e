"""A row per node at the end of a run: `nodes.parquet`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.philox import PART
from engine.constants import NODES_FILE
from engine.crystal import CrystalLattice
from engine.disk import TableFile, build_write_error, replace_whole
from engine.errors import RecordError
from engine.intake import IntakeError, describe, read_metadata, read_table

AXIS_NAMES = ("x", "y", "z")
"""Names of the lattice axes, along the primitive vectors in order."""
UNITS = {
    "natural_frequency_hz": "Hz",
    "effective_frequency_hz": "Hz",
    "phase": "turn / 4294967296",
}
"""Units of the columns, kept in the file."""
WINDOW_KEY = "effective_frequency_window_s"
"""Entry of the file's metadata."""

F64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NodeTable:
    """The columns of `nodes.parquet`, one entry per node."""

    natural_frequencies_hz: F64Array
    """Natural frequencies [Hz], shape (nodes,)."""
    effective_frequencies_hz: F64Array | None
    """Mean frequencies over the last part of the run [Hz], shape (nodes,)."""
    phases: npt.NDArray[np.uint32]
    """Phases at the end as binary angles (2^32 = one turn), shape (nodes,)."""
    window_s: float | None
    """Time over which effective frequencies were measured [s]; None without them."""


def write_nodes(
    folder: Path,
    lattice: CrystalLattice,
    effective_hz: F64Array | None,
    window_s: float | None,
) -> None:
    """Write a row per node into a run folder.

    Args:
        folder: Run folder.
        lattice: Oscillators at the end of the run.
        effective_hz: Effective frequencies [Hz], shape (nodes,); None if unknown.
        window_s: Time over which they were measured [s]; None if unknown.

    Raises:
        WriteError: The disk takes no more; no part of it is left.
    """
    path = folder / NODES_FILE
    schema = _build_schema(len(lattice.geometry.shape), window_s)
    phases = lattice.phases
    try:
        with replace_whole(path) as draft, TableFile(draft, schema) as file:
            for low in range(0, lattice.node_count, PART):
                nodes = np.arange(low, min(low + PART, lattice.node_count))
                effective = None if effective_hz is None else effective_hz[nodes]
                rows = _build_rows(lattice, nodes, effective, phases[nodes])
                file.write(_to_table(rows, schema))
    except OSError as error:
        raise build_write_error(path, error) from error


def _build_schema(axes: int, window_s: float | None) -> Any:
    import pyarrow as pa

    kinds = {
        "node": pa.int64(),
        **dict.fromkeys(AXIS_NAMES[:axes], pa.int32()),
        "natural_frequency_hz": pa.float64(),
        "effective_frequency_hz": pa.float64(),
        "phase": pa.uint32(),
    }
    columns = [
        pa.field(name, kind, metadata={"units": UNITS[name]} if name in UNITS else None)
        for name, kind in kinds.items()
    ]
    metadata = None if window_s is None else {WINDOW_KEY: repr(window_s)}
    return pa.schema(columns, metadata=metadata)


def _build_rows(
    lattice: CrystalLattice,
    nodes: npt.NDArray[np.int64],
    effective_hz: F64Array | None,
    phases: npt.NDArray[np.uint32],
) -> dict[str, npt.NDArray[Any] | None]:
    sites = np.unravel_index(nodes, lattice.geometry.shape)
    detunings = lattice.detunings_hz[nodes].astype(np.float64)
    return {
        "node": nodes,
        **{
            name: site.astype(np.int32)
            for name, site in zip(AXIS_NAMES, sites, strict=False)
        },
        "natural_frequency_hz": lattice.resonance_frequency + detunings,
        "effective_frequency_hz": effective_hz,
        "phase": phases,
    }


def _to_table(rows: dict[str, npt.NDArray[Any] | None], schema: Any) -> Any:
    """Build an Arrow table; a column that is absent is null."""
    import pyarrow as pa

    count = len(rows["node"]) if rows["node"] is not None else 0
    columns = [
        pa.nulls(count, field.type)
        if rows[field.name] is None
        else pa.array(rows[field.name], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def open_nodes(folder: str | Path) -> NodeTable | None:
    """Read the rows per node of a run.

    Args:
        folder: Run folder.

    Returns:
        The columns; None where the run has observed nothing, or did not end.

    Raises:
        RecordError: The file is damaged.
    """
    path = Path(folder) / NODES_FILE
    if not path.is_file():
        return None
    names = ["natural_frequency_hz", "effective_frequency_hz", "phase"]
    try:
        columns = read_table(path, names)
        natural, effective, phases = (columns[name] for name in names)
        window = read_metadata(path).get(WINDOW_KEY.encode())
        window_s = None if window is None else float(window)
        if natural.dtype != np.float64 or phases.dtype != np.uint32:
            raise IntakeError("its columns have other types than a run writes")
    except Exception as error:  # PyArrow has many
        raise RecordError(
            f"{path} cannot be read ({describe(error)}); name the folder of a "
            "finished run."
        ) from error
    effective_hz = None if window_s is None else effective.astype(np.float64)
    return NodeTable(natural, effective_hz, phases, window_s)

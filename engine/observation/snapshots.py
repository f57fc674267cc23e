"""Snapshots of the phase field, one record batch each, in an Arrow IPC file.

A batch is in the file as soon as it is written, so a run that is cut off leaves a file
that lacks only its index; it is then read from the front, up to the last whole batch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.constants import SNAPSHOTS_FILE, TURN
from engine.crystal import CrystalLattice
from engine.disk import build_write_error, replace_whole
from engine.errors import RecordError, WriteError
from engine.geometry import Geometry
from engine.intake import IntakeError, describe, parse_json
from engine.observation.nodes import AXIS_NAMES

MAGIC_BYTES = 8
"""What an Arrow file holds before its first message [byte]."""
PHASE_UNITS = f"turn / {TURN}"


class SnapshotWriter:
    """Appends phase fields to a file; holds none of them."""

    def __init__(self, path: Path, lattice: CrystalLattice, kept: int = 0) -> None:
        """Open the file.

        Args:
            path: File to create.
            lattice: The oscillators.
            kept: Snapshots to keep of the file that is there; later ones are dropped.

        Raises:
            WriteError: The file cannot be written.
            RecordError: It holds fewer.
        """
        self._path = path
        self._schema = _build_schema(lattice)
        self._list_size = lattice.node_count
        self.count = 0
        """Snapshots so far [-]."""
        earlier = _keep_batches(path, kept)
        self._whole_bytes = 0
        try:
            # Beside the file that is read meanwhile, which it then replaces.
            with replace_whole(path) as draft:
                self._begin(draft, earlier)
            self._whole_bytes = self._file.tell()
        except OSError as error:
            raise self._fail(error) from error

    def _begin(self, path: Path, earlier: tuple[Any, ...]) -> None:
        import pyarrow as pa

        self._file = path.open("wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)
        for batch in earlier:
            self._writer.write_batch(batch)
            self.count += 1
        self._file.flush()

    def sync(self) -> None:
        """Wait until all snapshots so far are on the disk; harmless once closed.

        Raises:
            WriteError: The disk takes no more.
        """
        if self._file.closed:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._fail(error) from error

    def add(
        self,
        step: int,
        simulated_s: float,
        coherence: float,
        phases: npt.NDArray[np.uint32],
    ) -> None:
        """Append a snapshot; a reader sees it from then on.

        Args:
            step: Lattice steps so far.
            simulated_s: Simulated time [s].
            coherence: Order parameter r [-].
            phases: Binary angles, shape (nodes,).

        Raises:
            WriteError: The disk takes no more; the snapshots before stay whole.
        """
        import pyarrow as pa

        columns = [
            pa.array([step], pa.int64()),
            pa.array([simulated_s], pa.float64()),
            pa.array([coherence], pa.float64()),
            pa.FixedSizeListArray.from_arrays(pa.array(phases), self._list_size),
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        try:
            self._writer.write_batch(batch)
            self._file.flush()
        except OSError as error:
            raise self._fail(error) from error
        self._whole_bytes = self._file.tell()
        self.count += 1

    def close(self) -> None:
        """Write the index of the file; harmless to repeat.

        Raises:
            WriteError: The disk takes no more; the snapshots are whole, the index is
                missing.
        """
        if self._file.closed:
            return
        try:
            self._writer.close()
            self._file.close()
        except OSError as error:
            raise self._fail(error) from error

    def _fail(self, error: OSError) -> WriteError:
        """Close the file for good, cut off behind the last whole snapshot."""
        file = getattr(self, "_file", None)
        if file is not None:
            with suppress(OSError):
                file.close()
        if self._whole_bytes:
            with suppress(OSError):
                os.truncate(self._path, self._whole_bytes)
        return build_write_error(
            self._path, error, "set observe.snapshot_every_s=null in another run"
        )


def _keep_batches(path: Path, kept: int) -> tuple[Any, ...]:
    """Read the first snapshots of a file.

    Raises:
        RecordError: It holds fewer.
    """
    batches = open_snapshots(path).batches if kept else ()
    if len(batches) < kept:
        raise RecordError(
            f"{path} holds {len(batches)} snapshots, but the checkpoint counts {kept}; "
            "it was cut off or exchanged. Start the run again."
        )
    return batches[:kept]


def _build_schema(lattice: CrystalLattice) -> Any:
    """Lay the columns out, with all that a reader must know of the lattice."""
    import pyarrow as pa

    phases = pa.list_(pa.field("item", pa.uint32(), nullable=False), lattice.node_count)
    units = {"step": "1", "simulated_s": "s", "coherence": "1", "phase": PHASE_UNITS}
    kinds = (pa.int64(), pa.float64(), pa.float64(), phases)
    columns = [
        pa.field(name, kind, nullable=False, metadata={"units": unit})
        for (name, unit), kind in zip(units.items(), kinds, strict=True)
    ]
    metadata = describe_lattice(lattice.geometry, lattice.resonance_frequency)
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    return pa.schema(columns, metadata=texts)


def describe_lattice(geometry: Geometry, frame_hz: float) -> dict[str, Any]:
    """Return the metadata of a snapshot file, each entry stored as JSON.

    Args:
        geometry: The lattice.
        frame_hz: Frequency of the frame that phases are measured in [Hz].
    """
    return {
        "dims": list(AXIS_NAMES[: len(geometry.shape)]),
        "shape": list(geometry.shape),
        "periodic": list(geometry.periodic),
        "lattice": geometry.kind,
        "primitive_vectors": geometry.primitive_vectors.tolist(),
        "length_units": "nearest-neighbour distance",
        "phase_units": PHASE_UNITS,
        "turn": TURN,
        "frame_hz": frame_hz,
    }


@dataclass(frozen=True)
class Snapshots:
    """The phase fields of a run; each is read from the file when it is asked for."""

    kind: str
    """Bravais lattice name."""
    shape: tuple[int, ...]
    """Cells along each axis."""
    dims: tuple[str, ...]
    """Name of each axis: x runs along the first primitive vector."""
    periodic: tuple[bool, ...]
    """Whether each axis closes on itself."""
    primitive_vectors: npt.NDArray[np.float64]
    """Rows are primitive vectors [nearest-neighbour distance], shape (d, d)."""
    frame_hz: float
    """Frequency of the rotating frame [Hz]."""
    steps: npt.NDArray[np.int64]
    """Lattice steps before each snapshot, shape (snapshots,)."""
    times_s: npt.NDArray[np.float64]
    """Simulated time of each [s], shape (snapshots,)."""
    coherence: npt.NDArray[np.float64]
    """Order parameter r of each [-], shape (snapshots,)."""
    batches: tuple[Any, ...] = field(repr=False)
    """Arrow record batches, one per snapshot."""

    def __len__(self) -> int:
        """Return the number of snapshots."""
        return len(self.batches)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint32]:
        """Return a phase field as binary angles (2^32 = one turn), read-only.

        Args:
            index: Which snapshot; negative ones count from the end.

        Returns:
            Phases, uint32, shape `shape`.
        """
        phases = self.batches[index].column("phase").flatten()
        field: npt.NDArray[np.uint32] = phases.to_numpy().reshape(self.shape)
        return field

    def phases_rad(self, index: int) -> npt.NDArray[np.float64]:
        """Return a phase field [rad], in [0, 2 pi), shape `shape`."""
        return np.multiply(self[index], 2.0 * np.pi / TURN, dtype=np.float64)


def open_snapshots(path: str | Path) -> Snapshots:
    """Open the snapshots of a run, finished or not.

    Args:
        path: Run folder, or its `snapshots.arrow`.

    Returns:
        The snapshots; phase fields stay in the file until they are asked for.

    Raises:
        RecordError: There is no such file, or it holds no snapshots.
    """
    file = Path(path)
    file = file / SNAPSHOTS_FILE if file.is_dir() else file
    try:
        batches, metadata = _read_batches(file)
        about = {key.decode(): parse_json(text) for key, text in metadata.items()}
        columns = [
            np.array([batch.column(name)[0].as_py() for batch in batches])
            for name in ("step", "simulated_s", "coherence")
        ]
        steps, times_s, coherence = columns
        _check_shape(batches, about)
        return Snapshots(
            about["lattice"],
            tuple(about["shape"]),
            tuple(about["dims"]),
            tuple(about["periodic"]),
            np.array(about["primitive_vectors"]),
            about["frame_hz"],
            steps,
            times_s,
            coherence,
            batches,
        )
    except Exception as error:  # PyArrow has many
        raise RecordError(
            f"{file} cannot be read as snapshots ({describe(error)}); name the folder "
            "of a run with observe.snapshot_every_s set."
        ) from error


def _check_shape(batches: tuple[Any, ...], about: Mapping[str, Any]) -> None:
    """Check that every phase field has the shape that the file tells of."""
    axes = {len(about[key]) for key in ("shape", "dims", "periodic")}
    vectors = np.array(about["primitive_vectors"], dtype=np.float64)
    axes |= set(vectors.shape)
    nodes = math.prod(about["shape"])
    if len(axes) != 1 or not all(_is_field(batch, nodes) for batch in batches):
        raise IntakeError("its phase fields do not have the shape that it tells of")


def _is_field(batch: Any, nodes: int) -> bool:
    """Tell whether a batch holds one whole phase field, without reading it."""
    import pyarrow as pa

    batch.validate()
    column = batch.column("phase")
    is_list = pa.types.is_fixed_size_list(column.type)
    if not is_list or len(column) != 1 or column.null_count:
        return False
    phases = column.flatten()
    return len(phases) == nodes and phases.type == pa.uint32()


def _read_batches(file: Path) -> tuple[tuple[Any, ...], Mapping[bytes, bytes]]:
    """Map the file into memory and find its batches, index or not."""
    import pyarrow as pa

    source = pa.memory_map(str(file))
    try:
        reader = pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(MAGIC_BYTES)
        return _read_stream(pa.ipc.open_stream(source))
    count = reader.num_record_batches
    return tuple(map(reader.get_batch, range(count))), reader.schema.metadata


def _read_stream(reader: Any) -> tuple[tuple[Any, ...], Mapping[bytes, bytes]]:
    """Read batches up to the first that is not whole."""
    batches = []
    while True:
        try:
            batches.append(reader.read_next_batch())
        except (StopIteration, OSError, ValueError):
            return tuple(batches), reader.schema.metadata

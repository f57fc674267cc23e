"""The snapshots of a run as a Zarr store for xarray, or as plain NumPy arrays.

Dimensions are (time, z, y, x), as far as the lattice has them, in the order of the CF
conventions: x runs along the first primitive vector. Phases stay 32-bit binary angles;
`scale_factor` makes radians of them when xarray reads them. One snapshot is in memory
at a time.
"""

from __future__ import annotations

import json
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine import __version__
from engine.constants import TURN
from engine.errors import count_noun, unknown_choice
from engine.intake import read_json, take_mapping
from experiments import outcome
from experiments.observed.record import (
    ObservedRun,
    check_target,
    find_positions,
    open_observed,
    open_target,
)

LENGTH_UNITS: Final = "nearest-neighbour distance"
SOURCE: Final = "scribble-engine"
"""Says in every export what has written it; its version follows."""
STORE_FILE: Final = "zarr.json"
"""Describes a Zarr store, and every array in it."""
MAX_ABOUT_BYTES: Final = 2**20
"""More than an export says of itself."""
RADIANS_PER_UNIT: Final = 2.0 * np.pi / TURN


@dataclass(frozen=True)
class Variable:
    """An array with names for its axes."""

    name: str
    """Name in the export."""
    dims: tuple[str, ...]
    """Name of each axis."""
    values: npt.NDArray[Any]
    """The array."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Units and meaning, in the words of the CF conventions."""
    is_coordinate: bool = False
    """Whether it says where other values lie."""


def export_run(
    folder: Path,
    *,
    format_name: str = "zarr",
    target: Path | None = None,
    may_replace: bool = False,
) -> int:
    """Export what a run has observed.

    Args:
        folder: Run folder.
        format_name: A key of `WRITERS`.
        target: Where to write; beside the run folder by default.
        may_replace: Whether an earlier export may be replaced.

    Returns:
        Exit code.

    Raises:
        ConfigError: There is no such format.
        RecordError: The folder holds no snapshots, or the target cannot be written.
        MissingPackageError: The format needs a package that is not installed.
    """
    if format_name not in WRITERS:
        raise unknown_choice("--format", format_name, WRITERS)
    run = open_observed(folder)
    place = folder.resolve()
    target = target or place.with_name(f"{place.name}.{format_name}")
    check_target(target, may_replace=may_replace, is_own=is_export)
    with open_target(target) as part:
        WRITERS[format_name](run, part)
    count, shape = len(run.snapshots), "x".join(map(str, run.snapshots.shape))
    taken = count_noun(count, "snapshot")
    sys.stdout.write(f"export: {taken} of {shape} sites, {target}\n")
    return outcome.DONE


def is_export(path: Path) -> bool:
    """Tell whether an export, and nothing else, is in a place.

    Args:
        path: A file or folder that exists.
    """
    try:
        source = _read_source(path) if path.is_dir() else _find_source(path)
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile):
        return False
    return source.startswith(SOURCE)


def _read_source(store: Path) -> str:
    """Read what has written a Zarr store; nothing of a folder that holds more."""
    for entry in store.iterdir():
        if entry.name != STORE_FILE and not (entry / STORE_FILE).is_file():
            return ""
    about = take_mapping(read_json(store / STORE_FILE))
    return str(take_mapping(about["attributes"])["source"])


def _find_source(path: Path) -> str:
    """Look for the name of what has written a file of arrays."""
    if not path.is_file():
        return ""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("about.npy")
        is_plain = member.compress_type == zipfile.ZIP_STORED
        if not is_plain or member.file_size > MAX_ABOUT_BYTES:
            return ""
        text = archive.read("about.npy").decode("utf-32-le", "ignore")
    return SOURCE if SOURCE in text else ""


def list_variables(run: ObservedRun) -> Iterator[Variable]:
    """List everything but the phases.

    Args:
        run: What was observed.
    """
    snapshots = run.snapshots
    yield from _list_coordinates(run)
    about = {"long_name": "Kuramoto order parameter", "units": "1"}
    yield Variable("coherence", ("time",), snapshots.coherence, about)
    about = {"long_name": "lattice steps so far", "units": "1"}
    yield Variable("step", ("time",), snapshots.steps, about)
    if run.nodes is not None:
        yield from _list_frequencies(run)
    if run.locking is not None:
        about = {"long_name": "phase-locking value", "units": "1"}
        matrix = run.locking.matrix
        yield Variable("locking", ("probe", "other_probe"), matrix, about)


def _list_coordinates(run: ObservedRun) -> Iterator[Variable]:
    snapshots = run.snapshots
    about = {"long_name": "simulated time", "units": "s", "axis": "T"}
    yield Variable("time", ("time",), snapshots.times_s, about, True)
    for axis, (name, cells) in enumerate(
        zip(snapshots.dims, snapshots.shape, strict=True)
    ):
        text = f"site index along primitive vector {axis + 1}"
        about = {"long_name": text, "units": "1", "axis": name.upper()}
        yield Variable(name, (name,), np.arange(cells), about, True)
    vectors = snapshots.primitive_vectors
    if not np.array_equal(vectors, np.eye(len(vectors))):
        positions = find_positions(snapshots)
        for axis, name in enumerate(snapshots.dims):
            text = f"position of the site along Cartesian axis {name}"
            about = {"long_name": text, "units": LENGTH_UNITS}
            values = positions[..., axis].T
            yield Variable(
                f"position_{name}", snapshots.dims[::-1], values, about, True
            )
    if run.locking is not None:
        about = {"long_name": "node id, row-major with x slowest", "units": "1"}
        for name in ("probe", "other_probe"):
            yield Variable(name, (name,), run.locking.nodes, about, True)
        sites = np.unravel_index(run.locking.nodes, snapshots.shape)
        for name, site in zip(snapshots.dims, sites, strict=True):
            about = {"long_name": f"{name} of the probe", "units": "1"}
            yield Variable(f"probe_{name}", ("probe",), site, about, True)


def _list_frequencies(run: ObservedRun) -> Iterator[Variable]:
    assert run.nodes is not None
    dims = run.snapshots.dims[::-1]
    about: dict[str, Any] = {"long_name": "natural frequency", "units": "Hz"}
    natural = run.arrange(run.nodes.natural_frequencies_hz).T
    yield Variable("natural_frequency", dims, natural, about)
    if run.nodes.effective_frequencies_hz is not None:
        about = {"long_name": "effective frequency", "units": "Hz"}
        about["comment"] = "mean over the last part of the run"
        about["window_s"] = run.nodes.window_s
        effective = run.arrange(run.nodes.effective_frequencies_hz).T
        yield Variable("effective_frequency", dims, effective, about)


def describe_phases(run: ObservedRun) -> dict[str, Any]:
    """Return the attributes of the phases.

    Args:
        run: What was observed.
    """
    frame = f"{run.snapshots.frame_hz:g} Hz"
    return {
        "long_name": f"phase in the frame that rotates at {frame}",
        "units": "rad",
        "scale_factor": RADIANS_PER_UNIT,
        "add_offset": 0.0,
    }


def describe_run(run: ObservedRun) -> dict[str, Any]:
    """Return the attributes of a whole export.

    Args:
        run: What was observed.
    """
    snapshots = run.snapshots
    return {
        "Conventions": "CF-1.11",
        "title": f"Phases of coupled oscillators, run {run.folder.resolve().name}",
        "source": f"{SOURCE} {__version__}",
        "lattice": snapshots.kind,
        "periodic": json.dumps(snapshots.periodic),
        "primitive_vectors": json.dumps(snapshots.primitive_vectors.tolist()),
        "length_units": LENGTH_UNITS,
        "resonance_frequency_hz": snapshots.frame_hz,
    }


def _import_packages() -> tuple[Any, Any]:
    try:
        import xarray
        import zarr
    except ModuleNotFoundError as error:
        raise outcome.MissingPackageError(
            f"Zarr stores are written with xarray and zarr, and {error.name} is not "
            'installed; run: pip install "scribble-engine[export]", or use '
            "--format npz."
        ) from error
    return xarray, zarr


def write_zarr(run: ObservedRun, path: Path) -> None:
    """Write a Zarr store: xarray lays it out, phases follow one by one.

    Args:
        run: What was observed.
        path: Folder to make.

    Raises:
        MissingPackageError: xarray or zarr is not installed.
    """
    xarray, zarr = _import_packages()
    listed, snapshots = list(list_variables(run)), run.snapshots
    variables = {
        each.name: (each.dims, each.values, each.attributes) for each in listed
    }
    names = [each.name for each in listed if each.is_coordinate]
    dataset = xarray.Dataset(variables, attrs=describe_run(run)).set_coords(names)
    dataset.to_zarr(path, mode="w", consolidated=False)
    extents = snapshots.shape[::-1]
    phases = zarr.open_group(path, mode="r+").create_array(
        "phase",
        shape=(len(snapshots), *extents),
        chunks=(1, *extents),
        dtype="uint32",
        dimension_names=("time", *snapshots.dims[::-1]),
        attributes=describe_phases(run),
    )
    for index in range(len(snapshots)):
        phases[index] = snapshots[index].T
    with warnings.catch_warnings():
        # Not yet in the specification of Zarr 3, but without it xarray warns readers.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(path)


def write_npz(run: ObservedRun, path: Path) -> None:
    """Write NumPy arrays of the same names, snapshot by snapshot.

    Args:
        run: What was observed.
        path: File to write.
    """
    snapshots = run.snapshots
    about = {**describe_run(run), "phase": describe_phases(run)}
    arrays = {each.name: each.values for each in list_variables(run)}
    arrays["about"] = np.array(json.dumps(about))
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.asarray(values), allow_pickle=False)
        with archive.open("phase.npy", "w", force_zip64=True) as entry:
            shape = (len(snapshots), *snapshots.shape[::-1])
            header = {"descr": "<u4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(entry, header)
            for index in range(len(snapshots)):
                entry.write(snapshots[index].T.astype("<u4").tobytes())


WRITERS: Final[dict[str, Callable[[ObservedRun, Path], None]]] = {
    "zarr": write_zarr,
    "npz": write_npz,
}
"""What writes each format."""

"""Checkpoints: everything that a run needs to go on, in one file each.

    head    16 bytes: magic, format version, zero
    arrays  raw and little-endian, each at a multiple of 64 bytes
    index   JSON: configuration, plain values, and of each array its number type, shape,
            dimensions, unit, place and SHA-256
    tail    48 bytes: length of the index, SHA-256 of head and index, magic

Head and tail are the same in every version, so that a damaged file is told from a newer
one. Nothing is allocated before the sizes of the index are held against the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from engine.disk import DRAFT_SUFFIX, build_write_error, make_folder, replace_whole
from engine.errors import CheckpointError, DamagedCheckpointError
from engine.intake import describe, open_file, parse_finite_json
from engine.recording.parts import PART_NAME, build_read_error
from engine.state import State, StateArray

FORMAT_VERSION = 2
"""Of the index; a program reads all versions up to its own. Version 1 had no checksums
of the parts of tables."""
MAGIC, END_MAGIC = b"SCRIBBLE", b"ELBBIRCS"
HEAD, TAIL = struct.Struct("<8sII"), struct.Struct("<Q32s8s")
ALIGNMENT = 64
PIECE_BYTES = 2**22
"""Read at a time when a file is verified."""
NUMBER_TYPES = ("|i1", "<i8", "<u4", "<f4", "<f8")
"""Number types of arrays."""
MAX_DIMS = 8
"""Axes of an array."""
ARRAY_KEY = "$array"
"""Stands in the plain values for an array."""
CHECKPOINTS_FOLDER, SUFFIX = "checkpoints", ".ckpt"
NAME = re.compile(rf"[0-9]{{12}}{re.escape(SUFFIX)}")
"""What runs call a checkpoint; files with other names are not theirs."""


@dataclass(frozen=True)
class CheckpointCard:
    """What a checkpoint says of itself."""

    step: int
    """Lattice steps done [-]."""
    simulated_s: float
    """Simulated time done [s]."""
    version: str
    """Version of the program that wrote it."""
    backend: str
    """Back end that it was computed on."""
    config: Mapping[str, Any]
    """Configuration of the run, as nested plain values."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in a file; its arrays stay there until they are asked for."""

    path: Path
    """The file."""
    card: CheckpointCard
    """What it says of itself."""
    state: State | None
    """Of every part of the run by name; None at the start of a run, which follows
    from the configuration."""


def name_checkpoint(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies.

    Args:
        folder: Run folder.
        step: Lattice steps done.
    """
    return folder / CHECKPOINTS_FOLDER / f"{step:012d}{SUFFIX}"


def list_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints of a run folder, the newest first."""
    found = (folder / CHECKPOINTS_FOLDER).glob(f"*{SUFFIX}")
    return sorted(filter(_is_own, found), reverse=True)


def _is_own(path: Path) -> bool:
    """Tell whether a file is a checkpoint of a run, or a draft of one, by its name."""
    return NAME.fullmatch(path.name.removesuffix(DRAFT_SUFFIX)) is not None


def describe_resumption(folder: Path) -> tuple[str, ...]:
    """Say where a run can be gone on with, for the notes of its summary.

    Args:
        folder: Run folder.

    Returns:
        One sentence, or none where there is no checkpoint.
    """
    found = [int(path.stem) for path in list_checkpoints(folder)]
    return tuple(f"scribble resume goes on from step {step}" for step in found[:1])


def write_checkpoint(path: Path, card: CheckpointCard, state: State | None) -> None:
    """Write a checkpoint whole or not at all, and wait until it is on the disk.

    Args:
        path: File to make or replace.
        card: What it says of itself.
        state: Of every part of the run by name.

    Raises:
        WriteError: The disk takes no more; what was there before stays.
    """
    try:
        make_folder(path.parent)
        with replace_whole(path) as draft, draft.open("wb") as file:
            _write_file(file, card, state)
    except OSError as error:
        raise build_write_error(path, error) from error


def _write_file(file: IO[bytes], card: CheckpointCard, state: State | None) -> None:
    head = HEAD.pack(MAGIC, FORMAT_VERSION, 0)
    file.write(head)
    entries: list[dict[str, Any]] = []

    def store(value: Any) -> Any:
        if isinstance(value, StateArray):
            entries.append(_write_array(file, value))
            return {ARRAY_KEY: len(entries) - 1}
        if isinstance(value, Mapping):
            return {str(key): store(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [store(entry) for entry in value]
        return value.item() if isinstance(value, np.generic) else value

    plain = store(state)
    index = {"card": vars(card), "state": plain, "arrays": entries}
    text = json.dumps(index, allow_nan=False, separators=(",", ":")).encode()
    file.write(text)
    digest = hashlib.sha256(head + text).digest()
    file.write(TAIL.pack(len(text), digest, END_MAGIC))


def _write_array(file: IO[bytes], array: StateArray) -> dict[str, Any]:
    """Write an array; return its entry of the index."""
    file.write(bytes(-file.tell() % ALIGNMENT))
    offset, digest = file.tell(), hashlib.sha256()
    dtype = array.dtype.newbyteorder("<")
    for piece in array.read():
        data = np.ascontiguousarray(piece, dtype=dtype).ravel().view(np.uint8).data
        digest.update(data)
        file.write(data)
    return {
        "dtype": dtype.str,
        "shape": list(array.shape),
        "dims": list(array.dims),
        "units": array.units,
        "offset": offset,
        "sha256": digest.hexdigest(),
    }


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and verify all of it; its arrays are read when asked for.

    Args:
        path: The file.

    Raises:
        DamagedCheckpointError: It is cut off or altered.
        CheckpointError: A newer version of the program wrote it.
        RecordError: It cannot be read at present.
    """
    try:
        with open_file(path) as file:
            version, text, end = _read_index(file, path)
            if version > FORMAT_VERSION:
                raise CheckpointError(
                    f"{path} has the format version {version}; this program reads up "
                    f"to {FORMAT_VERSION}. Go on with the newer program that wrote it."
                )
            index = parse_finite_json(text)
            arrays = _check_entries(index["arrays"], end, path)
            for entry, array in zip(index["arrays"], arrays, strict=True):
                _verify(file, entry, array, path)
        card = _take_card(index["card"])
        state = _restore_arrays(index["state"], arrays)
    except CheckpointError:
        raise
    except OSError as error:
        raise build_read_error(path, error) from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DamagedCheckpointError(
            f"{path} cannot be read ({describe(error)})."
        ) from error
    return Checkpoint(path, card, state)


def _read_index(file: IO[bytes], path: Path) -> tuple[int, bytes, int]:
    """Return format version, text of the index and where the arrays end.

    The index is as long as the file at most; as objects it takes some thirtyfold, less
    than the content of any file may.
    """
    size = os.fstat(file.fileno()).st_size
    head = file.read(HEAD.size)
    if size < HEAD.size + TAIL.size or head[:8] != MAGIC:
        raise DamagedCheckpointError(f"{path} is no checkpoint, or was cut off.")
    file.seek(size - TAIL.size)
    length, digest, magic = TAIL.unpack(file.read(TAIL.size))
    end = size - TAIL.size - length
    if magic != END_MAGIC or end < HEAD.size:
        raise DamagedCheckpointError(f"{path} was cut off.")
    file.seek(end)
    text = file.read(length)
    if hashlib.sha256(head + text).digest() != digest:
        raise DamagedCheckpointError(f"{path} was altered: its index is damaged.")
    return HEAD.unpack(head)[1], text, end


def _take_card(values: Mapping[str, Any]) -> CheckpointCard:
    """Build a card of values that a file holds.

    Raises:
        ValueError: One is of another kind.
    """
    card = CheckpointCard(**values)
    kinds: dict[str, type | tuple[type, ...]] = {
        "step": int,
        "simulated_s": (int, float),
        "version": str,
        "backend": str,
        "config": dict,
    }
    if not all(isinstance(values[name], kind) for name, kind in kinds.items()):
        raise ValueError("it does not say what it is of")
    if not 0 <= card.step < 2**63:
        raise ValueError(f"it is of step {card.step}")
    return card


def _check_entries(entries: Any, end: int, path: Path) -> list[StateArray]:
    """Hold the arrays of an index against the file; nothing is read.

    Raises:
        DamagedCheckpointError: They are not what was written.
    """
    arrays = [_check_entry(entry, end, path) for entry in entries]
    if sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays) > end:
        raise DamagedCheckpointError(f"{path} was altered: its arrays overlap.")
    return arrays


def _check_entry(entry: Mapping[str, Any], end: int, path: Path) -> StateArray:
    """Hold an entry of the index against the file; nothing is read."""
    shape, offset = tuple(entry["shape"]), entry["offset"]
    sizes = (*shape, offset)
    if len(shape) > MAX_DIMS:
        raise DamagedCheckpointError(f"{path} was altered: an array has many axes.")
    if entry["dtype"] not in NUMBER_TYPES or not all(type(n) is int for n in sizes):
        raise DamagedCheckpointError(f"{path} was altered: an array is of no type.")
    dtype = np.dtype(entry["dtype"])
    count = math.prod(shape)
    if min(sizes) < 0 or offset + count * dtype.itemsize > end:
        raise DamagedCheckpointError(f"{path} was altered: an array leaves the file.")
    read = partial(_read_values, path, offset, count * dtype.itemsize, dtype)
    return StateArray(dtype, shape, tuple(entry["dims"]), entry["units"], read)


def _verify(
    file: IO[bytes], entry: Mapping[str, Any], array: StateArray, path: Path
) -> None:
    digest = hashlib.sha256()
    file.seek(entry["offset"])
    left = math.prod(array.shape) * array.dtype.itemsize
    while left:
        piece = file.read(min(left, PIECE_BYTES))
        if not piece:
            raise DamagedCheckpointError(f"{path} was cut off.")
        digest.update(piece)
        left -= len(piece)
    if digest.hexdigest() != entry["sha256"]:
        raise DamagedCheckpointError(f"{path} was altered: an array is damaged.")


def _read_values(
    path: Path, offset: int, size_bytes: int, dtype: np.dtype[Any]
) -> Iterator[npt.NDArray[Any]]:
    """Read an array in pieces."""
    with path.open("rb") as file:
        file.seek(offset)
        for low in range(0, size_bytes, PIECE_BYTES):
            piece = file.read(min(PIECE_BYTES, size_bytes - low))
            native = dtype.newbyteorder("=")
            yield np.frombuffer(piece, dtype).astype(native, copy=False)


def _restore_arrays(value: Any, arrays: list[StateArray]) -> Any:
    """Put arrays back where they were among the plain values."""
    if isinstance(value, list):
        return [_restore_arrays(entry, arrays) for entry in value]
    if not isinstance(value, dict):
        return value
    if ARRAY_KEY in value:
        return arrays[value[ARRAY_KEY]]
    return {key: _restore_arrays(entry, arrays) for key, entry in value.items()}


def prune_checkpoints(folder: Path, kept: int) -> list[int]:
    """Remove all but the newest checkpoints; that of the start stays.

    Args:
        folder: Run folder.
        kept: How many stay, >= 1.

    Returns:
        Steps of those that stay.

    Raises:
        WriteError: The folder has become read-only.
    """
    start = name_checkpoint(folder, 0)
    found = list_checkpoints(folder)
    for path in found[kept:]:
        if path != start:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise build_write_error(path, error) from error
    stay = {*found[:kept], start} & set(found)
    return [int(path.stem) for path in stay]


def remove_drafts(folder: Path) -> None:
    """Remove the checkpoints that a killed run had not written to their end.

    Args:
        folder: Run folder.

    Raises:
        OSError: The folder has become read-only.
    """
    inside = folder / CHECKPOINTS_FOLDER
    for path in filter(_is_own, inside.glob(f"*{SUFFIX}{DRAFT_SUFFIX}")):
        path.unlink(missing_ok=True)


def remove_checkpoints(folder: Path, last_step: int | None = None) -> None:
    """Remove the folder of checkpoints with all that a run has put there.

    Args:
        folder: Run folder.
        last_step: Later checkpoints stay; none does by default.
    """
    inside = folder / CHECKPOINTS_FOLDER
    if inside.is_symlink():  # what it leads to is not the run's
        inside.unlink()
    if not inside.is_dir():
        return
    later = [
        path
        for path in list_checkpoints(folder)
        if last_step is not None and int(path.stem) > last_step
    ]
    for path in list_inside(folder):
        if path not in later:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # something else lies there
        inside.rmdir()


def list_inside(folder: Path) -> list[Path]:
    """List what runs put into the folder of checkpoints.

    Args:
        folder: Run folder.
    """
    inside = folder / CHECKPOINTS_FOLDER
    patterns = (f"*{SUFFIX}", f"*{SUFFIX}{DRAFT_SUFFIX}")
    found = [path for pattern in patterns for path in inside.glob(pattern)]
    found = list(filter(_is_own, found))
    tables = inside.glob("*.parquet")
    parts = [path for path in tables if PART_NAME.fullmatch(path.name)]
    return found + parts

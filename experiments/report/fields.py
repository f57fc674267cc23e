"""Pictures of the phase field, from the snapshots that a run has taken."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.constants import SNAPSHOTS_FILE
from engine.errors import RecordError
from engine.observation import Snapshots, open_snapshots
from experiments.observed.fields import average_phases, take_plane
from experiments.report.document import Picture
from experiments.report.records import describe_damage

PICTURES: Final = 6
"""Snapshots shown at most, evenly spaced, the first and the last among them."""
MOST_CELLS: Final = 192
"""Pixels along an axis at most."""
PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"


def build_pictures(folder: Path, problems: list[str]) -> tuple[Picture, ...]:
    """Draw the snapshots of a run; nothing where there are none.

    Args:
        folder: A run folder.
        problems: Takes a sentence where the snapshots cannot be read.
    """
    if not (folder / SNAPSHOTS_FILE).exists():
        return ()
    try:
        snapshots = open_snapshots(folder)
        if not len(snapshots):
            return ()
        if len(snapshots.shape) == 1:
            return (_draw_space_time(snapshots),)
        count = min(PICTURES, len(snapshots))
        chosen = np.unique(
            np.linspace(0, len(snapshots) - 1, count).round().astype(int)
        )
        return tuple(_draw_field(snapshots, int(index)) for index in chosen)
    except (RecordError, ModuleNotFoundError) as error:
        problems.append(describe_damage(folder / SNAPSHOTS_FILE, error))
        return ()


def _draw_field(snapshots: Snapshots, index: int) -> Picture:
    """Draw one phase field, x across and y upwards; of three axes the middle slab."""
    phases = average_phases(take_plane(snapshots[index]), MOST_CELLS)
    time_s, r = float(snapshots.times_s[index]), float(snapshots.coherence[index])
    slab = f", z = {snapshots.shape[2] // 2}" if len(snapshots.shape) == 3 else ""
    title = f"t = {time_s:.4g} s, r = {r:.3f}{slab}"
    alt = f"Phases of the sites by index at {time_s:.4g} s, coherence {r:.3f}"
    return Picture(title, "image/png", colour_phases(phases.T[::-1]), alt, True)


def _draw_space_time(snapshots: Snapshots) -> Picture:
    """Draw the phases of a chain, time across and sites upwards."""
    last = len(snapshots) - 1
    kept = np.unique(np.linspace(0, last, min(last + 1, 512)).round().astype(int))
    rows = [average_phases(snapshots[int(index)], MOST_CELLS) for index in kept]
    first_s, last_s = float(snapshots.times_s[0]), float(snapshots.times_s[-1])
    title = f"time across, {first_s:.4g} to {last_s:.4g} s; sites upwards"
    alt = f"Phases of the chain's sites from {first_s:.4g} to {last_s:.4g} s"
    data = colour_phases(np.stack(rows, axis=1)[::-1])
    return Picture(title, "image/png", data, alt, is_pixelated=True, is_wide=True)


def colour_phases(phases: npt.NDArray[np.float64]) -> bytes:
    """Colour phases by a cyclic map of even lightness, as a PNG with a palette.

    Args:
        phases: Phases [rad], shape (rows, columns), the first row on top.

    Returns:
        The file.
    """
    from matplotlib import colormaps

    turn = 2.0 * np.pi
    levels = np.floor(phases % turn * (256 / turn)).clip(0, 255).astype(np.uint8)
    palette = (colormaps["twilight"](np.arange(256) / 256.0)[:, :3] * 255).round()
    return encode_png(levels, palette.astype(np.uint8))


def encode_png(levels: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> bytes:
    """Write an image of palette colours as PNG.

    Args:
        levels: Index of each pixel's colour, shape (rows, columns).
        palette: Red, green and blue, shape (256, 3).

    Returns:
        The file.
    """
    rows, columns = levels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    lines = np.pad(levels, ((0, 0), (1, 0))).tobytes()  # a filter byte before each row
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    return PNG_MAGIC + b"".join(_encode_chunk(*chunk) for chunk in chunks)


def _encode_chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

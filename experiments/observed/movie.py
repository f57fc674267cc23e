"""The phase field in motion: GIF by Pillow, MP4 where there is ffmpeg."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.constants import TURN
from engine.observation import Snapshots
from experiments import outcome, pictures
from experiments.observed.fields import (
    PHASE_COLOURS,
    PHASE_TICKS,
    add_phase_bar,
    average_phases,
    describe_moment,
    draw_plane,
    phase_options,
    take_plane,
)
from experiments.observed.record import MARK, ObservedRun

FRAMES_PER_SECOND: Final = 8
DOTS_PER_INCH: Final = 110
INCHES: Final = (5.4, 4.6)
MOST_DOTS: Final = 4096
"""Sites of a chain that are drawn as dots; of more, evenly spaced ones are."""

Redraw = Callable[[int], None]


def write_movie(
    run: ObservedRun, path: Path, *, theme: str = "light", every: int = 1
) -> int:
    """Draw every n-th snapshot and save the sequence.

    Args:
        run: What was observed.
        path: File to write; its ending tells the format.
        theme: A key of `pictures.THEMES`.
        every: Take every n-th snapshot.

    Returns:
        Number of frames.

    Raises:
        MissingPackageError: MP4 is asked for and there is no ffmpeg.
    """
    from matplotlib.animation import FFMpegWriter, PillowWriter

    if path.suffix == ".mp4" and not FFMpegWriter.isAvailable():
        raise outcome.MissingPackageError(
            "MP4 is written by ffmpeg, which is not on the PATH; install it, or name "
            "a .gif with --to."
        )
    kind = FFMpegWriter if path.suffix == ".mp4" else PillowWriter
    writer: Any = kind(fps=FRAMES_PER_SECOND, metadata={"comment": MARK})
    snapshots = run.snapshots
    frames = range(0, len(snapshots), every)
    with pictures.open_figure(theme, inches=INCHES) as (figure, colours):
        is_chain = len(snapshots.shape) == 1
        draw = _draw_dots if is_chain else _draw_plane
        redraw = draw(figure, snapshots, colours)
        with writer.saving(figure, path, DOTS_PER_INCH):
            for index in frames:
                redraw(index)
                writer.grab_frame()
                if kind is PillowWriter:  # which passes no metadata on
                    writer._frames[0].info["comment"] = MARK
                # What constrained layout has found must not wander with the title.
                figure.set_layout_engine("none")
    return len(frames)


def _draw_plane(figure: Any, snapshots: Snapshots, colours: dict[str, str]) -> Redraw:
    """Draw the first phase field, or its middle slab."""
    axes = figure.subplots()

    def find_values(index: int) -> Any:
        return average_phases(take_plane(snapshots[index]))

    mesh = draw_plane(axes, find_values(0), snapshots, **phase_options())
    add_phase_bar(figure, mesh, axes)
    level = f",  z = {snapshots.shape[2] // 2}" if len(snapshots.shape) == 3 else ""

    def redraw(index: int) -> None:
        mesh.set_array(find_values(index))
        axes.set_title(describe_moment(snapshots, index) + level)

    return redraw


def _draw_dots(figure: Any, snapshots: Snapshots, colours: dict[str, str]) -> Redraw:
    """Draw the phases of a chain as dots over their sites."""
    axes = figure.subplots()
    sites = np.arange(0, snapshots.shape[0], -(-snapshots.shape[0] // MOST_DOTS))

    def find_values(index: int) -> Any:
        return snapshots[index][sites] * (2.0 * np.pi / TURN)

    dots = axes.scatter(
        sites, find_values(0), s=6, c=find_values(0), cmap=PHASE_COLOURS, vmin=0.0,
        vmax=2.0 * np.pi, edgecolors=colours["faint"], linewidths=0.2,
    )  # fmt: skip
    axes.set_ylim(0.0, 2.0 * np.pi)
    axes.set_yticks(np.linspace(0.0, 2.0 * np.pi, 5), labels=PHASE_TICKS)
    axes.set_xlabel("site")
    axes.set_ylabel("phase [rad]")

    def redraw(index: int) -> None:
        values = find_values(index)
        dots.set_offsets(np.column_stack((sites, values)))
        dots.set_array(values)
        axes.set_title(describe_moment(snapshots, index))

    return redraw

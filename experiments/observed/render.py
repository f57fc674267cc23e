"""What a run has observed as a picture or an animation: `scribble render`."""

from __future__ import annotations

import sys
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from engine.errors import ConfigError, count_noun, unknown_choice
from experiments import outcome, pictures
from experiments.observed.record import MARK, check_target, open_observed, open_target

STILLS: Final = (".png", ".svg", ".pdf")
"""Endings of pictures; the first is the default."""
MOVIES: Final = (".gif", ".mp4")
"""Endings of animations; the first is the default."""


SIGNATURES: Final = (b"\x89PNG", b"<?xml", b"%PDF", b"GIF8", b"ftyp")
"""What pictures and animations begin with, MP4 after the size of its first box."""


def is_rendered(path: Path) -> bool:
    """Tell whether `scribble render` has drawn a picture or an animation.

    Args:
        path: A file or folder that exists.
    """
    try:
        if not path.is_file() or not path.stat().st_size:
            return False
        with (
            path.open("rb") as file,
            mmap(file.fileno(), 0, access=ACCESS_READ) as data,
        ):
            begins_so = any(data[:12].find(sign) in (0, 4) for sign in SIGNATURES)
            return begins_so and data.find(MARK.encode()) >= 0
    except OSError:
        return False


def render_run(
    folder: Path,
    *,
    target: Path | None = None,
    every: int = 1,
    theme: str = "light",
    is_animated: bool = False,
    may_replace: bool = False,
) -> int:
    """Draw what a run has observed.

    Args:
        folder: Run folder.
        target: File to write, its ending tells the format; beside the run folder by
            default.
        every: Take every n-th snapshot, >= 1.
        theme: A key of `pictures.THEMES`.
        is_animated: An animation of the phase field instead of a picture; so does a
            target that ends like one.
        may_replace: Whether an earlier file may be replaced.

    Returns:
        Exit code.

    Raises:
        ConfigError: The theme, the ending or `every` is not allowed.
        RecordError: The folder holds no snapshots, or the target cannot be written.
        MissingPackageError: Matplotlib, or ffmpeg for MP4, is not installed.
    """
    if theme not in pictures.THEMES:
        raise unknown_choice("--theme", theme, pictures.THEMES)
    if every < 1:
        raise ConfigError(f"--every is {every}; it must be at least 1.")
    place = folder.resolve()
    is_animated |= target is not None and target.suffix in MOVIES
    endings = MOVIES if is_animated else STILLS
    target = target or place.with_name(f"{place.name}-{theme}{endings[0]}")
    if target.suffix not in endings:
        raise unknown_choice(f"the ending of {target}", target.suffix, endings)
    run = open_observed(folder)
    check_target(target, may_replace=may_replace, is_own=is_rendered)
    pictures.require_matplotlib()
    from experiments.observed.movie import write_movie
    from experiments.observed.picture import write_picture

    with open_target(target) as part:
        if is_animated:
            count = write_movie(run, part, theme=theme, every=every)
            words = count_noun(count, "frame")
        else:
            write_picture(run, part, theme=theme, every=every)
            words = f"t = {run.snapshots.times_s[-1]:.4g} s"
    sys.stdout.write(f"render: {words}, {target}\n")
    return outcome.DONE

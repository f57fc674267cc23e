"""Pictures of studies: one style, a light and a dark theme, SVG files.

Matplotlib (extra `report`) is imported when a picture is drawn, never with this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments import outcome

THEMES = {
    "light": {
        "ink": "#1f2328",
        "faint": "#8c959f",
        "accent": "#0969da",
        "hot": "#bc4c00",
        "leaf": "#1a7f37",
    },
    "dark": {
        "ink": "#e6edf3",
        "faint": "#7d8590",
        "accent": "#58a6ff",
        "hot": "#ffa657",
        "leaf": "#56d364",
    },
}
"""Colours by theme and part."""


def require_matplotlib() -> None:
    """Make sure that the picture can be drawn.

    Raises:
        MissingPackageError: Matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401 - the import is the check
    except ModuleNotFoundError as error:
        raise outcome.MissingPackageError(
            "The study draws its picture with Matplotlib, which is not installed; "
            'run: pip install "scribble-engine[report]".'
        ) from error


def _build_style(colours: dict[str, str]) -> dict[Any, Any]:
    return {
        "axes.edgecolor": colours["faint"],
        "axes.labelcolor": colours["ink"],
        "axes.titlecolor": colours["ink"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": colours["ink"],
        "xtick.color": colours["ink"],
        "ytick.color": colours["ink"],
        "legend.frameon": False,
        "font.size": 10,
        "svg.hashsalt": "scribble",
    }


@contextmanager
def open_picture(
    path: Path, theme: str, *, grid: tuple[int, int], inches: tuple[float, float]
) -> Iterator[tuple[Any, dict[str, str]]]:
    """Open a figure; save it as SVG on a transparent ground when the block ends.

    Args:
        path: SVG file to write.
        theme: A key of `THEMES`.
        grid: Rows and columns of axes.
        inches: Width and height [inch].

    Yields:
        The axes as `matplotlib.pyplot.subplots` gives them, and the theme's colours.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    colours = THEMES[theme]
    with plt.rc_context(_build_style(colours)):
        figure, axes = plt.subplots(*grid, figsize=inches)
        try:
            yield axes, colours
            figure.tight_layout()
            figure.savefig(path, transparent=True, metadata={"Date": None})
        finally:
            plt.close(figure)

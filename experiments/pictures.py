"""Pictures of studies and runs: one style, a light and a dark theme.

Matplotlib (extra `report`) is imported when a picture is drawn, never with this module.
"""

from __future__ import annotations

import warnings
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
        "violet": "#8250df",
        "rose": "#bf3989",
        "sand": "#9a6700",
        "teal": "#0a7c86",
    },
    "dark": {
        "ink": "#e6edf3",
        "faint": "#7d8590",
        "accent": "#58a6ff",
        "hot": "#ffa657",
        "leaf": "#56d364",
        "violet": "#bc8cff",
        "rose": "#f778ba",
        "sand": "#e3b341",
        "teal": "#39c5cf",
    },
}
"""Colours by theme and part; series have those of `report/assets/report.css`."""
GROUNDS = {"light": "#ffffff", "dark": "#0d1117"}
"""Ground of pictures that are not transparent, by theme."""
MARGIN_INCHES = 0.12
"""Air around each panel of a figure [inch]."""


def require_matplotlib() -> None:
    """Make sure that the picture can be drawn.

    Raises:
        MissingPackageError: Matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401 - the import is the check
    except ModuleNotFoundError as error:
        raise outcome.MissingPackageError(
            "Pictures are drawn with Matplotlib, which is not installed; "
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
            with warnings.catch_warnings():
                # Of labels longer than the picture and of letters that no font has.
                warnings.simplefilter("ignore", UserWarning)
                figure.tight_layout()
                figure.savefig(path, transparent=True, metadata={"Date": None})
        finally:
            plt.close(figure)


@contextmanager
def open_figure(
    theme: str, *, inches: tuple[float, float]
) -> Iterator[tuple[Any, dict[str, str]]]:
    """Open an empty figure on the theme's own ground; saving it is up to the caller.

    Args:
        theme: A key of `THEMES`.
        inches: Width and height [inch].

    Yields:
        The figure, which arranges its axes by itself, and the theme's colours.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    colours, ground = THEMES[theme], GROUNDS[theme]
    places = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    style = {**_build_style(colours), **dict.fromkeys(places, ground)}
    with plt.rc_context(style):
        engine = ConstrainedLayoutEngine(w_pad=MARGIN_INCHES, h_pad=MARGIN_INCHES)
        figure = plt.figure(figsize=inches, layout=engine)
        try:
            yield figure, colours
        finally:
            plt.close(figure)

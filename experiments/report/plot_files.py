"""The plots of a report as SVG files, for papers and slides."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from engine.disk import build_write_error
from experiments import pictures
from experiments.printable import to_printable
from experiments.report.document import Axis, Document, HeatMap, Plot, Series

INCHES: Final = (6.4, 4.0)
"""Width and height of a picture [inch]."""
PARTS: Final = (
    *("accent", "hot", "leaf", "violet"),
    *("rose", "sand", "faint", "teal"),
)
"""Colours of a theme in the order in which series take them."""
LEGEND_ENTRIES: Final = 12
"""Series named in a legend at most."""
SLUG_LENGTH: Final = 40
"""Characters of a title in a file's name at most."""
BAND_SHADES: Final = (0.12, 0.24, 0.36)
"""Opacities of bands of different labels, in turn [-]."""


def draw_plots(document: Document, page: Path) -> list[Path]:
    """Draw every plot of a report, light and dark.

    Args:
        document: The report.
        page: Its HTML file; pictures lie beside it and begin with its stem.

    Returns:
        The files.

    Raises:
        WriteError: A file cannot be written.
    """
    paths = []
    for number, plot in enumerate(document.plots, start=1):
        for theme in pictures.THEMES:
            name = f"{page.stem}-{number}-{_to_slug(plot.title)}-{theme}.svg"
            paths.append(page.with_name(name))
            try:
                _draw_plot(plot, theme, paths[-1])
            except OSError as error:
                with suppress(OSError):
                    paths[-1].unlink(missing_ok=True)
                raise build_write_error(paths[-1], error) from error
    return paths


def _to_slug(title: str) -> str:
    """Make a title a part of a file's name, of whole words."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    if len(slug) > SLUG_LENGTH:
        slug = slug[: SLUG_LENGTH + 1].rpartition("-")[0] or slug[:SLUG_LENGTH]
    return slug or "plot"


def _draw_plot(plot: Plot | HeatMap, theme: str, path: Path) -> None:
    import matplotlib

    opened = pictures.open_picture(path, theme, grid=(1, 1), inches=INCHES)
    # Labels are what somebody wrote, not formulas: a dollar sign is a dollar sign.
    as_they_are = matplotlib.rc_context({"text.parse_math": False})
    with as_they_are, opened as (axes, colours):
        axes.set_title(to_printable(plot.title))
        axes.set_xlabel(to_printable(plot.x.label))
        axes.set_ylabel(to_printable(plot.y.label))
        if isinstance(plot, HeatMap):
            _draw_heat_map(axes, plot)
        else:
            _draw_series(axes, plot, colours)


def _draw_series(axes: Any, plot: Plot, colours: dict[str, str]) -> None:
    places = _list_categories(plot) if plot.x.scale == "category" else None
    for series, part in zip(plot.series, cycle(PARTS), strict=False):
        _draw_one(axes, series, places, colours[part])
    _draw_bands(axes, plot, colours)
    for rule in plot.rules:
        axes.axhline(rule.y, color=colours["faint"], linewidth=1, linestyle="--")
        axes.annotate(
            to_printable(rule.label), (1, rule.y),
            xycoords=("axes fraction", "data"), ha="right", va="bottom",
            color=colours["faint"], fontsize=8,
        )  # fmt: skip
    _set_scale(axes.set_xscale, axes.xaxis, plot.x)
    _set_scale(axes.set_yscale, axes.yaxis, plot.y)
    if places is not None:
        axes.set_xticks(range(len(places)), labels=_list_labels(places))
    if 1 < len(plot.series) <= LEGEND_ENTRIES:
        axes.legend(fontsize=8)


def _list_categories(plot: Plot) -> dict[str, int]:
    names = dict.fromkeys(str(x) for series in plot.series for x in series.x)
    return {name: index for index, name in enumerate(names)}


def _draw_one(
    axes: Any, series: Series, places: dict[str, int] | None, colour: str
) -> None:
    x = [places[str(x)] for x in series.x] if places is not None else list(series.x)
    y = [float("nan") if value is None else value for value in series.y]
    options = {"label": to_printable(series.name), "color": colour}
    if series.style == "dots":
        axes.plot(x, y, "o", markersize=4, **options)
    elif series.style == "step":
        axes.step(x, y, where="post", linewidth=1.2, **options)
    else:
        marker = "o" if len(x) < 40 else ""
        axes.plot(x, y, marker=marker, markersize=3, linewidth=1.2, **options)


def _draw_bands(axes: Any, plot: Plot, colours: dict[str, str]) -> None:
    labels = dict.fromkeys(band.label for band in plot.bands)
    shades = dict(zip(labels, cycle(BAND_SHADES), strict=False))
    for label, shade in shades.items():
        for index, band in enumerate(b for b in plot.bands if b.label == label):
            axes.axvspan(
                band.start, band.end, color=colours["faint"], alpha=shade,
                linewidth=0, label=None if index else to_printable(label),
            )  # fmt: skip


def _set_scale(set_scale: Any, drawn: Any, axis: Axis) -> None:
    """Make an axis logarithmic if it is to be, with plain numbers at its ticks."""
    from matplotlib.ticker import LogFormatter

    if axis.scale == "log":
        set_scale("log")
        drawn.set_major_formatter(LogFormatter())
        drawn.set_minor_formatter(LogFormatter(labelOnlyBase=False))


def _draw_heat_map(axes: Any, plot: HeatMap) -> None:
    values = [
        [float("nan") if value is None else value for value in row]
        for row in plot.values
    ]
    image = axes.imshow(values, aspect="auto", origin="lower", cmap="viridis")
    axes.set_xticks(range(len(plot.x_values)), labels=_list_labels(plot.x_values))
    axes.set_yticks(range(len(plot.y_values)), labels=_list_labels(plot.y_values))
    axes.figure.colorbar(image, label=to_printable(plot.value_label))


def _list_labels(values: Iterable[object]) -> list[str]:
    return [to_printable(str(value)) for value in values]

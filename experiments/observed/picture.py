"""The picture of an observed run: phase field, frequencies and phase locking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.observation import Cluster, find_cluster
from experiments import pictures
from experiments.observed.fields import (
    F64Array,
    add_bar,
    add_phase_bar,
    average_phases,
    average_values,
    describe_moment,
    draw_plane,
    phase_options,
    take_plane,
)
from experiments.observed.record import MARK, ObservedRun

PANEL_INCHES: Final = (4.6, 3.9)
"""Width and height of a panel [inch]."""
DOTS_PER_INCH: Final = 150
DEVIATION_COLOURS: Final = "PuOr"
"""Diverging, for readers of any colour vision."""
LOCKING_COLOURS: Final = "cividis"
SHOWN_SHARE: Final = 0.98
"""Share of the nodes whose frequency the colours of the map tell apart [-]."""
BINS: Final = 81
SLABS: Final = 4

Colours = dict[str, str]
Panel = Callable[[Any, ObservedRun, Colours], None]


def write_picture(
    run: ObservedRun, path: Path, *, theme: str = "light", every: int = 1
) -> None:
    """Draw what was observed and save it.

    Args:
        run: What was observed.
        path: File to write; its ending tells the format.
        theme: A key of `pictures.THEMES`.
        every: Take every n-th snapshot of a space-time diagram.
    """
    rows = arrange_panels(run, every)
    columns = max(map(len, rows))
    inches = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * len(rows))
    metadata: dict[str, str | None] = {"Creator": MARK}
    if path.suffix == ".svg":  # the same picture is to be the same file
        metadata["Date"] = None
    with pictures.open_figure(theme, inches=inches) as (figure, colours):
        for strip, row in zip(_split(figure, len(rows), 1), rows, strict=True):
            for place, panel in zip(_split(strip, 1, len(row)), row, strict=True):
                panel(place, run, colours)
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata=metadata)


def _split(figure: Any, rows: int, columns: int) -> list[Any]:
    return list(np.ravel(figure.subfigures(rows, columns, squeeze=False)))


def arrange_panels(run: ObservedRun, every: int = 1) -> list[list[Panel]]:
    """Choose the panels for what there is, row by row.

    Args:
        run: What was observed.
        every: Take every n-th snapshot of a space-time diagram.
    """
    axes = len(run.snapshots.shape)
    more: list[Panel] = []
    if run.nodes is not None and run.nodes.effective_frequencies_hz is not None:
        more += [draw_site_frequencies if axes == 1 else draw_frequency_map]
        more += [draw_histogram]
    if run.locking is not None:
        more += [draw_locking]
    if axes == 1:

        def draw(place: Any, run: ObservedRun, colours: Colours) -> None:
            draw_space_time(place, run, colours, every=every)

        return [[draw], more] if more else [[draw]]
    panels = [draw_field, *([draw_slabs] if axes == 3 else []), *more]
    if len(panels) < 4:
        return [panels]
    half = (len(panels) + 1) // 2
    return [panels[:half], panels[half:]]


def draw_field(place: Any, run: ObservedRun, colours: Colours) -> None:
    """Draw the last phase field, or its middle slab."""
    snapshots, axes = run.snapshots, place.subplots()
    values = average_phases(take_plane(snapshots[-1]))
    mesh = draw_plane(axes, values, snapshots, **phase_options())
    add_phase_bar(place, mesh, axes)
    level = f",  z = {snapshots.shape[2] // 2}" if len(snapshots.shape) == 3 else ""
    axes.set_title(describe_moment(snapshots, -1) + level)


def draw_slabs(place: Any, run: ObservedRun, colours: Colours) -> None:
    """Draw slabs of the last phase field, evenly spaced along z."""
    snapshots = run.snapshots
    grid = place.subplots(2, 2)
    step = snapshots.shape[2] / SLABS
    for index, axes in enumerate(np.ravel(grid)):
        level = int(index * step)
        values = average_phases(take_plane(snapshots[-1], level))
        draw_plane(axes, values, snapshots, **phase_options())
        axes.set_title(f"z = {level}", fontsize="medium")
        axes.set_axis_off()


def draw_space_time(
    place: Any, run: ObservedRun, colours: Colours, *, every: int = 1
) -> None:
    """Draw the phases of a chain over time."""
    snapshots, axes = run.snapshots, place.subplots()
    chosen = range(0, len(snapshots), every)
    values = np.stack([average_phases(snapshots[index]) for index in chosen])
    times_s = snapshots.times_s[list(chosen)]
    middles = 0.5 * (times_s[1:] + times_s[:-1])
    last_s = times_s[-1] + (times_s[-1] - middles[-1] if middles.size else 1.0)
    bounds = np.array([times_s[0], *middles, last_s])
    sites = np.linspace(0.0, snapshots.shape[0], values.shape[1] + 1) - 0.5
    mesh = axes.pcolormesh(bounds, sites, values.T, rasterized=True, **phase_options())
    add_phase_bar(place, mesh, axes, width=0.012)
    axes.set_xlabel("simulated time [s]")
    axes.set_ylabel("site")
    axes.set_title(describe_moment(snapshots, -1))


def _read_frequencies(run: ObservedRun) -> tuple[F64Array, F64Array, Cluster]:
    """Return natural and effective frequencies, and the cluster among the latter."""
    nodes = run.nodes
    assert nodes is not None
    effective_hz, window_s = nodes.effective_frequencies_hz, nodes.window_s
    assert effective_hz is not None
    assert window_s is not None
    cluster = find_cluster(effective_hz, window_s)
    return nodes.natural_frequencies_hz, effective_hz, cluster


def find_limit(deviations_hz: F64Array, cluster: Cluster) -> float:
    """Return the deviation at which colours end [Hz].

    Args:
        deviations_hz: Distances from the cluster's frequency [Hz].
        cluster: Nodes nearer to each other than its width count as one.
    """
    seen = float(np.quantile(np.abs(deviations_hz), SHOWN_SHARE))
    return max(seen, cluster.width_hz)


def draw_frequency_map(place: Any, run: ObservedRun, colours: Colours) -> None:
    """Draw how far each node's frequency is from the cluster's."""
    _, effective, cluster = _read_frequencies(run)
    deviations = effective - cluster.frequency_hz
    limit, axes = find_limit(deviations, cluster), place.subplots()
    values = average_values(take_plane(run.arrange(deviations)))
    mesh = draw_plane(
        axes, values, run.snapshots, cmap=DEVIATION_COLOURS, vmin=-limit, vmax=limit
    )
    bar = add_bar(place, mesh, axes, extend="both")
    bar.set_label(f"away from {cluster.frequency_hz:.2f} Hz [Hz]")
    axes.set_title("effective frequency")


def draw_site_frequencies(place: Any, run: ObservedRun, colours: Colours) -> None:
    """Draw the frequencies of a chain, site by site."""
    natural, effective, _ = _read_frequencies(run)
    axes, sites = place.subplots(), np.arange(natural.size)
    style = {"linestyle": "", "marker": ".", "rasterized": True}
    axes.plot(sites, natural, color=colours["faint"], ms=2, label="natural", **style)
    axes.plot(sites, effective, color=colours["hot"], ms=3, label="effective", **style)
    axes.legend(loc="upper right", markerscale=4, ncols=2, borderaxespad=0.1)
    axes.margins(y=0.15)
    axes.set_xlabel("site")
    axes.set_ylabel("frequency [Hz]")
    axes.set_title("frequency, site by site")


def draw_histogram(place: Any, run: ObservedRun, colours: Colours) -> None:
    """Draw how many nodes turn how fast, and how fast they would alone."""
    natural, effective, cluster = _read_frequencies(run)
    axes = place.subplots()
    low = min(natural.min(), effective.min())
    high = max(natural.max(), effective.max())
    span = max(high - low, BINS * cluster.width_hz)
    middle = 0.5 * (low + high)
    bins = middle + span * (np.arange(BINS + 1) / BINS - 0.5)
    axes.hist(natural, bins, color=colours["faint"], alpha=0.5, label="natural")
    axes.hist(
        effective, bins, color=colours["accent"], histtype="step", lw=1.5,
        label="effective",
    )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(0.7, 3.0 * natural.size)
    axes.set_xlabel("frequency [Hz]")
    axes.set_ylabel("nodes")
    axes.legend(loc="upper left", borderaxespad=0.1)
    axes.set_title(f"{cluster.share:.1%} turn at {cluster.frequency_hz:.2f} Hz")


def draw_locking(place: Any, run: ObservedRun, colours: Colours) -> None:
    """Draw which nodes of the probe set keep their distance."""
    locking, nodes = run.locking, run.nodes
    assert locking is not None
    axes, matrix, order = place.subplots(), locking.matrix, "node"
    if nodes is not None and nodes.effective_frequencies_hz is not None:
        places = np.argsort(nodes.effective_frequencies_hz[locking.nodes])
        matrix, order = matrix[np.ix_(places, places)], "effective frequency"
    image = axes.imshow(
        matrix, cmap=LOCKING_COLOURS, vmin=0.0, vmax=1.0, origin="lower"
    )
    add_bar(place, image, axes).set_label("phase-locking value")
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"probe, by {order}")
    axes.set_ylabel(f"probe, by {order}")
    mean = locking.mean
    axes.set_title("phase locking" + ("" if mean is None else f", mean {mean:.3f}"))

"""The pictures of the kernel benchmark: costs on logarithmic axes, and the roofline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import pictures

Colours = dict[str, str]
MARKER = {"marker": "o", "markersize": 4}


def select_rows(study: dict[str, Any], sweep: str) -> list[dict[str, Any]]:
    """Return the timed rows of a sweep."""
    return [
        row
        for row in study["rows"]
        if (row["sweep"], row["status"]) == (sweep, "timed")
    ]


def find_fit(study: dict[str, Any], sweep: str) -> dict[str, Any] | None:
    """Return the fit of a sweep, if it has one."""
    return next((fit for fit in study["fits"] if fit["sweep"] == sweep), None)


def label_fit(name: str, fit: dict[str, Any] | None) -> str:
    """Name a curve, its exponent and the range of the fit."""
    if fit is None:
        return name
    spread = f" ± {fit['standard_error']:.2f}"
    low, high = write_value(fit["low"]), write_value(fit["high"])
    return f"{name}: exponent {fit['exponent']:.2f}{spread} ({low} .. {high})"


def write_value(value: float) -> str:
    """Write a value with three digits, and large powers of two as such."""
    whole = int(value)
    if whole == value and whole >= 1024 and not whole & (whole - 1):
        return f"$2^{{{whole.bit_length() - 1}}}$"
    return f"{value:.3g}"


def draw_curve(
    axes: Any, study: dict[str, Any], keys: tuple[str, str, str], name: str, colour: str
) -> None:
    """Draw the points of a sweep and its fitted power law over the range of the fit.

    Args:
        axes: Where to draw, logarithmic both ways.
        study: Figures of the study.
        keys: Sweep, variable and cost.
        name: Of the curve.
        colour: Of the curve.
    """
    sweep, variable, cost = keys
    rows = [row for row in select_rows(study, sweep) if row[variable]]
    fit = find_fit(study, sweep)
    x, y = [row[variable] for row in rows], [row[cost] for row in rows]
    axes.plot(x, y, color=colour, linestyle="", label=label_fit(name, fit), **MARKER)
    if fit is not None:
        ends = np.array([fit["low"], fit["high"]])
        line = fit["factor"] * ends ** fit["exponent"]
        axes.plot(ends, line, color=colour, linewidth=1)


def set_power_ticks(axes: Any, values: Sequence[float]) -> None:
    """Mark nodes as powers of two, no more than seven of them."""
    chosen = list(values)[:: max(1, -(-len(values) // 7))]
    axes.set_xticks(chosen, labels=[write_value(value) for value in chosen])
    axes.minorticks_off()


def set_plain_ticks(axes: Any, values: Sequence[float]) -> None:
    """Mark the values themselves, thinned where they would touch."""
    chosen: list[float] = []
    for value in sorted(values):
        if not chosen or value > 1.45 * chosen[-1]:
            chosen.append(value)
    axes.set_xticks(chosen, labels=[f"{value:.3g}" for value in chosen])
    axes.tick_params(axis="x", which="minor", length=0, labelbottom=False)


def draw_costs(study: dict[str, Any], theme: str, path: Path) -> None:
    """Draw cost against nodes, bridges, frequency and threads.

    Args:
        study: Figures of the study.
        theme: A key of `pictures.THEMES`.
        path: SVG file to write.
    """
    with pictures.open_picture(path, theme, grid=(2, 3), inches=(13, 7.6)) as opened:
        axes, colours = opened
        _draw_nodes(axes[0, 0], study, colours)
        _draw_node_steps(axes[0, 1], study, colours)
        _draw_bridges(axes[0, 2], study, colours)
        _draw_frequency(axes[1, 0], study, colours)
        _draw_events(axes[1, 1], study, colours)
        _draw_threads(axes[1, 2], study, colours)
        axes[0, 0].figure.suptitle(
            f"{study['backend']} on {study['machine']}; medians of "
            f"{study['repeats']} rounds",
            color=colours["ink"],
            fontsize=11,
        )


def _open_axes(axes: Any, title: str, x_label: str, y_label: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)


def _close_axes(axes: Any) -> None:
    """Leave room for the legend above the points, and write plain figures."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.35)
    _set_decimal_ticks(axes)
    axes.legend(fontsize=8, loc="upper left", borderaxespad=0.2)


def _draw_nodes(axes: Any, study: dict[str, Any], colours: Colours) -> None:
    _open_axes(axes, "A run of one simulated second", "nodes", "wall time [s]")
    cost = "wall_s_per_simulated_s"
    keys = ("nodes", "nodes", cost)
    draw_curve(axes, study, keys, "whole run", colours["accent"])
    keys = ("lattice_nodes", "nodes", cost)
    draw_curve(axes, study, keys, "lattice alone", colours["hot"])
    set_power_ticks(axes, [row["nodes"] for row in select_rows(study, "nodes")])
    _close_axes(axes)


def _draw_node_steps(axes: Any, study: dict[str, Any], colours: Colours) -> None:
    _open_axes(axes, "Cost of a node", "nodes", "time per node and step [ns]")
    curves = (
        ("nodes", "ns_per_node_step", "whole run", "accent"),
        ("nodes", "lattice_ns_per_node_step", "its lattice steps", "leaf"),
        ("lattice_nodes", "ns_per_node_step", "lattice alone", "hot"),
    )
    for sweep, cost, name, colour in curves:
        rows = select_rows(study, sweep)
        x, y = [row["nodes"] for row in rows], [row[cost] for row in rows]
        axes.plot(x, y, color=colours[colour], label=name, linewidth=1, **MARKER)
    set_power_ticks(axes, [row["nodes"] for row in select_rows(study, "nodes")])
    _close_axes(axes)


def _draw_bridges(axes: Any, study: dict[str, Any], colours: Colours) -> None:
    title = f"Bridges, {_describe_base(study, 'bridges', 'frequency_hz')}"
    _open_axes(
        axes, title, "bridge ends per node", "wall time per simulated second [s]"
    )
    keys = ("bridges", "bridge_ends_per_node", "tunnel_s_per_simulated_s")
    draw_curve(axes, study, keys, "tunnel events", colours["accent"])
    rows = select_rows(study, "bridges")
    linked = [row for row in rows if row["bridge_ends_per_node"]]
    counts = [row["bridge_ends_per_node"] for row in linked]
    walls = [row["wall_s_per_simulated_s"] for row in linked]
    axes.plot(counts, walls, color=colours["leaf"], lw=1, label="whole run", **MARKER)
    for row in rows:
        if not row["bridge_ends_per_node"]:
            bare = row["wall_s_per_simulated_s"]
            axes.axhline(
                bare, color=colours["hot"], lw=1, ls="--", label="whole run, no bridges"
            )
    set_plain_ticks(axes, counts)
    _close_axes(axes)


def _draw_frequency(axes: Any, study: dict[str, Any], colours: Colours) -> None:
    base = _describe_base(study, "frequency", "bridge_ends_per_node")
    title = f"Tunnel frequency, {base}"
    x_label = "tunnel frequency [Hz]"
    _open_axes(axes, title, x_label, "wall time per simulated second [s]")
    keys = ("frequency", "frequency_hz", "tunnel_s_per_simulated_s")
    draw_curve(axes, study, keys, "tunnel events", colours["accent"])
    rows = select_rows(study, "frequency")
    x = [row["frequency_hz"] for row in rows]
    walls = [row["wall_s_per_simulated_s"] for row in rows]
    axes.plot(x, walls, color=colours["leaf"], lw=1, label="whole run", **MARKER)
    set_plain_ticks(axes, x)
    _close_axes(axes)


def _draw_events(axes: Any, study: dict[str, Any], colours: Colours) -> None:
    x_label, y_label = "tunnel frequency [Hz]", "time per tunnel event [ns]"
    _open_axes(axes, "Cost of a tunnel event, planning included", x_label, y_label)
    rows = [row for row in select_rows(study, "frequency") if row["ns_per_event"]]
    x, y = [row["frequency_hz"] for row in rows], [row["ns_per_event"] for row in rows]
    axes.plot(x, y, color=colours["accent"], lw=1, **MARKER)
    set_plain_ticks(axes, x)
    _set_decimal_ticks(axes)


def _draw_threads(axes: Any, study: dict[str, Any], colours: Colours) -> None:
    title = f"Threads, {_describe_base(study, 'threads', None)}"
    rows = select_rows(study, "threads")
    if not rows:
        axes.set_axis_off()
        return
    _open_axes(axes, title, "threads", "wall time per simulated second [s]")
    cost = "wall_s_per_simulated_s"
    draw_curve(axes, study, ("threads", "threads", cost), "run", colours["accent"])
    keys = ("lattice_threads", "threads", cost)
    draw_curve(axes, study, keys, "lattice alone", colours["hot"])
    x = np.array([row["threads"] for row in rows])
    start = next(row[cost] for row in rows if row["threads"] == x.min())
    ideal = start * x.min() / x
    axes.plot(x, ideal, color=colours["faint"], ls=":", lw=1, label="run, 1 / threads")
    set_plain_ticks(axes, list(x))
    _close_axes(axes)


def _set_decimal_ticks(axes: Any) -> None:
    """Write the figures of a logarithmic axis out; a long one names powers only."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high < 200.0 * low else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _describe_base(study: dict[str, Any], sweep: str, detail: str | None) -> str:
    """Say at what size, and at what else, a sweep was measured."""
    rows = select_rows(study, sweep)
    if not rows:
        return "not measured"
    row = rows[-1]
    size = f"{write_value(row['nodes'])} nodes"
    if detail == "frequency_hz":
        return f"{size}, {row['frequency_hz']:.0f} Hz"
    if detail == "bridge_ends_per_node":
        return f"{size}, {row['bridge_ends_per_node']} bridge ends per node"
    return size


def draw_roofline(study: dict[str, Any], theme: str, path: Path) -> None:
    """Draw both measured roofs and the kernels below them.

    Args:
        study: Figures of the study, with a roofline.
        theme: A key of `pictures.THEMES`.
        path: SVG file to write.
    """
    roofline = study["roofline"]
    with pictures.open_picture(path, theme, grid=(1, 1), inches=(7.5, 4.8)) as opened:
        axes, colours = opened
        _draw_roofs(axes, roofline, colours)
        for kernel, colour in zip(
            roofline["kernels"], ("accent", "leaf"), strict=False
        ):
            _draw_kernel(axes, kernel, colours[colour])
        axes.set_xlabel("operations per byte of counted traffic [flop/byte]")
        axes.set_ylabel("float32 operations [Gflop/s]")
        axes.set_title(
            f"{study['machine']}, {roofline['threads']} threads", fontsize=10
        )
        axes.legend(fontsize=8, loc="lower right")


def _draw_roofs(axes: Any, roofline: dict[str, Any], colours: Colours) -> None:
    peak = roofline["flops_per_s"] / 1e9
    x = np.geomspace(0.1, 100.0, 200)
    for place, style in (("near", "-"), ("far", "--")):
        rate = roofline[f"{place}_bytes_per_s"] / 1e9
        size = write_value(roofline[f"{place}_nodes"])
        label = f"copy of {size} nodes: {rate:.0f} GB/s"
        axes.loglog(
            x,
            np.minimum(rate * x, peak),
            style,
            color=colours["hot"],
            lw=1.2,
            label=label,
        )
    axes.axhline(peak, color=colours["faint"], lw=1)
    text = f"{peak:.0f} Gflop/s: fused multiply-adds"
    axes.text(0.11, peak * 1.08, text, color=colours["ink"], fontsize=8)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(top=peak * 2.0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _draw_kernel(axes: Any, kernel: dict[str, Any], colour: str) -> None:
    x, y = kernel["flops_per_byte"], kernel["flops_per_s"] / 1e9
    label = (
        f"{kernel['name']}: {kernel['ns']:.2g} ns, {kernel['flops']} operations, "
        f"{kernel['bytes']:g} bytes"
    )
    axes.plot([x], [y], "o", color=colour, markersize=7, label=label)

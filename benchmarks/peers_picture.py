"""The picture of `peers.py`: a bar for each contestant on a logarithmic scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments import pictures

COLOURS = {"engine": "accent", "peer": "faint", "floor": "hot"}
"""Colour of a bar by role."""


def label_row(row: dict[str, Any]) -> str:
    """Name a contestant, its threads and a size that is not everybody's."""
    threads = f", {row['threads']} threads" if row["threads"] > 1 else ""
    if row["device"] == "gpu":
        threads = ""
    size = "" if row["is_full_size"] else f" ({row['side']} x {row['side']})"
    return f"{row['name']}{threads}{size}"


def write_title(result: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Say what was done, where, and what pale bars mean if there are any."""
    side = result["side"]
    pale = "" if all(row["is_full_size"] for row in rows) else "; pale: fewer nodes"
    return f"One Euler step, {side} x {side} nodes{pale}\n{result['machine']}"


def draw_peers(result: dict[str, Any], theme: str, path: Path) -> None:
    """Draw all timed contestants, the fastest on top.

    Args:
        result: Figures of `compare`.
        theme: A key of `pictures.THEMES`.
        path: SVG file to write.
    """
    rows = [row for row in result["rows"] if row["status"] == "timed"]
    rows.sort(key=lambda row: row["ns_per_node_step"], reverse=True)
    inches = (8.0, 1.2 + 0.28 * len(rows))
    with pictures.open_picture(path, theme, grid=(1, 1), inches=inches) as opened:
        axes, colours = opened
        _draw_bars(axes, rows, colours)
        axes.set_xlabel("time per node and step [ns], logarithmic")
        axes.set_title(write_title(result, rows), fontsize=10)


def _draw_bars(axes: Any, rows: list[dict[str, Any]], colours: dict[str, str]) -> None:
    values = [row["ns_per_node_step"] for row in rows]
    start = min(values) / 3.0
    bars = axes.barh(
        [label_row(row) for row in rows],
        [value - start for value in values],
        left=start,
        height=0.7,
        color=[colours[COLOURS[row["role"]]] for row in rows],
    )
    for bar, row in zip(bars, rows, strict=True):
        bar.set_alpha(1.0 if row["is_full_size"] else 0.4)
    for place, value in enumerate(values):
        text = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
        axes.text(value * 1.08, place, text, va="center", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(start, max(values) * 2.5)
    axes.margins(y=0.02)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")

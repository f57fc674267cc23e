"""Rows that show a machine's resources, shared by the run view and the monitor.

An absent value is left out or shown as unknown, never as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from engine.errors import count_noun
from experiments.views.glyphs import UNICODE, Glyphs, draw_bar
from experiments.wording import format_bytes, format_frequency

if TYPE_CHECKING:
    from engine.monitor.metrics import CgroupState, GpuState, ResourceMetrics

UNKNOWN: Final = "unknown"
"""What stands for a figure that the machine does not tell."""
BAR_WIDTH: Final = 10
"""Characters of a bar of use."""


@dataclass(frozen=True)
class Row:
    """One labelled line."""

    label: str
    """A word or two."""
    text: Text
    """What is shown."""


def build_grid(rows: Iterable[Row]) -> Table:
    """Lay labelled lines out, the labels dim and aligned.

    Args:
        rows: Lines from top to bottom.
    """
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(style="dim", no_wrap=True, width=10)
    grid.add_column(ratio=1, overflow="fold")
    for row in rows:
        grid.add_row(row.label, row.text)
    return grid


def list_resource_rows(
    metrics: ResourceMetrics, glyphs: Glyphs = UNICODE
) -> Iterator[Row]:
    """Describe cores, memory, this process and every GPU.

    Args:
        metrics: Newest sample.
        glyphs: The terminal's alphabet.
    """
    yield Row("cores", _describe_cores(metrics, glyphs))
    yield Row("memory", _describe_memory(metrics, glyphs))
    for gpu in metrics.gpus:
        yield Row(f"GPU {gpu.index}", _describe_gpu(gpu, glyphs))
    yield Row("available", _describe_availability(metrics, glyphs))


def list_detail_rows(metrics: ResourceMetrics) -> Iterator[Row]:
    """Describe what the monitor command adds: process, control group, offer.

    Args:
        metrics: Newest sample.
    """
    process = metrics.process
    facts = [
        _fact(process.cores_used, lambda cores: f"{cores:.2f} cores"),
        _fact(process.rss_bytes, lambda size: f"{format_bytes(size)} resident"),
        _fact(process.thread_count, lambda count: count_noun(int(count), "thread")),
    ]
    yield Row("process", Text(", ".join(filter(None, facts)) or UNKNOWN))
    if metrics.cgroup is not None:
        yield Row("cgroup", Text(describe_cgroup(metrics.cgroup)))
    offered = format_frequency(metrics.tunnel_frequency)
    yield Row("offer", Text(f"tunnel frequency {offered}", style="bold"))


def describe_cgroup(cgroup: CgroupState) -> str:
    """Say the limits of the control groups in one line.

    Args:
        cgroup: Limits of the control groups around this process.
    """
    facts = [
        f"v{cgroup.version}",
        _fact(cgroup.cpu_quota_cores, lambda cores: f"quota {cores:g} cores")
        or "no core quota",
        _fact(cgroup.throttled_share, lambda share: f"throttled {share:.0%}"),
        _fact(cgroup.memory_limit_bytes, lambda size: f"limit {format_bytes(size)}")
        or "no memory limit",
    ]
    return ", ".join(filter(None, facts))


def _fact(value: float | None, say: Callable[[float], str]) -> str:
    return "" if value is None else say(value)


def _bar(share: float, glyphs: Glyphs) -> Text:
    full, empty = draw_bar(share, BAR_WIDTH, glyphs)
    return Text.assemble((full, "bold"), (empty, "dim"), " ")


def _describe_cores(metrics: ResourceMetrics, glyphs: Glyphs) -> Text:
    cores = metrics.cores
    if cores.others_cores is None:
        return Text(f"{cores.allowed_cores:g} allowed, use {UNKNOWN}")
    text = _bar(cores.others_cores / cores.allowed_cores, glyphs)
    text.append(f"others {cores.others_cores:.1f} of {cores.allowed_cores:g}")
    if metrics.process.cores_used is not None:
        text.append(f", ours {metrics.process.cores_used:.1f}")
    return text


def _describe_memory(metrics: ResourceMetrics, glyphs: Glyphs) -> Text:
    memory = metrics.memory
    text = _bar(1.0 - memory.available_share, glyphs)
    free, limit = format_bytes(memory.available_bytes), format_bytes(memory.limit_bytes)
    return text.append(f"{free} free of {limit}")


def _describe_gpu(gpu: GpuState, glyphs: Glyphs) -> Text:
    if gpu.is_lost:
        return Text(gpu.status, style="red")
    text = Text() if gpu.utilisation is None else _bar(gpu.utilisation, glyphs)
    facts = [
        _fact(gpu.utilisation, lambda share: f"{share:.0%} busy"),
        _fact(gpu.memory_free_bytes, lambda size: f"{format_bytes(size)} free"),
        _fact(gpu.power_w, lambda power: f"{power:.0f} W"),
        _fact(gpu.temperature_c, lambda degrees: f"{degrees:.0f} °C"),
    ]
    text.append(", ".join(filter(None, facts)) or UNKNOWN)
    return text.append(f"  {gpu.name}", style="dim") if gpu.name else text


def _describe_availability(metrics: ResourceMetrics, glyphs: Glyphs) -> Text:
    text = _bar(metrics.availability, glyphs)
    text.append(f"{metrics.availability:.0%}")
    if metrics.limiting_resource != "none":
        text.append(f", limited by {metrics.limiting_resource}")
    if metrics.is_stale:
        text.append(f", sample {metrics.age_s:.0f} s old", style="red")
    return text

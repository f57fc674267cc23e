"""The view of a load: asked against achieved, live or line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from engine.config import GeneratorConfig
from engine.load.memory_worker import BLOCK_BYTES
from experiments.views.glyphs import Glyphs, choose_glyphs, draw_bar
from experiments.views.terminal import is_redrawable, open_console
from experiments.wording import format_bytes, format_span

if TYPE_CHECKING:
    from engine.load.sample import CoreSample, GpuSample, LoadSample

LINE_PERIOD_S: Final = 1.0
"""Least time between two lines [s]."""
BAR_WIDTH: Final = 20
"""Characters of a bar."""
WANTED_DEVIATION: Final = 0.03
"""Deviation of the cores' load that counts as reached [-]: three percentage points."""
TABLE_CORES: Final = 32
"""Most cores that get a row of their own."""


class LoadView:
    """Shows nothing; the base of the others."""

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""

    def show(self, sample: LoadSample) -> None:
        """Take in one comparison.

        Args:
            sample: The newest comparison.
        """


class PlainLoadView(LoadView):
    """Writes a line a second.

    Args:
        stream: Where lines go.
        config: What is asked for.
    """

    def __init__(self, stream: TextIO, config: GeneratorConfig) -> None:
        self._stream = stream
        self._config = config
        self._due_s = 0.0

    def show(self, sample: LoadSample) -> None:
        """Write the comparison, if a second has passed since the last line.

        Args:
            sample: The newest comparison.
        """
        if sample.time_s < self._due_s:
            return
        self._due_s = sample.time_s + LINE_PERIOD_S
        facts = " | ".join(_list_facts(sample, self._config))
        self._stream.write(f"[{format_span(sample.time_s)}] {facts}\n")
        self._stream.flush()


class LiveLoadView(LoadView):
    """Redraws a table.

    Args:
        console: Terminal to draw on.
        config: What is asked for.
    """

    def __init__(self, console: Console, config: GeneratorConfig) -> None:
        self._config = config
        self._glyphs = choose_glyphs(console.encoding)
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        """Take over the terminal's last lines."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        self._live.stop()

    def show(self, sample: LoadSample) -> None:
        """Redraw.

        Args:
            sample: The newest comparison.
        """
        table = build_load_table(sample, self._config, self._glyphs)
        self._live.update(table, refresh=True)


def open_load_view(config: GeneratorConfig, *, is_quiet: bool) -> LoadView:
    """Choose the view: a table on a terminal, lines elsewhere, or none.

    Args:
        config: What is asked for.
        is_quiet: Show nothing.
    """
    console = open_console()
    if is_quiet:
        return LoadView()
    if is_redrawable(console):
        return LiveLoadView(console, config)
    return PlainLoadView(sys.stdout, config)


def build_load_table(
    sample: LoadSample, config: GeneratorConfig, glyphs: Glyphs
) -> Table:
    """Lay one comparison out, a row per resource.

    Args:
        sample: The comparison.
        config: What is asked for.
        glyphs: The terminal's alphabet.
    """
    left = format_span(max(0.0, config.duration_s - sample.time_s))
    table = Table(title=f"load, {left} left", title_justify="left", box=None)
    for name in ("", "asked", "achieved", "machine"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    table.add_column("")
    if sample.asked is not None:
        row = (sample.asked, sample.achieved, sample.utilisation)
        _add_row(table, "cores", row, sample.generated, glyphs)
    for core in sample.cores[:TABLE_CORES] if len(sample.cores) > 1 else ():
        _add_core(table, core, glyphs)
    if sample.memory_asked_bytes:
        held = sample.memory_held_bytes
        figures = (sample.memory_asked_bytes, held, sample.memory_available_bytes)
        asked, got, free = map(format_bytes, figures)
        bar = _bar(held / sample.memory_asked_bytes, glyphs)
        table.add_row("memory", asked, got, f"{free} free", bar)
    if sample.gpu is not None:
        facts = _describe_gpu(sample.gpu, config)
        table.add_row("GPU", *facts, _bar(sample.gpu.busy, glyphs))
    if sample.temperature_c is not None:
        table.add_row("hottest", "", f"{sample.temperature_c:.0f} °C", "", "")
    return table


def print_outcome(
    summary: Mapping[str, Any], folder: Path | None, *, is_quiet: bool
) -> None:
    """Print how a load ended.

    Args:
        summary: Content of ``summary.json``.
        folder: Where it was recorded, or None.
        is_quiet: One line only.
    """
    lines = list(_list_outcome(summary, folder))
    text = "; ".join(lines) if is_quiet else "\n".join(lines)
    sys.stdout.write(f"{text}\n")


def _list_outcome(summary: Mapping[str, Any], folder: Path | None) -> Iterator[str]:
    yield (
        f"{summary['status']}: {summary['reason']}, after "
        f"{summary['elapsed_seconds']:.1f} s"
    )
    yield from _judge_cores(summary)
    gpu = summary["gpu"]
    if gpu is not None:
        unit = "W" if summary["gpu_target"] == "power" else ""
        yield (
            f"GPU ({summary['gpu_target']}): asked {gpu['asked']:.3g} {unit}, achieved "
            f"{gpu['achieved']:.3g} {unit} on average"
        )
    if summary["memory_asked_bytes"]:
        yield _judge_memory(summary)
    yield f"folder: {folder or 'not recorded'}"


def _judge_memory(summary: Mapping[str, Any]) -> str:
    asked, held = summary["memory_asked_bytes"], summary["memory_held_bytes"]
    is_reached = held > max(0, asked - BLOCK_BYTES)  # the worker holds whole blocks
    why = "others use it, headroom is kept, or the time was too short"
    if asked < BLOCK_BYTES:
        why = f"memory is held in blocks of {format_bytes(BLOCK_BYTES)}"
    return (
        f"memory: asked {format_bytes(asked)}, held at most {format_bytes(held)}; "
        f"{'reached' if is_reached else f'NOT reached: {why}'}"
    )


def _judge_cores(summary: Mapping[str, Any]) -> Iterator[str]:
    cpu = summary["cpu"]
    if cpu is None:
        return
    name = "total" if summary["cpu_target"] == "machine" else "generated"
    verdict = "reached"
    if cpu["mean_deviation"] > WANTED_DEVIATION:
        is_short = cpu["achieved"] < cpu["asked"]
        why = "others or a quota hold the cores" if is_short else "others use the cores"
        verdict = f"NOT reached: {why}"
    yield (
        f"cores ({name}): asked {cpu['asked']:.1%}, achieved {cpu['achieved']:.1%} on "
        f"average, deviation {100 * cpu['mean_deviation']:.1f} points on average and "
        f"{100 * cpu['largest_deviation']:.1f} at most after settling; {verdict}"
    )


def _list_facts(sample: LoadSample, config: GeneratorConfig) -> Iterator[str]:
    if sample.asked is not None:
        yield f"cores asked {sample.asked:.1%}, achieved {_share(sample.achieved)}"
        if config.cpu_target == "machine":
            yield f"generated {_share(sample.generated)}"
    yield f"machine {_share(sample.utilisation)}"
    if sample.memory_asked_bytes:
        yield (
            f"memory asked {format_bytes(sample.memory_asked_bytes)}, held "
            f"{format_bytes(sample.memory_held_bytes)}, "
            f"{format_bytes(sample.memory_available_bytes)} free"
        )
    if sample.gpu is not None:
        asked, achieved, seen = _describe_gpu(sample.gpu, config)
        yield f"GPU asked {asked}, achieved {achieved}, {seen}"
    if sample.temperature_c is not None:
        yield f"{sample.temperature_c:.0f} °C"


def _describe_gpu(gpu: GpuSample, config: GeneratorConfig) -> tuple[str, str, str]:
    is_power = config.gpu_power_w > 0

    def say(figure: float | None) -> str:
        if figure is None:
            return "unknown"
        return f"{figure:.0f} W" if is_power else f"{figure:.1%}"

    power = "power unknown" if gpu.power_w is None else f"{gpu.power_w:.0f} W"
    seen = f"{_share(gpu.utilisation)}, {power}, {format_bytes(gpu.held_bytes)} held"
    return say(gpu.asked), say(gpu.achieved), seen


def _add_core(table: Table, core: CoreSample, glyphs: Glyphs) -> None:
    row = (core.asked, core.generated, core.total)
    _add_row(table, f"core {core.cpu}", row, core.generated, glyphs)


def _add_row(
    table: Table,
    name: str,
    row: tuple[float | None, ...],
    share: float | None,
    glyphs: Glyphs,
) -> None:
    table.add_row(name, *map(_share, row), _bar(share or 0.0, glyphs))


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _bar(share: float, glyphs: Glyphs) -> Text:
    full, empty = draw_bar(min(1.0, share), BAR_WIDTH, glyphs)
    return Text.assemble((full, "bold"), (empty, "dim"))

"""The report on what ``scribble load`` left: asked against achieved."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from engine.load.memory_worker import BLOCK_BYTES
from experiments.load import LOAD_FILE
from experiments.report.charts import build_series
from experiments.report.document import (
    NO,
    OPEN,
    YES,
    Axis,
    Document,
    Plot,
    Section,
    Verdict,
)
from experiments.report.records import Columns, RunRecord, read_columns, read_run
from experiments.report.run import build_extra_tables
from experiments.report.verdicts import LOAD_TOLERANCE
from experiments.wording import format_bytes

WALL_TIME: Final = Axis("wall time [s]")
PLOTS: Final = (
    ("Cores", "share [-]", {"asked": "cpu_asked", "achieved": "cpu_achieved"}),
    ("GPU", "asked and achieved", {"asked": "gpu_asked", "achieved": "gpu_achieved"}),
    ("Power", "power [W]", {"GPU": "gpu_power_w"}),
    ("Temperature", "temperature [°C]", {"hottest": "temperature_c"}),
)
"""Title, label of the y axis, and columns by their name in the legend."""


def build_load_document(folder: Path) -> Document:
    """Build the report on a load that ran by itself.

    Args:
        folder: What ``scribble load --folder`` wrote.
    """
    record = read_run(folder, has_tables=False)
    problems: list[str] = []
    columns = read_columns(folder / LOAD_FILE, problems)
    verdict = judge_load(record)
    reason = record.summary.get("reason")
    ended = f"The load was {record.status}" + (f": {reason}." if reason else ".")
    plots = Section("Asked against achieved", plots=draw_load(columns))
    figures = Section("Figures", tables=build_extra_tables(record.summary))
    return Document(
        title=record.name,
        kind="load",
        findings=(ended,),
        verdicts=(verdict,),
        sections=tuple(part for part in (plots, figures) if part.plots or part.tables),
        problems=(*record.problems, *problems),
    )


def judge_load(record: RunRecord) -> Verdict:
    """Judge whether cores, after settling, and memory bore what was asked for.

    Args:
        record: What the folder holds.
    """
    names = ("asked", "achieved", "mean_deviation")
    asked, achieved, gap = (record.number("cpu", name) for name in names)
    question = "Target load reached?"
    is_held, memory_text = _judge_memory(record)
    if asked is None or achieved is None or gap is None:
        text = f"No load on the cores was compared.{memory_text}"
        return Verdict(question, OPEN if is_held else NO, text)
    text = (
        f"{asked:.1%} of the cores were asked for and {achieved:.1%} achieved on "
        f"average, {100 * gap:.2g} points apart.{memory_text}"
    )
    is_reached = is_held and gap <= LOAD_TOLERANCE
    return Verdict(question, YES if is_reached else NO, text)


def _judge_memory(record: RunRecord) -> tuple[bool, str]:
    """Compare the memory that was asked for with what was held at most."""
    asked = record.number("memory_asked_bytes")
    held = record.number("memory_held_bytes")
    if not asked or held is None:
        return True, ""
    text = f" {format_bytes(int(asked))} of memory were asked for and "
    # The worker holds whole blocks.
    return held > asked - BLOCK_BYTES, f"{text}{format_bytes(int(held))} held at most."


def draw_load(columns: Columns) -> tuple[Plot, ...]:
    """Draw what the load asked for and achieved over its time.

    Args:
        columns: Columns of ``load.parquet``.
    """
    times = columns.get("time_s")
    if times is None or not len(times):
        return ()
    plots = []
    for title, label, names in PLOTS:
        known = {name: columns[key] for name, key in names.items() if key in columns}
        drawn = {k: v for k, v in known.items() if np.isfinite(v).any()}
        if drawn:
            series = build_series(times, drawn, style="step")
            plots.append(Plot(title, WALL_TIME, Axis(label), series))
    return tuple(plots)

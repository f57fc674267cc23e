"""Load study: what a run becomes while others take their share of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from experiments.report.document import Cell, Table
from experiments.report.jobs import SweepRecord
from experiments.study.base import Study
from experiments.study.job_groups import describe_progress
from experiments.study.load_plots import draw_load_plots
from experiments.study.load_points import (
    REAL,
    LevelRow,
    LoadPoint,
    list_points,
    list_rows,
)
from experiments.study.load_verdicts import (
    NOMINAL,
    describe_floor,
    describe_strangers,
    format_level,
    judge_floor,
    judge_load,
    judge_retreat,
    split_lines,
)
from experiments.study.statistics import Estimate
from experiments.wording import format_count, format_frequency, format_jobs

TITLE: Final = "Load study"
QUESTION: Final = (
    "What do coherence, tunnel frequency, throughput and cost become while others take "
    "their share of the cores?"
)
LINES_TOLD: Final = 3
"""Lines of the plots that are put into words at most."""
ALWAYS: Final = 0.999
"""Share of the time from which on a state is said to hold all the time [-]."""
SPAN: Final = " to "
LATER_HALF: Final = "In the later half of the runs"
COLUMNS: Final[tuple[tuple[str, str], ...]] = (
    ("r [-]", "coherence"),
    ("least r once settled [-]", "least"),
    ("below floor [-]", "violated"),
    ("frequency [Hz]", "frequency_hz"),
    ("events saved [times]", "saved"),
    ("simulated s per wall s", "speed"),
    ("node steps [1/s]", "node_steps"),
)
"""Headings of the main table and the figures under them."""
MACHINE_COLUMNS: Final[tuple[tuple[str, str], ...]] = (
    ("asked on average [-]", "asked"),
    ("achieved [-]", "achieved"),
    ("others as seen [-]", "seen"),
    ("this run [-]", "own"),
    ("all [-]", "busy"),
    ("GPU power [W]", "power_w"),
    ("GPU energy [J per simulated s]", "energy_j"),
)
"""Likewise of the table of the machine."""


def examine(record: SweepRecord) -> Study:
    """Say what the jobs of a load study found.

    Args:
        record: The sweep, finished or not.

    Returns:
        The study.
    """
    points = list_points(record)
    rows = list_rows(points)
    tables = (_build_table(rows), _build_machine_table(rows)) if rows else ()
    return Study(
        title=TITLE,
        question=QUESTION,
        findings=tuple(_describe(record, points, rows)),
        verdicts=(judge_floor(points), judge_retreat(rows), judge_load(points))
        if points
        else (),
        tables=tables,
        plots=draw_load_plots(rows),
    )


def _describe(
    record: SweepRecord, points: Sequence[LoadPoint], rows: Sequence[LevelRow]
) -> list[str]:
    sentences = [text for text in (describe_progress(record),) if text]
    sentences += _describe_odd(len(record.done) - len(points))
    if not points:
        return sentences
    sentences.append(describe_floor(points))
    lines = split_lines(rows)
    for name, line in list(lines.items())[:LINES_TOLD]:
        sentences += _describe_line(f"{name}: " if len(lines) > 1 else "", line)
    if len(lines) > LINES_TOLD:
        sentences.append(f"{len(lines) - LINES_TOLD} more are in the table.")
    return [*sentences, _describe_states(rows), *_describe_machine(points, rows)]


def _describe_odd(count: int) -> list[str]:
    """Say how many jobs are done and yet none of this study's."""
    if not count:
        return []
    verb = "is" if count == 1 else "are"
    return [
        f"{format_jobs(count)} had no load of a known level (load=real or synthetic) "
        f"and {verb} left out."
    ]


def _describe_line(prefix: str, line: Sequence[LevelRow]) -> list[str]:
    """Put a line of the plots into words: what came of the least and most load."""
    hz = _describe_change(line, "frequency_hz", _write_hz)
    r = _describe_change(line, "coherence", Estimate.format)
    saved = _span(line, "saved", lambda e: f"{e.mean:.3g}")
    speed = _describe_change(line, "speed", Estimate.format)
    steps = _span(line, "node_steps", lambda e: format_count(e.mean))
    facts = []
    if hz and r:
        aside = f" ({saved} times fewer events than every bridge in every step)"
        facts.append(f"the tunnel frequency {hz}{aside if saved else ''} and r {r}")
    if speed and steps:
        facts.append(
            f"throughput {speed} simulated s per wall s ({steps} node steps per s)"
        )
    if not facts:
        return []
    levels = [format_level(row.level) for row in line]
    where = f"Under a load of {levels[0]} "
    if len(line) > 1:
        where = f"From {levels[0]} to {levels[-1]} of load "
    return [f"{prefix}{where}{'; '.join(facts)}."]


def _describe_change(
    line: Sequence[LevelRow], name: str, write: Callable[[Estimate], str]
) -> str:
    """Say what became of a figure as the load rose; empty if it is unknown."""
    first, between, last = _span(line, name, write).partition(SPAN)
    if between:
        return f"went from {first} to {last}"
    return f"was {first}" if first else ""


def _span(line: Sequence[LevelRow], name: str, write: Callable[[Estimate], str]) -> str:
    """Write a figure under the least and the most load."""
    known = [e for row in line if (e := row.estimate(name)) is not None]
    ends = dict.fromkeys(map(write, known[:1] + known[-1:]))
    return SPAN.join(ends)


def _write_hz(estimate: Estimate) -> str:
    if estimate.half_width:
        return estimate.format("Hz")
    return format_frequency(estimate.mean)


def _describe_states(rows: Sequence[LevelRow]) -> str:
    """Say where the controller was not free to do as the machine asks."""
    states = _list_states(rows)
    if not states:
        return "The states of the controller were not recorded."
    others = [state for state in states if state != NOMINAL]
    if not others:
        return f"{LATER_HALF} the controller was nominal all the time."
    peaks = {state: max(rows, key=lambda r: r.share(state)) for state in others}
    told = ", ".join(
        f"{state} for up to {peak.share(state):.1%} of the time (at "
        f"{format_level(peak.level)} of load)"
        for state, peak in peaks.items()
    )
    free = sum(row.share(NOMINAL) > ALWAYS for row in rows)
    return (
        f"{LATER_HALF} the controller was {told}; it was nominal all the time in "
        f"{free} of {len(rows)} rows of the table."
    )


def _list_states(rows: Sequence[LevelRow]) -> list[str]:
    """List the states that occurred, nominal first, then by their name."""
    names = {name for row in rows for p in row.points for name in p.states}
    return sorted(names, key=lambda name: (name != NOMINAL, name))


def _describe_machine(
    points: Sequence[LoadPoint], rows: Sequence[LevelRow]
) -> list[str]:
    """Say what the load did, and what the GPUs took."""
    sentences = []
    if any(point.kind == REAL for point in points):
        sentences.append(judge_load(points).text)
        sentences += describe_strangers(points)
    else:
        sentences.append(
            "The load was made up, so throughput shows what the controller saved and "
            "nothing of a machine that is shared."
        )
    powered = [row for row in rows if row.mean("power_w") is not None]
    if not powered:
        sentences.append(
            "Power and energy were not measured: no job saw a GPU with a power sensor."
        )
        return sentences
    low, high = powered[0], powered[-1]
    sentences.append(
        f"The GPUs took {low.mean('power_w'):.4g} W at {format_level(low.level)} and "
        f"{high.mean('power_w'):.4g} W at {format_level(high.level)}."
    )
    return sentences


def _build_table(rows: Sequence[LevelRow]) -> Table:
    states = _list_states(rows)
    has_lines = len(split_lines(rows)) > 1
    head = ("load level [-]", *(("line",) if has_lines else ()), "jobs")
    return Table(
        "By level",
        (*head, *(name for name, _ in COLUMNS), *(f"{s} [-]" for s in states)),
        tuple(
            (
                row.level,
                *((row.series,) if has_lines else ()),
                len(row.points),
                *(row.mean(key) for _, key in COLUMNS),
                *(row.share(state) for state in states),
            )
            for row in rows
        ),
        "Means over the later half of each run (whole periods, where the load comes "
        "and goes), and over seeds; the last columns are shares by state of the "
        "controller.",
    )


def _build_machine_table(rows: Sequence[LevelRow]) -> Table:
    has_lines = len(split_lines(rows)) > 1
    columns = [
        (name, key)
        for name, key in MACHINE_COLUMNS
        if any(row.mean(key) is not None for row in rows)
    ]
    missing = [name for name, key in MACHINE_COLUMNS if (name, key) not in columns]

    def list_cells(row: LevelRow) -> tuple[Cell, ...]:
        line = (row.series,) if has_lines else ()
        return (row.level, *line, *(row.mean(key) for _, key in columns))

    head = ("load level [-]", *(("line",) if has_lines else ()))
    return Table(
        "Shares of the cores",
        (*head, *(name for name, _ in columns)),
        tuple(list_cells(row) for row in rows),
        f"Not measured: {', '.join(missing)}." if missing else "",
    )

"""How a mesh shared the budget out, and which bridges were moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from engine.bridge.shares import Shares
from engine.intake import parse_json
from experiments.report.charts import TIME, build_series
from experiments.report.document import (
    Axis,
    Cell,
    Plot,
    Section,
    Series,
    Table,
    to_number,
)
from experiments.report.records import RunRecord, dig
from experiments.report.thinning import F64Array, round_values
from experiments.wording import format_frequency

PARTS: Final = (0.01, 0.1, 0.25, 0.5)
"""Shares of the bridges whose events are drawn over time [-]."""
PATH_ROWS: Final = (
    ("rewirings", "rewirings"),
    ("retired", "bridges moved, all rewirings together"),
    ("seconds", "wall time [s]"),
)


def build_mesh_section(record: RunRecord) -> Section | None:
    """Show what a mesh did and what was rewired, if there was either.

    Args:
        record: What the folder holds.
    """
    mesh, paths = (_read_entry(record, name) for name in ("mesh", "paths"))
    if not mesh and not paths:
        return None
    plots: list[Plot] = []
    if mesh:
        plots += [*_draw_rungs(mesh), *_draw_course(record, mesh)]
    return Section(
        "The mesh",
        sentences=(*_describe_mesh(mesh), *_describe_paths(paths)),
        plots=tuple(plots),
        tables=tuple(_list_paths(paths)),
    )


def _read_entry(record: RunRecord, name: str) -> Mapping[str, Any]:
    entry = record.summary.get(name)
    return entry if isinstance(entry, Mapping) else {}


def _read_rungs(mesh: Mapping[str, Any]) -> tuple[F64Array, F64Array] | None:
    """Return frequency and share of the bridges of each rung; None if unknown."""
    found = []
    for name in ("frequencies_hz", "shares"):
        values = mesh.get(name)
        numbers = map(to_number, values) if isinstance(values, list) else ()
        found.append([number for number in numbers if number is not None])
    hz, shares = found
    if not hz or len(hz) != len(shares):
        return None
    return np.array(hz), np.array(shares)


def measure_events(hz: F64Array, shares: F64Array) -> F64Array:
    """Return the share of the events that each rung takes [-].

    Args:
        hz: Frequency of each rung [Hz].
        shares: Share of the bridges on each [-].
    """
    events = hz * shares
    total = float(events.sum())
    return events / total if total > 0.0 else events


def _describe_mesh(mesh: Mapping[str, Any]) -> Iterator[str]:
    """Say who had what at the end, and what finding that took."""
    rungs = _read_rungs(mesh)
    if not mesh:
        return
    rule = mesh.get("rule")
    if rungs is None:
        yield f"mesh={rule}: the run ended before it looked at the bridges."
        return
    hz, shares = rungs
    used = hz[shares > 0.0]
    tenth = _find_share_of_busiest(hz, shares, 0.1)
    yield (
        f"mesh={rule} spread the bridges from {format_frequency(float(used[-1]))} to "
        f"{format_frequency(float(used[0]))}; at the end the busiest tenth of them had "
        f"{tenth:.0%} of the events."
    )
    looks, wall = to_number(mesh.get("looks")), to_number(mesh.get("wall_share"))
    gap = to_number(mesh.get("mean_gap"))
    told = []
    if looks is not None:
        told.append(f"it looked at them {_count_times(looks)}")
    if wall is not None:
        told.append(f"took {wall:.2%} of the wall time")
    if gap is not None:
        told.append(f"left a mean lasting gap of {gap:.3g}")
    if told:
        text = ", ".join(told[:-1]) + (" and " if told[1:] else "") + told[-1]
        yield f"{text[0].upper()}{text[1:]}."


def _count_times(count: float) -> str:
    return "once" if count == 1 else f"{count:.0f} times"


def _find_share_of_busiest(hz: F64Array, shares: F64Array, part: float) -> float:
    """Return the share of events of the bridges that act most often [-].

    Args:
        hz: Frequency of each rung [Hz], descending.
        shares: Share of the bridges on each [-].
        part: Share of the bridges that is asked for [-].
    """
    filled = np.concatenate([[0.0], np.cumsum(shares)])
    spent = np.concatenate([[0.0], np.cumsum(measure_events(hz, shares))])
    return float(np.interp(part * filled[-1], filled, spent))


def _draw_rungs(mesh: Mapping[str, Any]) -> Iterator[Plot]:
    """Draw which share of bridges and of events each rung had at the end."""
    rungs = _read_rungs(mesh)
    if rungs is None:
        return
    hz, shares = rungs
    across = round_values(hz)
    drawn = {"of the bridges": shares, "of the events": measure_events(hz, shares)}
    yield Plot(
        "Bridges and events over rungs",
        Axis("tunnel frequency [Hz]", "log"),
        Axis("share [-]"),
        tuple(
            Series(
                name,
                across,
                round_values(values),
                "line",
                tuple(
                    f"{format_frequency(f)}\n{v:.1%} {name}"
                    for f, v in zip(hz.tolist(), values.tolist(), strict=True)
                ),
            )
            for name, values in drawn.items()
        ),
        caption="After the last look. Where the two part, events were moved.",
    )


def _draw_course(record: RunRecord, mesh: Mapping[str, Any]) -> Iterator[Plot]:
    """Draw who had the events over time, and how much was left to do."""
    trace = record.trace
    times, shares = trace.get("simulated_s"), trace.get("mesh_shares")
    if times is None or shares is None or not len(times):
        return
    known = [_read_shares(text) for text in shares]
    means_hz = np.asarray(trace.get("frequency_hz", np.zeros(len(known))), np.float64)
    rows = [row for row, found in enumerate(known) if found and means_hz[row] > 0.0]
    base_hz, ratio = (
        to_number(record.setting("tunnel", key))
        for key in ("base_frequency", "phi_coefficient")
    )
    is_even = len({len(known[row]) for row in rows}) == 1
    if is_even and base_hz is not None and ratio is not None and 0.0 < ratio < 1.0:
        table = np.array([known[row] for row in rows], dtype=np.float64)
        spread = _spread(table, means_hz[rows], ratio, base_hz / ratio)
        yield _draw_busiest(times[rows], table, spread)
    drawn = {
        name: np.asarray(trace[key], dtype=np.float64)
        for name, key in (
            ("mean lasting gap", "mesh_gap"),
            ("bridges moved at the last look", "mesh_moved"),
        )
        if key in trace
    }
    if any(np.isfinite(values).any() for values in drawn.values()):
        yield Plot(
            "What the mesh found to do",
            TIME,
            Axis("gap, share [-]"),
            build_series(times, drawn, style="step"),
            caption="The gap is (1 - mean cos d) times the locking of each bridge.",
        )


def _read_shares(text: Any) -> tuple[float, ...]:
    """Read a cell of the column of shares; empty where there are none."""
    try:
        values = parse_json(text) if isinstance(text, str) else None
    except ValueError:
        return ()
    numbers = map(to_number, values) if isinstance(values, list) else ()
    return tuple(number for number in numbers if number is not None)


def _spread(
    table: F64Array, means_hz: F64Array, ratio: float, top_hz: float
) -> F64Array:
    """Return the frequency of every share in every row [Hz], none above the top."""
    with np.errstate(all="ignore"):  # shares that a damaged file holds
        return np.array(
            [
                Shares(tuple(counts), ratio).spread(mean_hz, top_hz)
                for counts, mean_hz in zip(
                    np.rint(1e9 * table).astype(np.int64).tolist(),
                    means_hz.tolist(),
                    strict=True,
                )
            ]
        )


def _draw_busiest(times: F64Array, table: F64Array, spread: F64Array) -> Plot:
    """Draw which share of the events the bridges that act most often take."""
    with np.errstate(all="ignore"):
        columns = {
            f"busiest {part:.0%}": np.array(
                [
                    _find_share_of_busiest(hz, shares, part)
                    for hz, shares in zip(spread, table, strict=True)
                ]
            )
            for part in PARTS
        }
    return Plot(
        "Where the events go",
        TIME,
        Axis("share of the events [-]"),
        build_series(times, columns, style="step"),
        caption="Of the bridges that share the budget, those that act most often. Were "
        "all alike, the busiest 10% would take 10%.",
    )


def _describe_paths(paths: Mapping[str, Any]) -> Iterator[str]:
    """Say what was rewired and what it gained."""
    count, moved = to_number(paths.get("rewirings")), to_number(paths.get("retired"))
    if count is None or moved is None:
        return
    text = f"Bridges were rewired {_count_times(count)}, {moved:,.0f} in all"
    before, after = (
        to_number(dig(paths, "last", f"coherence_{when}"))
        for when in ("before", "after")
    )
    if before is not None and after is not None:
        text += (
            f"; the last time, r of the linearised state went from {before:.4f} to "
            f"{after:.4f}"
        )
    yield f"{text}."


def _list_paths(paths: Mapping[str, Any]) -> Iterator[Table]:
    """Lay out what was rewired, then the last report as it is."""
    rows: list[tuple[Cell, ...]] = [
        (name, to_number(paths.get(key))) for key, name in PATH_ROWS if key in paths
    ]
    last = paths.get("last")
    for key, value in last.items() if isinstance(last, Mapping) else ():
        number = to_number(value)
        if number is not None:
            rows.append((f"last: {key.replace('_', ' ')}", number))
    if rows:
        yield Table("What was rewired", ("figure", "value"), tuple(rows))

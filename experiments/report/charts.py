"""Plots of a run's time series, thinned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from experiments.report.document import Axis, Plot, Rule, Series
from experiments.report.records import RunRecord
from experiments.report.resources import GPU_BUSY, POWER, TEMPERATURE
from experiments.report.thinning import (
    F64Array,
    build_bands,
    find_kept_rows,
    round_values,
)

TIME: Final = Axis("simulated time [s]")
QUIET_STATE: Final = "nominal"


def build_series(
    times: F64Array,
    columns: Mapping[str, F64Array],
    *,
    style: str = "line",
    floor: float | None = None,
) -> tuple[Series, ...]:
    """Thin columns over a common time together.

    Args:
        times: Simulated time of each row [s].
        columns: Values by the name in the legend.
        style: line, step or dots.
        floor: Values at or below it become gaps, as a logarithmic axis wants it.
    """
    drawn = dict(columns)
    if floor is not None:
        drawn = {k: np.where(v > floor, v, np.nan) for k, v in drawn.items()}
    kept = find_kept_rows(list(drawn.values()))
    x = round_values(times[kept])
    return tuple(
        Series(name, x, round_values(values[kept]), style)
        for name, values in drawn.items()
    )


def build_run_plots(
    record: RunRecord, resources: Mapping[str, F64Array]
) -> tuple[Plot, ...]:
    """Build the plots of a run, those for which there is something to show.

    Args:
        record: What the folder holds.
        resources: What the trace saw of the machine.
    """
    series, trace = record.series, record.trace
    if not len(series.get("simulated_s", ())) or "coherence" not in series:
        return ()
    plots: list[Plot | None] = [draw_coherence(record), _draw_settled(record)]
    if record.number("bridges") != 0 and "frequency_hz" in series:
        plots.append(draw_frequency(record))
    seen_s = trace.get("simulated_s")
    if seen_s is not None and len(seen_s):
        plots += draw_machine(seen_s, _with_availability(trace, resources))
    plots += [_draw_load(record), _draw_wall_time(record), _draw_defects(record)]
    return tuple(plot for plot in plots if plot is not None)


def draw_coherence(record: RunRecord) -> Plot:
    """Draw r and the local coherence, the floor, and what state the controller was in.

    Args:
        record: A run with a time series.
    """
    series, times = record.series, record.series["simulated_s"]
    columns = {"r": series["coherence"]}
    if "local_coherence" in series:
        columns["local coherence"] = series["local_coherence"]
    floor = find_floor(record)
    states = series.get("state")
    bands = () if states is None else build_bands(times, states, QUIET_STATE)
    return Plot(
        "Coherence",
        TIME,
        Axis("coherence [-]"),
        build_series(times, columns),
        () if floor is None else (Rule(floor, f"floor {floor:g}"),),
        bands,
        "Bands: states of the controller other than nominal." if bands else "",
    )


def _draw_settled(record: RunRecord) -> Plot | None:
    """Draw r closer, from the time on at which it first reached the floor."""
    floor, settled_s = (
        find_floor(record),
        record.number("coherence", "settled_at_seconds"),
    )
    times, coherence = record.series["simulated_s"], record.series["coherence"]
    if floor is None or settled_s is None or np.sum(times >= settled_s) < 3:
        return None
    late = times >= settled_s
    return Plot(
        "Coherence once settled",
        TIME,
        Axis("coherence [-]"),
        build_series(times[late], {"r": coherence[late]}),
        (Rule(floor, f"floor {floor:g}"),),
        caption=f"From {settled_s:.4g} s on, closer.",
    )


def find_floor(record: RunRecord) -> float | None:
    """Return the coherence floor of a run [-], or None where it is unknown.

    Args:
        record: What the folder holds.
    """
    found = record.number("coherence", "floor")
    asked = record.setting("tunnel", "min_coherence")
    return found if found is not None or not isinstance(asked, float) else asked


def draw_frequency(record: RunRecord) -> Plot:
    """Draw the tunnel frequency between what was offered and required.

    Args:
        record: A run with a time series.
    """
    names = (
        ("offered", "offered_hz"),
        ("required", "required_hz"),
        ("used", "frequency_hz"),
    )
    series = record.series
    columns = {name: series[key] for name, key in names if key in series}
    return Plot(
        "Tunnel frequency",
        TIME,
        Axis("frequency [Hz]", "log"),
        build_series(series["simulated_s"], columns, style="step", floor=0.0),
        caption="Used is the greater of what the machine offers and what the coherence "
        "requires.",
    )


def draw_machine(times: F64Array, columns: Mapping[str, F64Array]) -> list[Plot]:
    """Draw shares, power and temperature of the machine.

    Args:
        times: Simulated time of each decision [s].
        columns: Quantities by name, as `read_resources` names them.
    """
    power, heat = _pick(columns, POWER), _pick(columns, TEMPERATURE)
    shares = {k: v for k, v in columns.items() if k not in power and k not in heat}
    groups = (
        ("Utilisation", "share [-]", shares),
        ("Power", "power [W]", power),
        ("Temperature", "temperature [°C]", heat),
    )
    return [
        Plot(title, TIME, Axis(label), build_series(times, drawn, style="step"))
        for title, label, drawn in groups
        if drawn
    ]


def _pick(columns: Mapping[str, F64Array], quantity: str) -> dict[str, F64Array]:
    return {name: v for name, v in columns.items() if name.endswith(f": {quantity}")}


def _with_availability(
    trace: Mapping[str, npt.NDArray[np.float64]], resources: Mapping[str, F64Array]
) -> dict[str, F64Array]:
    found = {"availability": trace["availability"]} if "availability" in trace else {}
    busy_last = sorted(resources, key=lambda name: name.endswith(GPU_BUSY))
    return found | {name: resources[name] for name in busy_last}


def _draw_load(record: RunRecord) -> Plot | None:
    """Draw what a real load asked for and achieved, if there was one."""
    names = (("asked", "load_asked"), ("achieved", "load_achieved"))
    columns = {name: record.series[k] for name, k in names if k in record.series}
    if not any(np.isfinite(values).any() for values in columns.values()):
        return None
    return Plot(
        "Load on the cores",
        TIME,
        Axis("share [-]"),
        build_series(record.series["simulated_s"], columns, style="step"),
    )


def _draw_wall_time(record: RunRecord) -> Plot | None:
    """Draw what each control period took, by stage."""
    names = (("lattice", "lattice_s"), ("tunnel", "tunnel_s"))
    columns = {
        name: 1e3 * record.series[key] for name, key in names if key in record.series
    }
    if not columns:
        return None
    return Plot(
        "Wall time of a control period",
        TIME,
        Axis("wall time [ms]", "log"),
        build_series(record.series["simulated_s"], columns, floor=0.0),
    )


def _draw_defects(record: RunRecord) -> Plot | None:
    """Draw vortices and windings, if there were any."""
    names = (("vortices", "vortex_count"), ("winding [turn]", "winding_turns"))
    columns = {name: record.series[k] for name, k in names if k in record.series}
    if not any(_is_any(values) for values in columns.values()):
        return None
    return Plot(
        "Topological defects",
        TIME,
        Axis("count [-]"),
        build_series(record.series["simulated_s"], columns, style="step"),
    )


def _is_any(values: Iterable[float]) -> bool:
    return bool(np.any(np.abs(np.nan_to_num(np.asarray(list(values)))) > 0.0))


def list_shares(labels: Sequence[str], times: F64Array) -> list[tuple[str, float]]:
    """Return each label's share of the time [-], the greatest first.

    Args:
        labels: Label of the period that ends at each row.
        times: End of each period [s], ascending.
    """
    spans = np.diff(times, prepend=0.0)
    total = float(spans.sum())
    if not total > 0.0:
        return []
    found: dict[str, float] = {}
    for label, span in zip(labels, spans.tolist(), strict=True):
        found[str(label)] = found.get(str(label), 0.0) + span / total
    return sorted(found.items(), key=lambda item: -item[1])

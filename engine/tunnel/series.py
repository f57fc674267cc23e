"""Series: every metric beyond the counters of `TunnelMetrics`, as one table.

A run leaves no value here. A scrape asks for readings, so a run that nobody watches
pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from prometheus_client import Metric

Labelled = Mapping[tuple[str, ...], float]
"""Values by the values of their labels."""
Reading = float | Labelled | Mapping[str, str] | Mapping[str, bool] | None
"""A number, labelled numbers, an info, a state set, or None where unknown."""
Readings = Mapping[str, Reading]
"""Readings by the name of their series."""

GPU_LABELS = ("gpu", "uuid")


@dataclass(frozen=True)
class Series:
    """One metric as Prometheus knows it."""

    name: str
    """Full name without the suffixes `_total` and `_info`."""
    kind: str
    """counter, gauge, info or stateset."""
    meaning: str
    """One line, its unit last."""
    labels: tuple[str, ...] = ()
    """Names of its labels."""


SERIES = (
    Series("scribble_run", "info", "What runs: the run folder and the main choices"),
    Series("scribble_simulated_seconds", "counter", "Simulated time so far [s]"),
    Series("scribble_target_simulated_seconds", "gauge", "Simulated time at the end"
           " of the run [s]"),
    Series("scribble_progress_ratio", "gauge", "Share of the lattice steps done [-]"),
    Series("scribble_remaining_seconds", "gauge", "Wall time until the end at the"
           " mean speed so far [s]"),
    Series("scribble_wall_seconds", "counter", "Wall time in the loop so far [s]"),
    Series("scribble_steps", "counter", "Lattice steps so far [-]"),
    Series("scribble_periods", "counter", "Control periods by the state that they"
           " were decided in [-]", ("state",)),
    Series("scribble_nodes", "gauge", "Oscillators [-]"),
    Series("scribble_bridges", "gauge", "Quantum bridges [-]"),
    Series("scribble_coherence_floor_ratio", "gauge", "Least coherence that is allowed,"
           " tunnel.min_coherence [-]"),
    Series("scribble_coherence_margin_ratio", "gauge", "Coherence kept above the floor"
           " against noise [-]"),
    Series("scribble_local_coherence_ratio", "gauge", "Mean cosine over the lattice"
           " edges [-]"),
    Series("scribble_floor_violations", "counter", "Control periods that ended below"
           " the floor after it was first reached [-]"),
    Series("scribble_chosen_frequency_hertz", "gauge", "Tunnel frequency in use [Hz]"),
    Series("scribble_offered_frequency_hertz", "gauge", "Tunnel frequency that the"
           " resources ask for [Hz]"),
    Series("scribble_required_frequency_hertz", "gauge", "Tunnel frequency that the"
           " coherence asks for [Hz]"),
    Series("scribble_maximum_frequency_hertz", "gauge", "Top of the ladder [Hz]"),
    Series("scribble_controller_state", "stateset", "State of the last decision, 1 for"
           " the one that holds", ("scribble_controller_state",)),
    Series("scribble_node_step_seconds", "gauge", "Wall time per node and lattice step,"
           " running mean [s]"),
    Series("scribble_event_seconds", "gauge", "Wall time per tunnel event, running"
           " mean [s]"),
    Series("scribble_stage_seconds", "counter", "Wall time by stage of the loop [s]",
           ("stage",)),
    Series("scribble_resource_availability_ratio", "gauge", "Share of one resource"
           " free [-]", ("resource",)),
    Series("scribble_sensor_age_seconds", "gauge", "Age of the resource sample at the"
           " last decision [s]"),
    Series("scribble_idle_cores", "gauge", "Cores left for this run, its own use"
           " included [-]"),
    Series("scribble_used_cores", "gauge", "Cores that this run uses [-]"),
    Series("scribble_resident_memory_bytes", "gauge", "Resident memory of this run"
           " [byte]"),
    Series("scribble_available_memory_bytes", "gauge", "Memory that can still be taken"
           " [byte]"),
    Series("scribble_gpu_utilization_ratio", "gauge", "Share of time in which some"
           " kernel ran [-]", GPU_LABELS),
    Series("scribble_gpu_memory_used_bytes", "gauge", "Device memory in use by anyone"
           " [byte]", GPU_LABELS),
    Series("scribble_gpu_power_watts", "gauge", "Board power [W]", GPU_LABELS),
    Series("scribble_gpu_temperature_celsius", "gauge", "Core temperature [deg C]",
           GPU_LABELS),
    Series("scribble_gpu_energy_joules", "counter", "Energy since the driver was"
           " loaded [J]", GPU_LABELS),
    Series("scribble_errors", "counter", "What went wrong without ending the run, by"
           " kind [-]", ("kind",)),
)  # fmt: skip
"""In the order of the page."""


class ReadingCollector:
    """Asks for readings at every scrape and puts them into families."""

    def __init__(self, read: Callable[[], Readings]) -> None:
        """Keep what to ask.

        Args:
            read: Called from the thread that answers; a series it does not name, or
                whose reading is None, is left out.
        """
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: readings exist only while a run does."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Build the family of every known reading, in the order of the table."""
        readings = self._read()
        known = ((series, readings.get(series.name)) for series in SERIES)
        return [
            _build_family(series, reading)
            for series, reading in known
            if reading is not None and reading != {}
        ]


def _build_family(series: Series, reading: Reading) -> Metric:
    """Put one reading into the family of its kind."""
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        InfoMetricFamily,
        StateSetMetricFamily,
    )

    if series.kind == "info":
        texts = cast("dict[str, str]", reading)
        return InfoMetricFamily(series.name, series.meaning, value=texts)
    if series.kind == "stateset":
        states = cast("dict[str, bool]", reading)
        return StateSetMetricFamily(series.name, series.meaning, value=states)
    kind = CounterMetricFamily if series.kind == "counter" else GaugeMetricFamily
    family = kind(series.name, series.meaning, labels=series.labels)
    values = reading if isinstance(reading, Mapping) else {(): reading}
    values = cast("Labelled", values)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family

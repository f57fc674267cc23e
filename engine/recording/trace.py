"""The trace: every resource sample and decision, enough to replay a run to the bit."""

from __future__ import annotations

import bisect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import RecordError
from engine.monitor import ResourceMetrics

TRACE_FILE = "trace.parquet"


class MetricsEncoder:
    """Turns resource metrics into JSON text, once per sample."""

    def __init__(self) -> None:
        """Start with no sample seen."""
        self._sample: tuple[Any, ...] = ()
        self._text = ""

    def encode(self, metrics: ResourceMetrics) -> str:
        """Return the metrics as JSON; age, staleness and flaw have their columns."""
        sample = (metrics.timestamp_s, metrics.cores, metrics.memory, metrics.gpus)
        if sample != self._sample:
            self._sample = sample
            self._text = json.dumps(metrics.to_dict(), separators=(",", ":"))
        return self._text


@dataclass(frozen=True)
class Trace:
    """A recorded run's inputs, one entry per decision."""

    rows: tuple[tuple[float, Mapping[str, Any]], ...]
    """Simulated time [s] and resource metrics, as `ReplaySource` takes them."""
    costs: tuple[tuple[float | None, float | None], ...]
    """Seconds per node step and per event that the controller knew."""

    def costs_at(self, simulated_s: float) -> tuple[float | None, float | None]:
        """Look up what the controller knew of the costs at a time.

        Args:
            simulated_s: Simulated time [s].

        Returns:
            The costs of the last decision at or before that time.
        """
        index = bisect.bisect_right(self.rows, simulated_s, key=lambda row: row[0])
        return self.costs[max(0, index - 1)]


def read_trace(path: str | Path) -> Trace:
    """Read a trace for replay.

    Args:
        path: `trace.parquet`, or the run folder that holds it.

    Returns:
        The recorded inputs.

    Raises:
        RecordError: The file is absent, damaged, empty or no trace.
    """
    from pyarrow import parquet

    file = Path(path)
    try:
        file = file / TRACE_FILE if file.is_dir() else file
        columns = parquet.read_table(file).to_pydict()
        rows = tuple(
            (
                float(at),
                {
                    **json.loads(text),
                    "age_s": age,
                    "is_stale": bool(stale),
                    "flaw": flaw or "",
                },
            )
            for at, text, age, stale, flaw in zip(
                columns["simulated_s"],
                columns["metrics"],
                columns["age_s"],
                columns["is_stale"],
                columns.get("sensor_flaw", [None] * len(columns["age_s"])),
                strict=True,
            )
        )
        costs = tuple(zip(columns["node_step_s"], columns["event_s"], strict=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{file} cannot be read as a trace ({error}); name the folder of a "
            "finished run, or its trace.parquet."
        ) from error
    if not rows:
        raise RecordError(f"{file} holds no decision; name a run that has started.")
    return Trace(rows, costs)

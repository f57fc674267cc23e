"""The trace: every resource sample and decision, enough to replay a run to the bit."""

from __future__ import annotations

import bisect
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.errors import RecordError
from engine.intake import IntakeError, describe, parse_json, read_table, take_mapping
from engine.monitor import ResourceMetrics
from engine.state import State, check_inputs, keep_fields, take_fields

TRACE_FILE = "trace.parquet"
READ_COLUMNS: Final = (
    "simulated_s",
    "metrics",
    "age_s",
    "is_stale",
    "node_step_s",
    "event_s",
    "sensor_flaw",
)
"""Columns that a replay needs; the last one came later, older traces lack it."""

Columns = Mapping[str, npt.NDArray[Any]]


class MetricsEncoder:
    """Turns resource metrics into JSON text, once per sample."""

    def __init__(self) -> None:
        """Start with no sample seen."""
        self._sample: tuple[Any, ...] = ()
        self._text = ""

    def encode(self, metrics: ResourceMetrics) -> str:
        """Return the metrics as JSON; age, staleness and flaw have their columns."""
        sample = _name_sample(metrics)
        if sample != self._sample:
            self._sample = sample
            self._text = json.dumps(metrics.to_dict(), separators=(",", ":"))
        return self._text

    def to_state(self) -> State:
        """Return the last text: it holds the age at which its sample was first seen."""
        return keep_fields(self, "_text")

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on with a sample that was told of.

        Raises:
            CheckpointError: It is not one of an encoder.
            RecordError: The text is none of metrics.
        """
        take_fields(self, state, "_text")
        if self._text:
            metrics = ResourceMetrics.from_dict(take_mapping(json.loads(self._text)))
            self._sample = _name_sample(metrics)


def _name_sample(metrics: ResourceMetrics) -> tuple[Any, ...]:
    """Return what tells samples apart."""
    return (metrics.timestamp_s, metrics.cores, metrics.memory, metrics.gpus)


@dataclass(frozen=True)
class Trace:
    """A recorded run's inputs, one entry per decision."""

    rows: tuple[tuple[float, ResourceMetrics], ...]
    """Simulated time [s] and resource metrics, as `ReplaySource` takes them."""
    costs: tuple[tuple[float | None, float | None], ...]
    """Seconds per node step and per event that the controller knew."""
    digest: str = ""
    """SHA-256 of the file that it was read from."""

    def to_state(self) -> State:
        """Return what tells this recording from another."""
        return {"inputs": self.digest}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Check that it is the recording that the run began with.

        Raises:
            CheckpointError: It is another.
        """
        check_inputs("recorded resources", self.digest, state["inputs"])

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
    file = Path(path)
    try:
        file = file / TRACE_FILE if file.is_dir() else file
        columns = read_table(file, READ_COLUMNS)
        rows, costs = tuple(_list_rows(columns)), tuple(_list_costs(columns))
        trace = Trace(rows, costs, _digest_file(file))
    except Exception as error:  # PyArrow has many
        raise RecordError(
            f"{file} cannot be read as a trace ({describe(error)}); name the folder of "
            "a finished run, or its trace.parquet."
        ) from error
    if not trace.rows:
        raise RecordError(f"{file} holds no decision; name a run that has started.")
    return trace


def _digest_file(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _list_rows(columns: Columns) -> Iterator[tuple[float, ResourceMetrics]]:
    """Rebuild the samples; rows with the same text share what it tells."""
    ages = columns["age_s"].astype(np.float64)
    if not (ages >= 0.0).all():
        raise IntakeError("a sample has no age")
    times, texts, stale = (
        columns[name].tolist() for name in ("simulated_s", "metrics", "is_stale")
    )
    flaws = columns["sensor_flaw"].tolist() if "sensor_flaw" in columns else None
    flaws = [None] * len(texts) if flaws is None else flaws
    samples: dict[str, ResourceMetrics] = {}
    for at, text, *seen in zip(times, texts, ages.tolist(), stale, flaws, strict=True):
        own = {"age_s": seen[0], "is_stale": bool(seen[1]), "flaw": seen[2] or ""}
        if text not in samples:
            told = take_mapping(parse_json(text))
            samples[text] = ResourceMetrics.from_dict({**told, **own})
        sample = samples[text]
        is_alike = all(getattr(sample, name) == value for name, value in own.items())
        yield float(at), sample if is_alike else replace(sample, **own)


def _list_costs(columns: Columns) -> Iterator[tuple[float | None, float | None]]:
    """List the costs that were known, None where none was."""
    pairs = (columns[name].astype(np.float64) for name in ("node_step_s", "event_s"))
    for costs in zip(*(column.tolist() for column in pairs), strict=True):
        if any(cost < 0.0 or cost == math.inf for cost in costs):
            raise IntakeError(f"a step or an event took {min(costs):g} s")
        node_step_s, event_s = (None if math.isnan(cost) else cost for cost in costs)
        yield node_step_s, event_s

"""What is asked when: the profiles of synthetic loads, and recorded utilisation.

Imports `engine.config`, `engine.errors` and `engine.monitor`.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from engine.config import GeneratorConfig, LoadConfig
from engine.errors import RecordError
from engine.intake import IntakeError, describe, parse_json, read_table
from engine.monitor.sources import evaluate_load

READ_COLUMNS: Final = ("metrics", "time_s", "utilisation")
"""Columns of which a table may hold the first, or the other two."""
Weight = Callable[[float], float]
"""Time since the load began [s] -> weight of the peak [-], in [0, 1]."""


def build_weight(config: GeneratorConfig) -> Weight:
    """Build the profile as the weight of the peak over time.

    Args:
        config: Names the profile, its times and its trace.

    Returns:
        0 off the peak, 1 at the peak.

    Raises:
        RecordError: The trace cannot be read.
    """
    if config.profile == "trace":
        return Series(*read_utilisation(Path(config.trace or "")))
    shape = LoadConfig(
        profile=config.profile,
        level=1.0,
        base_level=0.0,
        start_s=config.start_s,
        period_s=config.period_s,
        seed=config.seed,
    )
    return lambda time_s: evaluate_load(shape, time_s)


class Series:
    """Recorded utilisation: the last figure at or before a time holds.

    Args:
        times_s: Times, not decreasing [s].
        shares: Utilisation at these times [-], each in [0, 1].
    """

    def __init__(self, times_s: Sequence[float], shares: Sequence[float]) -> None:
        self._times_s = [time_s - times_s[0] for time_s in times_s]
        self._shares = list(shares)

    @property
    def duration_s(self) -> float:
        """Time of the last figure; it holds from there on [s]."""
        return self._times_s[-1]

    def __call__(self, time_s: float) -> float:
        """Look a time up.

        Args:
            time_s: Time since the beginning [s].

        Returns:
            Utilisation [-].
        """
        index = bisect.bisect_right(self._times_s, time_s) - 1
        return self._shares[max(0, index)]


def read_utilisation(path: Path) -> tuple[list[float], list[float]]:
    """Read utilisation over time from a run folder, its trace, or a table.

    Of a run's trace it is what others used of the cores allowed to the run, at the
    times of the monitor's samples.

    Args:
        path: Run folder, folder of `scribble load`, or Parquet file with the columns
            `time_s` [s] and `utilisation` [-].

    Returns:
        Times [s], not decreasing, and shares [-], clipped to [0, 1]; never empty.

    Raises:
        RecordError: The file is absent, damaged, or holds no utilisation.
    """
    file = path
    if path.is_dir():
        names = [path / name for name in ("trace.parquet", "load.parquet")]
        file = next((name for name in names if name.is_file()), names[0])
    try:
        points = list(_list_points(read_table(file, READ_COLUMNS)))
    except Exception as error:  # PyArrow has many
        raise RecordError(
            f"trace {file} cannot be read as utilisation over time "
            f"({describe(error)}); name a run folder, or a Parquet table with the "
            "columns time_s and utilisation."
        ) from error
    if not points:
        raise RecordError(f"trace {file} holds no utilisation; name another.")
    times_s = [time_s for time_s, _ in points]
    if times_s != sorted(times_s):
        raise RecordError(f"trace {file} goes back in time; sort its rows by time_s.")
    return times_s, [min(1.0, max(0.0, share)) for _, share in points]


def _list_points(columns: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """List times and shares, without rows that hold no share."""
    pairs = (
        zip(columns["time_s"].tolist(), columns["utilisation"].tolist(), strict=True)
        if "metrics" not in columns
        else _list_samples(columns["metrics"].tolist())
    )
    for time_s, share in pairs:
        if share is None or math.isnan(share):
            continue
        if not math.isfinite(time_s):
            raise IntakeError(f"a time in it is {time_s:g} s")
        yield float(time_s), float(share)


def _list_samples(texts: Iterable[str]) -> Iterator[tuple[float, float | None]]:
    """List times and shares of the samples in a run's trace, each sample once."""
    before_s = None
    for text in texts:
        row = parse_json(text)
        cores, time_s = row["cores"], float(row["timestamp_s"])
        if cores["others_cores"] is None or time_s == before_s:
            continue
        before_s = time_s
        yield time_s, cores["others_cores"] / cores["allowed_cores"]

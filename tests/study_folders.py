"""Sweeps for the tests of studies, of jobs whose figures a test can know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from engine.config import ControllerConfig, RunConfig
from engine.recording import to_yaml
from tests.report_folders import build_summary


class SweepFolder:
    """Writes the jobs of a sweep, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def add(
        self,
        words: Sequence[str],
        *,
        config: Mapping[str, Any] | None = None,
        status: str = "done",
        memory: int | None = None,
        **figures: Any,
    ) -> Path:
        """Write a job; figures of `build_summary`, then keys of the summary itself."""
        folder = self.folder / str(self.count)
        folder.mkdir(parents=True)
        entry = {
            "job": self.count, "overrides": list(words), "status": status,
            "exit_code": 0 if status == "done" else 1, "peak_memory_bytes": memory,
            "message": "" if status == "done" else "It broke.",
        }  # fmt: skip
        (folder / "status.json").write_text(json.dumps(entry), "utf-8")
        self.count += 1
        if status == "done":
            made = asdict(replace(RunConfig(), **(config or {})))
            (folder / "config.yaml").write_text(to_yaml(made), "utf-8")
            more = figures.pop("summary", {})
            summary = build_summary(**figures) | more
            (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
        return folder

    def add_controlled(
        self, objective: str, hz: float, r: float, *, seed: int = 0, **figures: Any
    ) -> Path:
        """Write a job of an objective that worked at a frequency with an r."""
        fixed_hz = hz if objective == "fixed" else 102.0
        words = [
            f"seed={seed}",
            f"controller={objective}",
            f"controller.fixed_frequency_hz={fixed_hz:g}",
        ]
        controller = ControllerConfig(objective, fixed_frequency_hz=fixed_hz)
        config = {"seed": seed, "controller": controller}
        return self.add(words, config=config, coherence=r, frequency_hz=hz, **figures)


def write_series(folder: Path, columns: Mapping[str, Sequence[float]]) -> None:
    """Write the time series of a job."""
    parquet.write_table(pa.table(dict(columns)), folder / "timeseries.parquet")

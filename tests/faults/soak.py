"""A long run in a process of its own, which looks at itself while it goes on.

Called as `python -m tests.faults.soak FOLDER SECONDS SAMPLES`; writes what it has seen
to `FOLDER.json`, beside the run folder.
"""

from __future__ import annotations

import gc
import io
import json
import statistics
import sys
import urllib.request
from collections.abc import Sized
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from rich.console import Console

from engine.config import (
    BackendConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    MeshConfig,
    MetricsConfig,
    ObserveConfig,
    RecordConfig,
    RunConfig,
)
from engine.system import Progress, ScribbleSystem
from experiments.views.live import LiveView

WATCHED_PERIODS = 24
"""Control periods after each sample whose work is counted."""


def build_config(folder: Path, duration_s: float, samples: int) -> RunConfig:
    """Switch on all that a long run would have.

    The square load and the snapshots keep time with the samples, so that each sample
    finds the run at the same point of all that comes and goes.
    """
    every_s = duration_s / samples
    # Ten checkpoints from sample to sample; the time between two holds the load's
    # square wave whole.
    checkpoint_s = every_s / 10.0
    return RunConfig(
        lattice=LatticeConfig(shape=(8, 8)),
        dynamics=DynamicsConfig(dt_s=0.001, duration_s=duration_s),
        controller=ControllerConfig(objective="headroom", period_steps=100),
        backend=BackendConfig(name="cpu", threads=1),
        load=LoadConfig(
            kind="synthetic", profile="square", period_s=checkpoint_s, level=0.9
        ),
        mesh=MeshConfig(rule="plastic"),
        observe=ObserveConfig(
            snapshot_every_s=checkpoint_s,
            frequency_window_s=every_s / 2.0,
            probe_count=8,
        ),
        metrics=MetricsConfig(http=True),
        record=RecordConfig(
            folder=str(folder),
            checkpoint_every_s=checkpoint_s,
            checkpoint_wall_s=None,
        ),
    )


@dataclass(frozen=True)
class Sample:
    """What the process holds, and what it does, at one time."""

    period: int
    """Control periods so far."""
    rss_bytes: int
    """Resident memory."""
    blocks: int
    """Memory blocks that Python's allocator has given out."""
    entries: int
    """Entries of all containers that the collector knows."""
    files: int
    """Files in the run folder and below."""
    checkpoint_bytes: int
    """Size of the newest checkpoint."""
    lines: list[int] = field(default_factory=list)
    """Lines of Python run in each of the periods that follow."""


class Watch:
    """Takes samples between control periods."""

    def __init__(self, folder: Path, samples: int, periods: int) -> None:
        """Look `samples` times, evenly."""
        self.samples: list[Sample] = []
        self._folder = folder
        self._every = periods // samples
        self._period = 0
        self._lines = 0
        self._process = psutil.Process()

    def look(self, _: Progress) -> None:
        """Take in the end of a control period."""
        self._period += 1
        since = self._period % self._every
        if since == 0:
            self._scrape()
            self.samples.append(self._take())
            sys.settrace(self._trace)
        elif self.samples and since <= WATCHED_PERIODS:
            self.samples[-1].lines.append(self._lines)
            if since == WATCHED_PERIODS:
                sys.settrace(None)
        self._lines = 0

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """Count lines of Python, in whatever thread runs the loop."""
        if event == "line":
            self._lines += 1
        return self._trace

    def _scrape(self) -> None:
        record = json.loads((self._folder / "metrics.json").read_text("utf-8"))
        address = f"http://{record['address']}:{record['port']}/metrics"
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"scribble_steps" in answer.read()

    def _take(self) -> Sample:
        gc.collect()
        blocks = sys.getallocatedblocks()
        files = [path for path in self._folder.rglob("*") if path.is_file()]
        newest = max(self._folder.glob("checkpoints/*.ckpt"))
        return Sample(
            self._period,
            self._process.memory_info().rss,
            blocks,
            sum(len(held) for held in gc.get_objects() if _is_plain(held)),
            len(files),
            newest.stat().st_size,
        )


def _is_plain(held: object) -> bool:
    """Whether something is a container whose length costs nothing to ask for."""
    return isinstance(held, list | dict | set | tuple) and isinstance(held, Sized)


def main(folder: Path, duration_s: float, samples: int) -> None:
    """Run, and write what was seen."""
    config = build_config(folder, duration_s, samples)
    dynamics, steps = config.dynamics, config.controller.period_steps
    watch = Watch(folder, samples, dynamics.step_count // steps)
    console = Console(file=io.StringIO(), force_terminal=True, width=120)

    with ScribbleSystem(config) as system:
        detunings = system.lattice.detunings_hz
        start = int(system.lattice.phases.sum(dtype="uint64"))
        with LiveView(console, system.description) as view:

            def look(progress: Progress) -> None:
                view.show(progress)
                console.file.seek(0)
                console.file.truncate()
                watch.look(progress)

            summary = system.run(look)
    seen = {
        "status": summary.status,
        "periods": dynamics.step_count // steps,
        "detuning_sum_hz": float(detunings.sum(dtype="float64")),
        "start_sum": start,
        "coupling_rad_s": config.lattice.coupling_rad_s,
        "dt_s": dynamics.dt_s,
        "samples": [asdict(sample) for sample in watch.samples],
        "median_lines": [statistics.median(s.lines or [0]) for s in watch.samples],
    }
    folder.with_suffix(".json").write_text(json.dumps(seen), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))

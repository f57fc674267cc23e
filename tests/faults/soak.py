"""A long run in a process of its own, which looks at itself while it goes on.

Called as `python -m tests.faults.soak FOLDER SECONDS SAMPLES live|quiet`; writes what
it has seen to `FOLDER.json`, beside the run folder. The live view is rich's, whose
caches take some thousand texts to fill, too many for a short run.
"""

from __future__ import annotations

import gc
import io
import json
import sys
import urllib.request
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
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
from engine.constants import TURN
from engine.system import Progress, ScribbleSystem
from experiments.views.live import LiveView

WATCHED_PERIODS = 24
"""Control periods after each sample whose work is counted."""
DT_S, PERIOD_STEPS = 0.001, 100
"""The longest time step that the natural frequencies allow, nearly."""
CONTAINERS = (list, dict, set, tuple, deque)


def build_config(folder: Path, duration_s: float, samples: int) -> RunConfig:
    """Switch on all that a long run would have.

    Load, snapshots and checkpoints keep time with the samples, so that each sample
    finds the run at the same point of all that comes and goes.
    """
    # Ten of each from sample to sample. Nodes are watched after the last sample but
    # one, for counting their turns is work that begins there.
    every_s = duration_s / samples / 10.0
    return RunConfig(
        lattice=LatticeConfig(shape=(8, 8)),
        dynamics=DynamicsConfig(dt_s=DT_S, duration_s=duration_s),
        controller=ControllerConfig(objective="headroom", period_steps=PERIOD_STEPS),
        backend=BackendConfig(name="cpu", threads=1),
        load=LoadConfig(
            kind="synthetic", profile="square", period_s=every_s, level=0.9
        ),
        mesh=MeshConfig(rule="plastic"),
        observe=ObserveConfig(
            snapshot_every_s=every_s,
            frequency_window_s=5.0 * every_s,
            probe_count=8,
        ),
        metrics=MetricsConfig(http=True),
        record=RecordConfig(
            folder=str(folder), checkpoint_every_s=every_s, checkpoint_wall_s=None
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
    """Least lines of Python run in one of the periods that follow; empty at the end."""


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
            lines = self.samples[-1].lines
            lines[:] = [min(*lines, self._lines) if lines else self._lines]
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
            sum(len(held) for held in gc.get_objects() if type(held) in CONTAINERS),
            len(files),
            newest.stat().st_size,
        )


def main(folder: Path, duration_s: float, samples: int, *, is_live: bool) -> None:
    """Run, and write what was seen."""
    config = build_config(folder, duration_s, samples)
    periods = config.dynamics.step_count // PERIOD_STEPS
    watch = Watch(folder, samples, periods)
    page = io.StringIO()
    console = Console(file=page, force_terminal=True, width=120)
    with ScribbleSystem(config) as system:
        before = dict(_read_start(system))
        with LiveView(console, system.description) as view:

            def look(progress: Progress) -> None:
                if is_live:
                    view.show(progress)
                page.seek(0)
                page.truncate()
                watch.look(progress)

            before["status"] = system.run(look).status
    seen = {**before, "samples": [asdict(sample) for sample in watch.samples]}
    folder.with_suffix(".json").write_text(json.dumps(seen), "utf-8")


def _read_start(system: ScribbleSystem) -> Iterator[tuple[str, Any]]:
    """Read what the sum of phases must follow from."""
    # A step without a pull moves a node by dt times its detuning, rounded to float32.
    unit = np.float32(DT_S) * np.float32(TURN)
    moves = unit * np.asarray(system.lattice.detunings_hz, np.float32)
    yield "move_per_step", float(moves.sum(dtype=np.float64))
    yield "coupling_rad_s", system.config.lattice.coupling_rad_s
    yield "nodes", system.lattice.node_count


if __name__ == "__main__":
    place, seconds, looks, view_kind = sys.argv[1:]
    main(Path(place), float(seconds), int(looks), is_live=view_kind == "live")

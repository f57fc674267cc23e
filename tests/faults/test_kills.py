"""kill -9 at random moments: every run comes to the end it would have come to."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.faults.harness import SETTINGS, Killer, Ledger, start
from tests.resumed_runs import assert_same_run

SMALL = ("lattice.shape=[16,16]", "record.checkpoint_every_s=0.02")
BUSY = (
    *(
        "observe=nodes",
        "observe.snapshot_every_s=0.1",
        "observe.frequency_window_s=0.2",
    ),
    *("dynamics=inertial", "dynamics.diffusion_rad2_s=1", "bridges.directed=true"),
)
LIVING = (
    *("mesh=plastic", "mesh.period=2", "mesh.longest_period=4"),
    *("bridges.rewire_every_s=0.1", "lattice.drift_period_s=1"),
    "lattice.initial_phases=aligned",
    *("fault=flap", "fault.start_s=0.1", "fault.duration_s=0.7", "fault.period_s=0.08"),
)
"""Bridges that share a budget and move, frequencies that drift, a sensor that fails."""
KILLS_PER_RUN = 5


def run_undisturbed(folder: Path, words: tuple[str, ...]) -> float:
    """Run to the end; return the time that the process took [s]."""
    started_s = time.monotonic()
    process = start(folder, "run", "-q", "record.folder=whole", *SETTINGS, *words)
    _, trouble = process.communicate()
    assert process.returncode == 0, trouble
    return time.monotonic() - started_s


def survive(
    folder: Path, words: tuple[str, ...], kill_count: int, ledger: Ledger
) -> None:
    """Kill runs of one configuration, `kill_count` times in all, and compare them."""
    span_s = run_undisturbed(folder, words)
    dice = random.Random(4320)
    before = ledger.kills
    attempt = 0
    while (missing := kill_count - (ledger.kills - before)) > 0:
        attempt += 1
        place = folder / str(attempt)
        place.mkdir()
        killer = Killer(place, words, span_s, dice, ledger)
        cut, killed = killer.run(min(missing, KILLS_PER_RUN))
        assert_same_run(cut, folder / "whole")
        ledger.survived += killed


def test_three_kills(tmp_path: Path, ledger: Ledger) -> None:
    words = (*SMALL, "backend=reference", "dynamics.duration_s=0.5")
    survive(tmp_path, words, 3, ledger)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("words", "kill_count"),
    [
        (("backend=cpu", "dynamics.duration_s=4"), 15),
        (("backend=reference", "dynamics.duration_s=1", *BUSY), 10),
        (("backend=cpu", "dynamics.duration_s=1", *LIVING), 15),
        (
            (
                *("backend=cpu", "dynamics.duration_s=1", "bridges=procedural"),
                "controller.error_windows=3",
            ),
            10,
        ),
    ],
)
def test_fifty_kills(
    words: tuple[str, ...], kill_count: int, tmp_path: Path, ledger: Ledger
) -> None:
    survive(tmp_path, (*SMALL, *words), kill_count, ledger)

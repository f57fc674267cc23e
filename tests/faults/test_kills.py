"""kill -9 at random moments: every run comes to the end it would have come to."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.faults.harness import SETTINGS, Killer, Ledger, read_summary, start

SMALL = ("lattice.shape=[16,16]", "record.checkpoint_every_s=0.02")
BUSY = (
    *(
        "observe=nodes",
        "observe.snapshot_every_s=0.1",
        "observe.frequency_window_s=0.2",
    ),
    *("dynamics=inertial", "dynamics.diffusion_rad2_s=1", "bridges.directed=true"),
)
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
        assert_same(cut, folder / "whole")
        ledger.survived += killed


def assert_same(cut: Path, whole: Path) -> None:
    found, wanted = read_summary(cut), read_summary(whole)
    for key in ("status", "state_digest", "steps", "tunnels", "coherence"):
        assert found[key] == wanted[key], key
    for name, column in (("timeseries", "attempts"), ("trace", "frequency_hz")):
        rows = [
            parquet.read_table(folder / f"{name}.parquet")[column].to_pylist()
            for folder in (cut, whole)
        ]
        assert rows[0] == rows[1]
    names = {entry.name for entry in cut.iterdir()}
    assert names == {entry.name for entry in whole.iterdir()}


def test_three_kills(tmp_path: Path, ledger: Ledger) -> None:
    words = (*SMALL, "backend=reference", "dynamics.duration_s=0.5")
    survive(tmp_path, words, 3, ledger)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("words", "kill_count"),
    [
        (("backend=cpu", "dynamics.duration_s=4"), 20),
        (("backend=reference", "dynamics.duration_s=1", *BUSY), 20),
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

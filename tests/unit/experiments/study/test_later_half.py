"""The later half of a run is taken from its time series, else from its summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import LoadConfig
from experiments.report.jobs import read_sweep
from experiments.study.later_half import LateFigures, measure_late
from tests.study_folders import SweepFolder, write_series


def measure(folder: Path) -> LateFigures:
    return measure_late(read_sweep(folder).jobs[0])


def test_series_tells_the_later_half_apart(sweep: SweepFolder) -> None:
    folder = sweep.add(["seed=0"])
    # Bridges: 512. The second half fires 512 * 4 times in 2 s and takes 3 s for each.
    write_series(
        folder,
        {
            "simulated_s": [1.0, 2.0, 3.0, 4.0],
            "wall_s": [1.0, 2.0, 5.0, 8.0],
            "coherence": [0.1, 0.2, 0.9, 0.92],
            "attempts": [9e5, 1e6, 1e6 + 512, 1e6 + 2048],
        },
    )
    found = measure(sweep.folder)
    assert found.coherence == pytest.approx(0.91)
    assert found.least == 0.9
    assert found.frequency_hz == pytest.approx(2.0)
    assert found.pace == pytest.approx(3.0)


def test_without_a_series_the_summary_speaks(sweep: SweepFolder) -> None:
    forecast = {"forecast": {"outcome": 0.93, "frequency_hz": 47.0}}
    sweep.add(["seed=0"], coherence=0.9, frequency_hz=60.0, summary=forecast)
    assert measure(sweep.folder) == LateFigures(0.93, 0.9, 47.0, 2.0)


def test_run_without_bridges_has_no_frequency(sweep: SweepFolder) -> None:
    folder = sweep.add(["seed=0"], summary={"bridges": 0})
    names = ("simulated_s", "wall_s", "coherence", "attempts")
    write_series(folder, {name: [0.0, 1.0, 2.0, 3.0] for name in names})
    assert measure(sweep.folder).frequency_hz is None


@pytest.mark.parametrize(
    ("kind", "period_s", "mean"),
    [
        ("synthetic", 2.0, 0.75),  # two of the four periods: rows 5 to 8
        ("synthetic", 8.0, 0.7),  # the only one: rows after the first
        ("synthetic", 20.0, 0.76),  # not even one: rows 4 to 8
        ("real", 12.0, 0.75),  # of wall time: one of two, rows 5 to 8
    ],
)
def test_whole_periods_of_a_load_are_averaged(
    sweep: SweepFolder, kind: str, period_s: float, mean: float
) -> None:
    load = LoadConfig(kind=kind, profile="square", period_s=period_s)
    folder = sweep.add(["seed=0"], config={"load": load})
    steps = [float(step) for step in range(9)]
    values = [0.4, 0.6, 0.6, 0.6, 0.8, 0.7, 0.7, 0.7, 0.9]
    columns = {"simulated_s": steps, "wall_s": [3.0 * s for s in steps]}
    write_series(folder, columns | {"coherence": values, "attempts": steps})
    assert measure(sweep.folder).coherence == pytest.approx(mean)

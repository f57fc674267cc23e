"""The frequency sweep finds a known frontier, and copes with what is missing."""

from __future__ import annotations

import json
import math

import pytest

from engine.config import ControllerConfig
from experiments.report.document import HeatMap, Plot
from experiments.report.jobs import read_sweep
from experiments.study.base import Study
from experiments.study.frequency import NETWORKS_TOLD, examine
from experiments.study.frequency_frontier import build_frontiers
from tests.study_folders import SweepFolder

LADDER = (10.0, 20.0, 40.0, 80.0, 160.0, 320.0)


def find_r(hz: float, shift: float = 0.0) -> float:
    """r = 1 - (log2(f / 320))^2 / 40: 0.87 at log2(320 / f) = sqrt(5.2)."""
    return 1.0 - math.log2(320.0 / hz) ** 2 / 40.0 + shift


def fill(sweep: SweepFolder, *, seeds: int = 1, spread: float = 0.0) -> None:
    for seed in range(seeds):
        shift = spread * (seed - (seeds - 1) / 2)
        for hz in LADDER:
            r = find_r(hz, shift)
            forecast = {"forecast": {
                "outcome": r, "frequency_hz": hz, "coherence": r - 0.002,
                "difference": 0.002, "is_trusted": hz > 15.0,
            }}  # fmt: skip
            sweep.add_controlled(
                "fixed", hz, r, seed=seed, wall_s=0.1 * hz, summary=forecast
            )


def study(sweep: SweepFolder) -> Study:
    found = examine(read_sweep(sweep.folder))
    json.dumps(found.to_dict(), allow_nan=False)
    return found


def answer(found: Study, question: str) -> str:
    return next(v.answer for v in found.verdicts if v.question.startswith(question))


def test_floor_and_controller_are_found(sweep: SweepFolder) -> None:
    fill(sweep)
    sweep.add_controlled("floor", 70.0, 0.88, wall_s=7.0)
    (frontier,) = build_frontiers(read_sweep(sweep.folder))
    hz = frontier.find_floor_hz()
    assert hz is not None
    # r is 0.775 at 40 Hz and 0.9 at 80 Hz, linear in log f between them.
    assert hz == pytest.approx(40.0 * 2.0 ** ((0.87 - 0.775) / 0.125))
    ratio = frontier.compare(frontier.adaptive[0])
    assert ratio is not None
    assert ratio.mean == pytest.approx(70.0 / hz)
    assert frontier.find_pace(hz) == pytest.approx(0.1 * hz)
    found = study(sweep)
    assert f"is {hz:.4g} Hz, {4000.0 / hz:.3g} times fewer events" in found.findings[2]
    assert "missed r by 0.002 rms and 0.002 at most" in found.findings[3]
    assert "controller=floor worked at 70 Hz with an r of 0.88" in found.findings[4]
    assert answer(found, "Floor held by the controller") == "yes"
    assert answer(found, "Controller as cheap") == "yes"
    assert answer(found, "Forecast met") == "yes"


def test_knee_of_a_known_curve(sweep: SweepFolder) -> None:
    fill(sweep)
    (frontier,) = build_frontiers(read_sweep(sweep.folder))
    # The slope of the parabola equals that of its chord in the middle of the range.
    assert frontier.knee is not None
    assert frontier.knee[0] == pytest.approx(math.sqrt(10.0 * 320.0))
    assert "is at 56.57 Hz" in study(sweep).findings[1]


def test_seeds_give_an_interval(sweep: SweepFolder) -> None:
    fill(sweep, seeds=3, spread=0.01)
    (frontier,) = build_frontiers(read_sweep(sweep.folder))
    found = frontier.floor_hz
    assert found is not None and found.half_width is not None
    assert found.half_width > 0.0
    text = study(sweep).findings[2]
    assert f"{frontier.find_floor_hz():.0f} ± {found.half_width:.0f} Hz" in text
    # The same shift for every r moves no knee.
    assert frontier.knee_hz is not None
    assert frontier.knee_hz.half_width == pytest.approx(0.0, abs=1e-9)


def test_dear_controller_and_missed_floor_are_told(sweep: SweepFolder) -> None:
    fill(sweep)
    sweep.add_controlled("floor", 160.0, 0.86)
    found = study(sweep)
    assert answer(found, "Controller as cheap") == "no"
    assert answer(found, "Floor held by the controller") == "no"


def test_floor_out_of_reach_and_floor_always_held(sweep: SweepFolder) -> None:
    for hz in LADDER[:3]:
        sweep.add_controlled("fixed", hz, find_r(hz))
    text = " ".join(study(sweep).findings)
    assert "No fixed frequency holds the floor of 0.87" in text
    high = SweepFolder(sweep.folder.with_name("high"))
    for hz in LADDER[3:]:
        high.add_controlled("fixed", hz, find_r(hz))
    text = " ".join(study(high).findings)
    assert "Every fixed frequency holds the floor" in text
    assert "lies below 80 Hz" in text
    assert "no trusted forecast" in text


def test_networks_are_told_apart(sweep: SweepFolder) -> None:
    for coupling, shift in ((100, 0.0), (200, 0.05)):
        for hz in LADDER:
            words = [
                f"lattice.coupling_rad_s={coupling}",
                "controller=fixed",
                f"controller.fixed_frequency_hz={hz:g}",
            ]
            controller = ControllerConfig("fixed", fixed_frequency_hz=hz)
            sweep.add(
                words,
                config={"controller": controller},
                coherence=find_r(hz, shift),
                frequency_hz=hz,
            )
    found = study(sweep)
    assert [text.partition(":")[0] for text in found.findings] == [
        "lattice.coupling_rad_s=100",
        "lattice.coupling_rad_s=200",
    ]
    assert found.tables[0].columns[0] == "network"
    assert len(found.tables[0].rows) == 2 * len(LADDER)


def test_networks_beyond_those_told_are_counted(sweep: SweepFolder) -> None:
    for coupling in range(100, 100 + NETWORKS_TOLD + 2):
        words = [f"lattice.coupling_rad_s={coupling}", "controller=floor"]
        controller = ControllerConfig("floor")
        sweep.add(words, config={"controller": controller}, coherence=0.88)
    found = study(sweep)
    assert len(found.findings) == NETWORKS_TOLD + 1
    assert "(r 0.88)" in found.findings[0]
    assert found.findings[-1] == "2 more are in the table."


def test_jobs_that_failed_or_run_leave_the_rest(sweep: SweepFolder) -> None:
    fill(sweep)
    sweep.add(["controller=floor"], status="failed")
    sweep.add(["controller=headroom"], status="running")
    found = study(sweep)
    assert found.findings[0].startswith(f"Only {len(LADDER)} of {len(LADDER) + 2} jobs")
    assert answer(found, "Controller as cheap") == "open"
    assert answer(found, "Floor held by the controller") == "open"


def test_one_job_and_none(sweep: SweepFolder) -> None:
    sweep.add(["controller=floor"], status="failed")
    found = study(sweep)
    assert found.findings == ("Nothing can be told: of 1 job none is done.",)
    sweep.add_controlled("fixed", 102.0, 0.94)
    found = study(sweep)
    assert any("no frontier" in text for text in found.findings)
    assert len(found.tables[0].rows) == 1


def test_plots_have_a_point_per_rung_with_hover(sweep: SweepFolder) -> None:
    fill(sweep)
    sweep.add_controlled("floor", 70.0, 0.88)
    plots: list[Plot | HeatMap] = list(study(sweep).plots)
    assert len(plots) == 3
    first = plots[0]
    assert isinstance(first, Plot)
    series = {entry.name: entry for entry in first.series}
    assert set(series) == {
        *("fixed", "forecast", "knee", "cheapest", "controller=floor"),
    }
    assert series["fixed"].x == LADDER
    # The forecast at 10 Hz is not trusted.
    assert series["forecast"].x == LADDER[1:]
    assert all(len(entry.hover) in (0, len(entry.x)) for entry in first.series)
    assert first.rules[0].y == 0.87

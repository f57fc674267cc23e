"""The load study on jobs whose figures are known, also on few, odd and broken ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.config import ControllerConfig, LoadConfig, RunConfig
from engine.recording import to_yaml
from experiments.report.document import NO, OPEN, YES, Plot
from experiments.report.jobs import read_sweep
from experiments.study.base import Study
from experiments.study.load import examine
from experiments.study.load_points import bin_moments, list_points, list_rows
from tests.report_folders import build_summary, make_job

ROWS = 40
DURATION_S = 4.0
BRIDGES, NODES, STEPS = 512, 256, 16000


def make_load_job(
    sweep: Path,
    number: int,
    level: float,
    *,
    kind: str = "real",
    profile: str = "constant",
    objective: str = "headroom",
    words: Sequence[str] = (),
    states: Sequence[str] = ("nominal",),
    seen: Sequence[float] | None = None,
    power_w: float | None = None,
    **figures: Any,
) -> Path:
    """Write a job of 4 simulated seconds: r, hz, speed, achieved, violated, least."""
    folder = make_job(sweep, number, [f"load.level={level}", *words])
    config = replace(
        RunConfig(),
        load=LoadConfig(kind=kind, level=level, profile=profile, period_s=2.0),
        controller=ControllerConfig(objective),
    )
    (folder / "config.yaml").write_text(to_yaml(asdict(config)), "utf-8")
    r, hz = figures.get("r", 0.95), figures.get("hz", 100.0)
    speed, achieved = figures.get("speed", 2.0), figures.get("achieved", level)
    summary = build_summary(coherence=r, frequency_hz=hz) | {
        "nodes": NODES,
        "bridges": BRIDGES,
        "steps": STEPS,
        "simulated_seconds": DURATION_S,
        "wall_seconds": DURATION_S / speed,
        "energy_joules": None if power_w is None else power_w * DURATION_S / speed,
    }
    summary["coherence"] |= {
        "minimum_after_settling": figures.get("least", r),
        "violation_fraction": figures.get("violated", 0.0),
    }
    if kind == "real":
        gap = abs(achieved - level)
        cpu = {"asked": level, "achieved": achieved, "mean_deviation": gap}
        summary["load"] = {"ended_by": figures.get("ended_by", "run"), "cpu": cpu}
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    others = np.resize(np.array([level] if seen is None else seen), ROWS)
    _write_tables(folder, r, hz, speed, states, others, power_w)
    return folder


def _write_tables(
    folder: Path,
    r: float,
    hz: float,
    speed: float,
    states: Sequence[str],
    others: Any,
    power_w: float | None,
) -> None:
    times = (np.arange(ROWS) + 1) * DURATION_S / ROWS
    series = {
        "simulated_s": times,
        "wall_s": times / speed,
        "coherence": np.full(ROWS, r),
        "frequency_hz": np.full(ROWS, hz),
        "attempts": BRIDGES * hz * times,
        "state": np.resize(np.array(states, dtype=object), ROWS),
    }
    gpus = [] if power_w is None else [{"index": 0, "power_w": power_w}]
    samples = [
        {
            "cores": {
                "allowed_cores": 2.0,
                "others_cores": 2.0 * share,
                "utilisation": 1.0,
            },
            "process": {"cores_used": 2.0 - 2.0 * share},
            "gpus": gpus,
        }
        for share in others
    ]
    trace = {
        "simulated_s": times - DURATION_S / ROWS,
        "coherence": np.full(ROWS, r),
        "frequency_hz": hz / (1.0 + others),
        "metrics": [json.dumps(sample) for sample in samples],
    }
    parquet.write_table(pa.table(series), folder / "timeseries.parquet")
    parquet.write_table(pa.table(trace), folder / "trace.parquet")


def study_of(sweep: Path) -> Study:
    return examine(read_sweep(sweep))


def answers(study: Study) -> list[str]:
    return [verdict.answer for verdict in study.verdicts]


@pytest.fixture
def ladder(tmp_path: Path) -> Path:
    """Three levels: frequency and r fall, throughput halves, the floor holds."""
    make_load_job(tmp_path, 0, 0.0, r=0.97, hz=699.0, speed=2.0)
    make_load_job(tmp_path, 1, 0.4, r=0.96, hz=419.0, speed=1.5)
    make_load_job(
        tmp_path, 2, 0.8, r=0.91, least=0.9, hz=139.8, speed=1.0, achieved=0.65,
        states=("nominal", "nominal", "nominal", "floor-bound"),
    )  # fmt: skip
    return tmp_path


def test_figures_of_each_level_reach_the_tables(ladder: Path) -> None:
    study = study_of(ladder)
    main, machine = study.tables
    columns = dict(zip(main.columns, zip(*main.rows, strict=True), strict=True))
    assert columns["load level [-]"] == (0.0, 0.4, 0.8)
    assert columns["r [-]"] == pytest.approx((0.97, 0.96, 0.91))
    assert columns["frequency [Hz]"] == pytest.approx((699.0, 419.0, 139.8))
    assert columns["simulated s per wall s"] == pytest.approx((2.0, 1.5, 1.0))
    rates = [NODES * STEPS / DURATION_S * speed for speed in (2.0, 1.5, 1.0)]
    assert columns["node steps [1/s]"] == pytest.approx(rates)
    assert columns["nominal [-]"] == pytest.approx((1.0, 1.0, 0.75))
    assert columns["floor-bound [-]"] == pytest.approx((0.0, 0.0, 0.25))
    shares = dict(zip(machine.columns, zip(*machine.rows, strict=True), strict=True))
    assert shares["achieved [-]"] == pytest.approx((0.0, 0.4, 0.65))
    assert shares["this run [-]"] == pytest.approx((1.0, 0.6, 0.2))
    assert "GPU power [W]" not in shares
    assert machine.caption.startswith("Not measured: GPU power [W]")


def test_sentences_follow_from_the_figures(ladder: Path) -> None:
    study = study_of(ladder)
    told = " ".join(study.findings)
    assert study.findings[0] == (
        "r stayed above the floor of 0.87 at all 3 levels of load from 0% to 80%; the "
        "least r once settled was 0.900, in job 2 at 80%."
    )
    assert "the tunnel frequency went from 699 Hz to 140 Hz" in told
    assert "r went from 0.97 to 0.91" in told
    assert "throughput went from 2 to 1 simulated s per wall s (2.05 M to" in told
    assert (
        "In the later half of the runs the controller was floor-bound for up to 25.0% "
        "of the time (at 80% of load); it was nominal all the time in 2 of 3 rows"
        in told
    )
    assert "within 3 points of what was asked for in 2 of 3 jobs" in told
    assert "65.0% of the cores came of 80.0%, for the cores were full" in told
    assert "Power and energy were not measured" in told
    assert answers(study) == [YES, YES, NO]
    assert study.verdicts[1].text.startswith("Bridges tunnelled 5 times more rarely")


def test_plots_have_a_line_per_profile_and_hover(ladder: Path) -> None:
    study = study_of(ladder)
    titles = [plot.title for plot in study.plots]
    assert titles == [
        "Coherence",
        "Tunnel frequency",
        "Throughput",
        "Who had the cores",
    ]
    coherence = study.plots[0]
    assert isinstance(coherence, Plot)
    assert [one.name for one in coherence.series] == [
        "constant",
        "constant, least once settled",
    ]
    assert coherence.series[0].y == pytest.approx((0.97, 0.96, 0.91))
    assert "80% asked\njob 2\nr 0.91\n140 Hz" in coherence.series[0].hover[2]
    assert [rule.y for rule in coherence.rules] == [0.87]


def test_a_floor_that_was_missed_is_said(tmp_path: Path) -> None:
    make_load_job(tmp_path, 0, 0.0)
    make_load_job(tmp_path, 1, 0.8, r=0.88, least=0.85, violated=0.0125)
    study = study_of(tmp_path)
    assert answers(study)[0] == NO
    assert "did not hold the floor of 0.87 in 1 of 2 jobs" in study.findings[0]
    assert "below it in 1.25% of the periods" in study.findings[0]
    make_load_job(tmp_path, 2, 0.9, r=0.6, least=None, violated=None)
    assert "job 2 at 90%, which never reached it" in study_of(tmp_path).findings[0]


def test_seeds_give_an_uncertainty_and_profiles_lines(tmp_path: Path) -> None:
    number = 0
    for profile in ("constant", "square"):
        for level in (0.2, 0.6):
            for seed, shift in ((1, -0.001), (2, 0.001)):
                words = [f"load.profile={profile}", f"seed={seed}"]
                make_load_job(
                    tmp_path, number, level, profile=profile, words=words,
                    r=0.95 - 0.1 * level + shift, hz=100.0 / level,
                )  # fmt: skip
                number += 1
    record = read_sweep(tmp_path)
    rows = list_rows(list_points(record))
    assert [(row.series, row.level, len(row.points)) for row in rows] == [
        ("constant", 0.2, 2), ("constant", 0.6, 2), ("square", 0.2, 2),
        ("square", 0.6, 2),
    ]  # fmt: skip
    estimate = rows[0].estimate("coherence")
    assert estimate is not None
    assert estimate.mean == pytest.approx(0.93)
    # Student's t of one degree of freedom, 12.706, times the standard error 0.001.
    assert estimate.half_width == pytest.approx(0.0127, abs=1e-4)
    study = examine(record)
    assert any(sentence.startswith("square: From 20%") for sentence in study.findings)
    assert [one.name for one in study.plots[1].series] == ["constant", "square"]  # type: ignore[union-attr]
    assert "line" in study.tables[0].columns


def test_a_load_that_varies_is_drawn_over_the_moment(tmp_path: Path) -> None:
    seen = [0.0] * 10 + [0.8] * 10
    make_load_job(tmp_path, 0, 0.8, profile="square", seen=seen, hz=180.0)
    study = study_of(tmp_path)
    plots = {plot.title: plot for plot in study.plots}
    moment = plots["Frequency at the load of the moment"]
    assert isinstance(moment, Plot)
    (line,) = moment.series
    assert line.x == pytest.approx((0.0, 0.8))
    assert line.y == pytest.approx((180.0, 100.0))
    assert "20 decisions" in line.hover[1]
    assert "Under a load of 80% the tunnel frequency was 180 Hz" in study.findings[1]


def test_few_samples_make_no_bin_and_unknown_ones_count_nowhere() -> None:
    load = np.array([0.5] * 20 + [np.nan] * 8 + [0.9] * 4)
    trace = {"coherence": np.ones(32), "frequency_hz": np.ones(32)}
    (found,) = bin_moments(trace, {"cores of others": load})
    # The first tenth of 32 decisions, 3, is left out.
    assert (found.load, found.count) == (0.5, 17)
    assert bin_moments(trace, {}) == ()


def test_power_and_energy_where_a_sensor_was_seen(tmp_path: Path) -> None:
    make_load_job(tmp_path, 0, 0.0, power_w=300.0, speed=2.0)
    make_load_job(tmp_path, 1, 0.8, power_w=200.0, speed=1.0)
    study = study_of(tmp_path)
    assert "The GPUs took 300 W at 0% and 200 W at 80%." in study.findings
    assert "Power" in [plot.title for plot in study.plots]
    machine = study.tables[1]
    index = machine.columns.index("GPU energy [J per simulated s]")
    assert [row[index] for row in machine.rows] == pytest.approx([150.0, 200.0])
    assert machine.caption == ""


def test_a_made_up_load_is_judged_by_what_was_seen(tmp_path: Path) -> None:
    make_load_job(tmp_path, 0, 0.2, kind="synthetic")
    make_load_job(tmp_path, 1, 0.6, kind="synthetic", hz=50.0)
    study = study_of(tmp_path)
    assert answers(study) == [YES, YES, YES]
    assert any("The load was made up" in sentence for sentence in study.findings)
    assert "Who had the cores" not in [plot.title for plot in study.plots]


def test_not_giving_way_and_not_being_asked_to(tmp_path: Path) -> None:
    make_load_job(tmp_path / "a", 0, 0.0)
    make_load_job(tmp_path / "a", 1, 0.8, states=("floor-bound",))
    verdict = study_of(tmp_path / "a").verdicts[1]
    assert verdict.answer == NO
    assert verdict.text.endswith("under the least, for the floor allowed no less.")
    make_load_job(tmp_path / "b", 0, 0.0, objective="floor")
    make_load_job(tmp_path / "b", 1, 0.8, objective="floor")
    assert study_of(tmp_path / "b").verdicts[1].answer == OPEN


def test_strangers_on_the_machine_are_told_from_the_load(tmp_path: Path) -> None:
    make_load_job(tmp_path, 0, 0.0, seen=[0.08])
    assert not any("strangers" in told for told in study_of(tmp_path).findings)
    make_load_job(tmp_path, 1, 0.4, seen=[0.7])
    assert (
        "The machine was not idle besides: in job 1 at 40% strangers took 30% of the "
        "cores, so the levels say less than they seem to."
    ) in study_of(tmp_path).findings


def test_a_load_that_ended_early_is_no_yes(tmp_path: Path) -> None:
    make_load_job(tmp_path, 0, 0.2, ended_by="temperature")
    verdict = study_of(tmp_path).verdicts[2]
    assert verdict.answer == NO
    assert "in job 0 at 20% it ended early, by temperature" in verdict.text


def test_jobs_that_failed_or_fit_not_are_counted_out(ladder: Path) -> None:
    make_job(ladder, 3, ["load.level=2"], message="load.level is 2; at most 1.")
    make_load_job(ladder, 4, 0.6, kind="none")
    planned = {"jobs": [{"job": 5, "overrides": ["load.level=0.9"]}]}
    (ladder / "sweep.json").write_text(json.dumps(planned), "utf-8")
    study = study_of(ladder)
    assert study.findings[0].startswith("Only 4 of 6 jobs are done")
    assert study.findings[1].startswith("1 job had no load of a known level")
    assert [row[0] for row in study.tables[0].rows] == [0.0, 0.4, 0.8]


@pytest.mark.parametrize("lost", ["timeseries.parquet", "trace.parquet", "both"])
def test_a_job_without_tables_still_counts(ladder: Path, lost: str) -> None:
    names = ["timeseries.parquet", "trace.parquet"] if lost == "both" else [lost]
    for name in names:
        (ladder / "1" / name).unlink()
    study = study_of(ladder)
    index = study.tables[0].columns.index("frequency [Hz]")
    assert study.tables[0].rows[1][index] == pytest.approx(419.0)
    assert answers(study)[:2] == [YES, YES]


def test_summaries_without_figures_leave_gaps(tmp_path: Path) -> None:
    make_load_job(tmp_path, 0, 0.4)
    folder = make_load_job(tmp_path, 1, 0.8)
    for name in ("timeseries.parquet", "trace.parquet"):
        (folder / name).unlink()
    (folder / "summary.json").write_text(json.dumps({"status": "done"}), "utf-8")
    study = study_of(tmp_path)
    assert study.tables[0].rows[1][2:4] == (None, None)
    assert answers(study) == [YES, OPEN, YES]


def test_nothing_yet(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    assert study.findings == ("There is no job yet.",)
    assert (study.verdicts, study.tables, study.plots) == ((), (), ())


def test_a_made_up_load_and_two_levels_are_called_so(tmp_path: Path) -> None:
    for number, level in enumerate((0.2, 0.5)):
        make_load_job(tmp_path, number, level, kind="synthetic")
    study = study_of(tmp_path)
    assert "at both levels of load, 20% and 50%;" in study.findings[0]
    assert "made-up load" in study.verdicts[2].text

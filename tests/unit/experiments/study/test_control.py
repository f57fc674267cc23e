"""The controller study on folders whose figures are known."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.config import (
    BridgesConfig,
    ControllerConfig,
    DynamicsConfig,
    FaultConfig,
    LatticeConfig,
    LoadConfig,
    RunConfig,
)
from engine.recording import to_yaml
from experiments.report.document import NO, OPEN, YES
from experiments.report.jobs import read_sweep
from experiments.study import control, control_calibration
from experiments.study.base import Study
from experiments.study.control_calibration import (
    YARDSTICKS_FILE,
    measure_network,
    name_network,
    read_job_config,
)

TIMES_S = np.arange(1, 401) * 0.01
BASE = RunConfig(
    lattice=LatticeConfig(shape=(16, 16)),
    dynamics=DynamicsConfig(duration_s=4.0),
    controller=ControllerConfig("floor"),
    load=LoadConfig("synthetic", "square", level=0.97, base_level=0.5),
)


def follow_load(**changes: Any) -> RunConfig:
    return replace(BASE, controller=ControllerConfig("headroom"), **changes)


def make_job(
    sweep: Path,
    number: int,
    config: RunConfig,
    *,
    late_hz: float = 44.0,
    violations: float | None = 0.0,
    offers: tuple[float, ...] = (),
    sensor: dict[str, Any] | None = None,
) -> Path:
    """Write what a job leaves: 400 Hz in the first half, `late_hz` in the second."""
    folder = sweep / str(number)
    folder.mkdir(parents=True)
    words = [f"controller={config.controller.objective}", f"fault={config.fault.kind}"]
    status = {"job": number, "overrides": words, "status": "done", "exit_code": 0}
    (folder / "status.json").write_text(json.dumps(status), "utf-8")
    (folder / "config.yaml").write_text(to_yaml(asdict(config)), "utf-8")
    used_hz = np.where(TIMES_S <= 2.0, 400.0, late_hz)
    series = {
        "simulated_s": TIMES_S,
        "wall_s": 2.0 * TIMES_S,
        "coherence": np.where(TIMES_S <= 2.0, 0.97, 0.88),
        "frequency_hz": used_hz,
        "offered_hz": used_hz,
        "required_hz": np.full(400, 40.0),
        "attempts": np.rint(np.cumsum(used_hz) * 0.01 * 512),
    }
    parquet.write_table(pa.table(series), folder / "timeseries.parquet")
    flaws = [None, *["cores.idle_cores is nan"] * (len(offers) - 1)]
    trace = {"sensor_flaw": pa.array(flaws[: len(offers)], pa.string())}
    table = pa.table({**trace, "offered_hz": pa.array(offers, pa.float64())})
    parquet.write_table(table, folder / "trace.parquet")
    summary = {
        "status": "done",
        "bridges": 512,
        "simulated_seconds": 4.0,
        "wall_seconds": 8.0,
        "average_frequency_hz": 0.5 * (400.0 + late_hz),
        "coherence": {
            "final": 0.88,
            "minimum_after_settling": None if violations is None else 0.8705,
            "settled_at_seconds": None if violations is None else 0.05,
            "violation_fraction": violations,
            "floor": 0.87,
        },
        "sensor": sensor,
        "load": {"cpu": {"asked": 0.3, "achieved": 0.06}},
        "notes": [],
    }
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    return folder


def write_yardsticks(sweep: Path, fixed_hz: float = 40.0, **walls: float) -> None:
    record = read_sweep(sweep)
    entry = {
        "fixed": {"late_hz": fixed_hz},
        "oracle": {"late_hz": 38.0, "schedule": [[0.0, 699.0], [1.0, 38.0]]},
        "reason": "",
    }
    configs = [read_job_config(job) for job in record.jobs]
    names = [name_network(config) for config in configs if config is not None]
    known = {
        "networks": dict.fromkeys(names, entry),
        "walls": {name.removeprefix("job"): {"wall_s": s} for name, s in walls.items()},
    }
    (sweep / YARDSTICKS_FILE).write_text(json.dumps(known), "utf-8")


def examine(sweep: Path) -> Study:
    study = control.examine(read_sweep(sweep))
    json.dumps(study.to_dict(), allow_nan=False)
    return study


def answers(study: Study) -> list[str]:
    return [verdict.answer for verdict in study.verdicts]


def find_cell(study: Study, row: int, column: str) -> Any:
    table = study.tables[0]
    return table.rows[row][table.columns.index(column)]


def test_cost_is_that_of_the_later_half(tmp_path: Path) -> None:
    make_job(tmp_path, 0, BASE)
    write_yardsticks(tmp_path)
    study = examine(tmp_path)
    assert answers(study) == [YES, YES, OPEN]
    assert "1.100 times the events" in study.verdicts[1].text
    assert "1.158 times the oracle's" in study.verdicts[1].text
    assert find_cell(study, 0, "of best fixed [-]") == pytest.approx(1.1)
    # (222 - 44) Hz over 4 s, in units of 44 Hz.
    assert any("as much as 16.2 s at that frequency" in each for each in study.findings)
    assert [series.name for series in study.plots[0].series] == ["controller", "oracle"]
    assert study.plots[0].rules[0].y == 40.0


def test_dear_controller_and_broken_floor_are_told(tmp_path: Path) -> None:
    make_job(tmp_path, 0, BASE, late_hz=47.0, violations=0.0011)
    write_yardsticks(tmp_path)
    study = examine(tmp_path)
    assert answers(study)[:2] == [NO, NO]
    assert any("0.11% of the samples" in each for each in study.findings)


def test_floor_never_reached_is_no_success(tmp_path: Path) -> None:
    make_job(tmp_path, 0, BASE, violations=None)
    study = examine(tmp_path)
    assert answers(study)[0] == NO
    assert any("1 of 1 runs never reached it" in each for each in study.findings)


def test_missing_yardsticks_are_not_made_up(tmp_path: Path) -> None:
    make_job(tmp_path, 0, BASE)
    study = examine(tmp_path)
    assert answers(study) == [YES, OPEN, OPEN]
    assert any("--resume" in each for each in study.findings)
    assert find_cell(study, 0, "of best fixed [-]") is None


def test_wall_time_under_a_real_load_is_compared(tmp_path: Path) -> None:
    config = replace(BASE, load=LoadConfig("real", "square"))
    make_job(tmp_path, 0, config)
    write_yardsticks(tmp_path, job0=7.5)
    assert any(
        "1.067 times that of the best" in each for each in examine(tmp_path).findings
    )


def test_load_that_was_kept_away_is_told(tmp_path: Path) -> None:
    make_job(tmp_path, 0, replace(BASE, load=LoadConfig("real", "square")))
    told = " ".join(examine(tmp_path).findings)
    assert "The real load took 6% of the cores on average, of 30% asked for" in told
    made_up = tmp_path / "made_up"
    make_job(made_up, 0, BASE)
    assert "real load" not in " ".join(examine(made_up).findings)


def test_faults_are_judged_by_what_was_offered(tmp_path: Path) -> None:
    fault = FaultConfig("lie", start_s=2.0, duration_s=1.0)
    sensor = {"decisions": 400, "stale": 100}
    top_hz = BASE.tunnel.maximum_frequency_hz
    make_job(
        tmp_path,
        0,
        follow_load(fault=fault),
        offers=(100.0, 100.0, top_hz),
        sensor=sensor,
    )
    study = examine(tmp_path)
    assert answers(study)[2] == YES
    assert find_cell(study, 0, "stale [%]") == 25.0
    assert study.plots[-1].bands[0].start == 2.0
    make_job(tmp_path, 1, follow_load(fault=fault), offers=(100.0, 300.0))
    study = examine(tmp_path)
    assert answers(study)[2] == NO
    assert "1 decisions followed" in study.verdicts[2].text


def test_a_fault_that_no_run_met_is_no_proof(tmp_path: Path) -> None:
    make_job(tmp_path, 0, follow_load(fault=FaultConfig("lie", start_s=4.0)))
    study = examine(tmp_path)
    assert answers(study)[2] == OPEN
    assert "ended before its sensor was to fail" in study.verdicts[2].text
    assert not any("failing sensor" in text for text in study.findings)
    assert not any("sensor" in plot.title for plot in study.plots)


def test_a_run_too_short_to_settle_says_so(tmp_path: Path) -> None:
    # Halfway it steps down, so the later half is flat.
    make_job(tmp_path, 0, BASE)
    assert not any("still moving" in text for text in examine(tmp_path).findings)
    path = tmp_path / "0" / "timeseries.parquet"
    table = parquet.read_table(path)
    falling = pa.array(np.geomspace(400.0, 40.0, table.num_rows))
    at = table.column_names.index("frequency_hz")
    parquet.write_table(table.set_column(at, "frequency_hz", falling), path)
    told = " ".join(examine(tmp_path).findings)
    assert "still moving when 1 of 1 runs ended" in told


def test_following_the_load_is_tracked(tmp_path: Path) -> None:
    load = LoadConfig("synthetic", "step", level=0.9, base_level=0.5, start_s=2.0)
    top_hz = BASE.tunnel.maximum_frequency_hz
    make_job(tmp_path, 0, follow_load(load=load), late_hz=0.1 * top_hz)
    write_yardsticks(tmp_path)
    study = examine(tmp_path)
    assert find_cell(study, 0, "off the ideal [rungs]") == pytest.approx(0.0, abs=1e-3)
    assert find_cell(study, 0, "offer decides [%]") == 100.0
    # It fell at once, and stayed.
    assert find_cell(study, 0, "settling [s]") <= 0.02
    assert answers(study)[1] == OPEN


def test_repetitions_share_a_row(tmp_path: Path) -> None:
    for seed, late_hz in enumerate((42.0, 44.0)):
        make_job(tmp_path, seed, replace(BASE, seed=seed), late_hz=late_hz)
    write_yardsticks(tmp_path)
    study = examine(tmp_path)
    assert find_cell(study, 0, "runs") == 2
    assert find_cell(study, 0, "late events [Hz]") == pytest.approx(43.0)
    assert any("43 ± 13 Hz" in each for each in study.findings)


def test_broken_jobs_are_named_and_left_out(tmp_path: Path) -> None:
    make_job(tmp_path, 0, BASE)
    (make_job(tmp_path, 1, BASE) / "timeseries.parquet").write_bytes(b"no table")
    (make_job(tmp_path, 2, BASE) / "config.yaml").unlink()
    failed = tmp_path / "3"
    failed.mkdir()
    status = {"job": 3, "overrides": [], "status": "failed", "message": "no."}
    (failed / "status.json").write_text(json.dumps(status), "utf-8")
    study = examine(tmp_path)
    told = " ".join(study.findings)
    assert "Only 3 of 4 jobs are done" in told
    assert "Job 1 shows nothing: its time series cannot be read." in told
    assert "Job 2 shows nothing: its configuration cannot be read." in told
    assert len(study.tables[0].rows) == 1


def test_nothing_done_is_no_study(tmp_path: Path) -> None:
    failed = tmp_path / "0"
    failed.mkdir()
    status = {"job": 0, "overrides": [], "status": "failed", "message": "no."}
    (failed / "status.json").write_text(json.dumps(status), "utf-8")
    study = examine(tmp_path)
    assert study.findings == ("Nothing can be told: of 1 job none is done.",)
    assert (study.verdicts, study.tables, study.plots) == ((), (), ())


def test_network_is_named_by_what_its_answer_depends_on() -> None:
    name = name_network(BASE)
    same = follow_load(fault=FaultConfig("flap"), load=LoadConfig("real"))
    assert name_network(same) == name
    assert name_network(replace(BASE, seed=1)) != name
    slower = replace(BASE.controller, period_steps=20)
    assert name_network(replace(BASE, controller=slower)) != name


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (replace(BASE, bridges=BridgesConfig(kind="none")), "without bridges"),
        (
            replace(BASE, dynamics=DynamicsConfig(duration_s=0.1)),
            "10 control periods, of 24 needed",
        ),
        (
            replace(BASE, lattice=LatticeConfig(shape=(4096, 4096))),
            "node steps are too many",
        ),
        (replace(BASE, seed=-1), "seed is -1"),
    ],
)
def test_network_that_cannot_be_measured_says_why(
    config: RunConfig, reason: str
) -> None:
    entry = measure_network(config)
    assert (entry["fixed"], entry["oracle"]) == (None, None)
    assert reason in entry["reason"]


def test_why_there_is_no_yardstick_is_told(tmp_path: Path) -> None:
    make_job(tmp_path, 0, replace(BASE, bridges=BridgesConfig(kind="none")))
    told: list[str] = []
    control.complete(read_sweep(tmp_path), told.append)
    assert len(told) == 1
    findings = examine(tmp_path).findings
    assert any("without bridges no frequency matters." in each for each in findings)
    control.complete(read_sweep(tmp_path), told.append)
    assert len(told) == 1


def test_real_load_is_run_again_at_the_best_fixed_frequency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(BASE, load=LoadConfig("real", "square"))
    make_job(tmp_path, 0, config)
    make_job(tmp_path, 1, replace(config, controller=ControllerConfig("headroom")))
    write_yardsticks(tmp_path)
    asked: list[tuple[str, float]] = []

    def measure(config: RunConfig, frequency_hz: float) -> dict[str, Any]:
        asked.append((config.controller.objective, frequency_hz))
        return {"wall_s": 4.0}

    monkeypatch.setattr(control_calibration, "measure_wall", measure)
    control.complete(read_sweep(tmp_path), lambda sentence: None)
    assert asked == [("floor", 40.0)]
    findings = examine(tmp_path).findings
    assert any("2 times that of the best" in each for each in findings)

"""Runs whose sensor fails: the floor holds, the trace tells, a replay is exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from engine.config import (
    BackendConfig,
    ControllerConfig,
    DynamicsConfig,
    FaultConfig,
    LatticeConfig,
    LoadConfig,
    RecordConfig,
    ResourcesConfig,
    RunConfig,
)
from engine.system import ScribbleSystem

FAULTS = {
    "freeze": FaultConfig("freeze", start_s=0.3, duration_s=0.5),
    "lag": FaultConfig("lag", start_s=0.3, duration_s=0.5, lag_s=0.25),
    "short lag": FaultConfig("lag", start_s=0.3, duration_s=0.5, lag_s=0.15),
    "nan": FaultConfig("lie", start_s=0.3, duration_s=0.5),
    "negative": FaultConfig("lie", start_s=0.3, duration_s=0.5, value="negative"),
    "excess": FaultConfig("lie", start_s=0.3, duration_s=0.5, value="excess"),
    "vanish": FaultConfig("vanish", start_s=0.3, duration_s=0.5),
    "flap": FaultConfig("flap", start_s=0.3, duration_s=0.5, period_s=0.1),
}
COMES_TO = {
    **dict.fromkeys(("freeze", "nan", "negative", "excess", "vanish"), (True, True)),
    "lag": (False, True),
    "short lag": (True, False),
    "flap": (True, False),
}
"""Whether the last decision is held, and whether it comes to the safe maximum: never
where samples are younger than 0.2 s, at once where all are older."""


def build_config(folder: Path, fault: FaultConfig) -> RunConfig:
    """A square load of 0.2 s, and a sensor that may be 0.1 s old, held for 0.2 s."""
    return RunConfig(
        lattice=LatticeConfig(shape=(16, 16)),
        dynamics=DynamicsConfig(duration_s=1.0),
        backend=BackendConfig("cpu", threads=1),
        resources=ResourcesConfig(sample_period_s=0.05, stale_after_s=0.1),
        controller=ControllerConfig(hold_stale_s=0.2),
        load=LoadConfig("synthetic", "square", level=0.9, period_s=0.2),
        fault=fault,
        record=RecordConfig(folder=str(folder), forecast=False),
    )


def read_trace(folder: Path) -> dict[str, np.ndarray]:
    table = parquet.read_table(folder / "trace.parquet")
    return {
        name: table.column(name).to_numpy(zero_copy_only=False)
        for name in table.column_names
    }


@pytest.mark.parametrize("name", FAULTS)
def test_replay_of_a_faulty_run_is_exact(name: str, tmp_path: Path) -> None:
    config = build_config(tmp_path / "run", FAULTS[name])
    with ScribbleSystem(config) as system:
        first = system.run()
    replayed = replace(
        config,
        fault=FaultConfig(),
        load=LoadConfig("replay", trace=str(tmp_path / "run")),
        record=RecordConfig(folder=str(tmp_path / "again"), forecast=False),
    )
    with ScribbleSystem(replayed) as system:
        again = system.run()
    assert again.state_digest == first.state_digest
    assert again.sensor == first.sensor
    traces = read_trace(tmp_path / "run"), read_trace(tmp_path / "again")
    for column in ("offered_hz", "frequency_hz", "state", "age_s", "sensor_flaw"):
        assert (traces[0][column] == traces[1][column]).all()


@pytest.mark.parametrize("name", FAULTS)
def test_lost_sensor_holds_and_then_goes_to_the_safe_maximum(
    name: str, tmp_path: Path
) -> None:
    config = build_config(tmp_path / "run", FAULTS[name])
    with ScribbleSystem(config) as system:
        summary = system.run()
    trace = read_trace(tmp_path / "run")
    is_stale, age_s, offered = trace["is_stale"], trace["age_s"], trace["offered_hz"]
    is_flawed = np.array([flaw is not None for flaw in trace["sensor_flaw"]])
    assert (is_stale == is_flawed | (age_s > 0.1)).all()
    assert set(trace["state"][is_stale]) == {"stale"}
    assert "stale" not in trace["state"][~is_stale]
    is_held = is_stale & (age_s <= 0.2)
    is_safe = is_stale & ~is_held
    assert (is_held.any(), is_safe.any()) == COMES_TO[name]
    rows = np.arange(len(offered))
    last_sound = np.maximum.accumulate(np.where(is_stale, 0, rows))
    assert (offered[is_held] == offered[last_sound][is_held]).all()
    assert offered[is_safe] == pytest.approx(config.tunnel.maximum_frequency_hz)
    assert summary.sensor is not None
    assert summary.sensor["stale"] == is_stale.sum()
    assert summary.sensor["disbelieved"] == is_flawed.sum()
    assert summary.sensor["decisions"] == len(offered)
    assert summary.sensor["longest_age_s"] == age_s[is_stale].max()
    assert set(summary.sensor["flaws"]) == set(trace["sensor_flaw"][is_flawed])


@pytest.mark.parametrize("name", ["nan", "negative", "excess", "vanish"])
def test_impossible_readings_are_not_believed_once(name: str, tmp_path: Path) -> None:
    with ScribbleSystem(build_config(tmp_path / "run", FAULTS[name])) as system:
        system.run()
    trace = read_trace(tmp_path / "run")
    times_s = trace["simulated_s"]
    assert (trace["is_stale"] == (times_s >= 0.3) & (times_s < 0.8)).all()


def test_sound_sensor_leaves_no_entry(tmp_path: Path) -> None:
    with ScribbleSystem(build_config(tmp_path / "run", FaultConfig())) as system:
        assert system.run().sensor is None

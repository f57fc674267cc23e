"""A run that is cut off and resumed is the run that was not: state, digest and rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from engine.config import BackendConfig, RecordConfig, RunConfig, TunnelConfig
from engine.errors import CheckpointError
from engine.observation import open_snapshots
from engine.recording.checkpoint import (
    list_checkpoints,
    read_checkpoint,
)
from engine.state import StateArray
from engine.system import Progress, ScribbleSystem
from tests.cut_runs import build, cut_at, record

BuildConfig = Callable[..., RunConfig]

OBSERVED = {
    "snapshot_every_s": 0.02,
    "frequency_window_s": 0.04,
    "probe_count": 5,
}
SQUARE_LOAD = {
    "kind": "synthetic",
    "profile": "square",
    "level": 0.9,
    "period_s": 0.05,
}
ROLLOUT = {
    "target": "beta",
    "tunnel": TunnelConfig(linewidth_hz=1728.0),
    "start_s": 0.02,
    "settle_s": 0.01,
    "window_s": 0.02,
    "max_violation": 0.9,
    "cost_tolerance": 9.0,
    "sigmas": 500.0,
}
ALIGNED = {"initial_phases": "aligned"}
CASES: dict[str, dict[str, Any]] = {
    "euler": {"controller": {"objective": "floor"}, "lattice": ALIGNED},
    "rk4 under a load": {"dynamics": {"integrator": "rk4"}, "load": SQUARE_LOAD},
    "inertia and noise": {
        "dynamics": {
            "integrator": "leapfrog",
            "inertia_s": 0.005,
            "diffusion_rad2_s": 2.0,
        },
        "observe": OBSERVED,
    },
    "mean field": {
        "lattice": {"coupling_range": "all", "coupling_rad_s": 600.0},
        "bridges": {"kind": "none"},
    },
    "noisy glass, directed": {
        "dynamics": {"diffusion_rad2_s": 2.0},
        "bridges": {"strength_spread_rad_s": 90.0, "directed": True},
        "tunnel": {"linewidth_hz": 3.0},
    },
    "procedural, lag": {
        "bridges": {"kind": "procedural"},
        "lattice": {"phase_lag_rad": 0.3},
        "tunnel": {"slice_steps": 4},
        "controller": {"objective": "floor"},
    },
    "rollout": {
        "rollout": ROLLOUT,
        "lattice": ALIGNED,
        "controller": {"objective": "floor", "period_steps": 4},
    },
    "error windows": {
        "controller": {
            "objective": "fixed",
            "fixed_frequency_hz": 100.0,
            "error_windows": 2,
            "period_steps": 10,
        },
    },
    "observed": {"observe": OBSERVED},
    "rewired": {"bridges": {"rewire_every_s": 0.03}, "lattice": ALIGNED},
    "drifting, rewired": {
        "bridges": {"rewire_every_s": 0.03},
        "lattice": ALIGNED | {"drift_period_s": 0.5},
        "controller": {"objective": "floor", "period_steps": 10},
        "tunnel": {"linewidth_hz": 30.0},
    },
    "plastic, rewired": {
        "mesh": {"rule": "plastic", "period": 3, "longest_period": 7},
        "bridges": {"rewire_every_s": 0.05},
        "lattice": ALIGNED,
        "controller": {"objective": "floor", "period_steps": 8},
    },
    "learned": {
        "mesh": {"rule": "learned", "period": 4, "longest_period": 4},
        "controller": {"objective": "floor", "period_steps": 8},
        "tunnel": {"linewidth_hz": 30.0, "slice_steps": 4},
    },
}
CUTS = {"error windows": (210, 440, 520)}
"""Steps after which a run is cut off, one leg after another; windows begin at 400."""
WALL_KEYS = ("wall_s", "lattice_s", "tunnel_s", "node_step_s", "event_s", "metrics")
"""Columns that hold wall times, or the sample with its clock."""
WALL_FIGURES = (
    *("wall_seconds", "stage_seconds", "node_steps_per_second", "device"),
    *("folder", "resumed", "notes", "backend"),
)


def read_rows(folder: Path, name: str) -> dict[str, list[Any]]:
    columns = parquet.read_table(folder / name).to_pydict()
    return {key: column for key, column in columns.items() if key not in WALL_KEYS}


def read_figures(folder: Path) -> dict[str, Any]:
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    if summary["paths"] is not None:
        assert summary["paths"]["retired"] > 0
        del summary["paths"]["seconds"]
    if summary["mesh"] is not None:
        assert summary["mesh"]["looks"] > 3
        assert len(set(summary["mesh"]["shares"])) > 2
        del summary["mesh"]["seconds"], summary["mesh"]["wall_share"]
    return {key: value for key, value in summary.items() if key not in WALL_FIGURES}


def assert_same_folders(found: Path, wanted: Path) -> None:
    for name in ("timeseries.parquet", "trace.parquet"):
        assert read_rows(found, name) == read_rows(wanted, name)
    assert read_figures(found) == read_figures(wanted)
    names = {entry.name for entry in wanted.iterdir()}
    assert {entry.name for entry in found.iterdir()} == names


def unfold(state: Any) -> Any:
    """Load all arrays of a state, so that states can be compared."""
    if isinstance(state, StateArray):
        values = state.load("array", state.dtype, state.shape)
        return (state.dims, state.units, str(values.dtype), values.tolist())
    if isinstance(state, Mapping):
        return {key: unfold(value) for key, value in state.items()}
    return list(map(unfold, state)) if isinstance(state, list | tuple) else state


def assert_same_state(system: ScribbleSystem, cut: Path, folder: Path) -> None:
    """Hold every part of a resumed system against what it has gone on from."""
    paths = list_checkpoints(cut)[0], system.write_checkpoint(folder)
    before, after = (unfold(read_checkpoint(path).state) for path in paths)
    legs = [state["course"].pop("legs") for state in (before, after)]
    assert len(legs[1]) == len(legs[0]) + 1
    for state in (before, after):
        del state["journal"]["marks"]  # the rows are in the folder of the run alone
    assert after.keys() == before.keys()
    for part, state in before.items():
        assert after[part] == state, part


@pytest.mark.parametrize("name", CASES)
def test_cut_and_resumed_is_uncut(
    name: str, build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build(build_config, CASES[name])
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    with ScribbleSystem(record(config, whole)) as system:
        wanted = system.run()
    assert wanted.status == "done"
    steps = CUTS.get(name, (90, 330))
    with ScribbleSystem(record(config, cut)) as system:
        assert cut_at(system, steps[0]).status == "interrupted"
    for step in steps[1:]:
        with ScribbleSystem.resume(cut) as system:
            assert_same_state(system, cut, tmp_path / str(step))
            assert cut_at(system, step).status == "interrupted"
    with ScribbleSystem.resume(cut) as system:
        found = system.run()
    assert (found.status, found.notes) == ("done", wanted.notes)
    assert found.state_digest == wanted.state_digest
    assert wanted.resumed is None
    assert len(found.resumed or ()) == len(steps)
    assert_same_folders(cut, whole)
    if (whole / "snapshots.arrow").exists():
        pairs = [open_snapshots(folder) for folder in (cut, whole)]
        assert len(pairs[0]) == len(pairs[1]) > 3
        assert all(
            np.array_equal(pairs[0][i], pairs[1][i]) for i in range(len(pairs[1]))
        )


def test_rollout_is_cut_in_its_stages(build_config: BuildConfig) -> None:
    """What makes the case above worth something: bridges have moved by then."""
    with ScribbleSystem(build(build_config, CASES["rollout"])) as system:
        shares = set()
        system.run(lambda _: shares.add(round(float(system.network.members.mean()), 2)))
    assert shares >= {0.0, 0.1, 0.5}


@pytest.mark.parametrize("is_observed", [False, True])
def test_reference_goes_on_in_radians(
    is_observed: bool, build_config: BuildConfig, tmp_path: Path
) -> None:
    changes = {"backend": {"name": "reference"}, "observe": OBSERVED}
    config = build(build_config, changes if is_observed else {**changes, "observe": {}})
    with ScribbleSystem(config) as system:
        wanted = system.run()
    folder = tmp_path / "run"
    with ScribbleSystem(record(config, folder)) as system:
        cut_at(system, 300)
    with ScribbleSystem.resume(folder) as system:
        found = system.run()
    assert found.state_digest == wanted.state_digest
    if is_observed:
        assert found.observation is not None
        assert wanted.observation is not None
        assert found.observation["frequency"] == wanted.observation["frequency"]


def test_other_arithmetic_is_refused(build_config: BuildConfig, tmp_path: Path) -> None:
    config = build(build_config, {})
    for name, other in (("cpu", "reference"), ("reference", "cpu")):
        folder = tmp_path / name
        chosen = replace(config, backend=BackendConfig(name))
        with ScribbleSystem(record(chosen, folder)) as system:
            cut_at(system, 80)
        with pytest.raises(CheckpointError, match=f"go on with the back end {name}"):
            ScribbleSystem.resume(folder, backend=BackendConfig(other))


@pytest.mark.parametrize("threads", [1, 2])
def test_other_threads_give_the_same_bits(
    threads: int, build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build(build_config, {"backend": {"threads": 3 - threads}})
    with ScribbleSystem(config) as system:
        wanted = system.run()
    with ScribbleSystem(record(config, tmp_path / "run")) as system:
        cut_at(system, 120)
    chosen = BackendConfig("cpu", threads=threads)
    with ScribbleSystem.resume(tmp_path / "run", backend=chosen) as system:
        assert system.run().state_digest == wanted.state_digest


def test_pins_and_changes_by_hand_come_back(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build(build_config, {"record": {"forecast": True}})
    with ScribbleSystem(config) as first:
        first.network[3].frequency = 102.0
        first.advance(0.02)
        first.adjust_coupling(300.0)
        first.adjust_strength(70.0)
        first.adjust_strength(90.0)
        first.lattice.adjust_resonance(500.0)
        first.network[5].frequency = 40.0  # asked for, and not moved yet
        first.write_checkpoint(tmp_path)
        first.advance(0.03)
        with ScribbleSystem.resume(tmp_path) as second:
            assert second.lattice.resonance_frequency == 500.0
            assert second.lattice.coupling_rad_s == 300.0
            assert second.network[5].frequency == first.network[5].frequency
            second.advance(0.03)
            assert second.state_digest() == first.state_digest()
            notes = second.run().notes
    assert any("bridges were pinned" in note for note in notes)
    assert any("the coupling was changed" in note for note in notes)


def test_run_after_steps_by_hand_is_resumed_from_there(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = record(build(build_config, {}), tmp_path / "run")
    with ScribbleSystem(replace(config, record=RecordConfig(forecast=False))) as whole:
        whole.advance(0.02)
        wanted = whole.run()

    def fail(_: Progress) -> None:
        raise RuntimeError("at once")

    with ScribbleSystem(config) as system:
        system.advance(0.02)
        with pytest.raises(RuntimeError, match="at once"):
            system.run(fail)
    newest, start = list_checkpoints(tmp_path / "run")
    assert [int(path.stem) for path in (newest, start)] == [120, 80]
    newest.unlink()
    with ScribbleSystem.resume(tmp_path / "run") as system:
        found = system.run()
    assert found.state_digest == wanted.state_digest
    assert found.notes == wanted.notes

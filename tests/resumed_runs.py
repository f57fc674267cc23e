"""Configurations with every feature that a run can have, and what a folder then holds.

All resources follow from simulated time, so that runs can be compared to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from engine.config import (
    BackendConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    MeshConfig,
    RecordConfig,
    ResourcesConfig,
    RunConfig,
    TunnelConfig,
)
from engine.observation import open_snapshots
from engine.system import Progress, ScribbleSystem

PERIODS = 40
"""Control periods of a run, of four steps each: 160 ms of simulated time."""
BASE = RunConfig(
    lattice=LatticeConfig(shape=(8, 8)),
    dynamics=DynamicsConfig(duration_s=0.16, dt_s=1e-3),
    tunnel=TunnelConfig(min_coherence=0.5),
    # So quick that the law moves all the time in so short a run.
    controller=ControllerConfig(
        period_steps=4,
        dwell_periods=2,
        integral_gain_per_s=400.0,
        descent_rungs_per_s=100.0,
        hold_stale_s=0.06,
    ),
    resources=ResourcesConfig(sample_period_s=0.05, stale_after_s=0.051),
    mesh=MeshConfig("none"),
    backend=BackendConfig("cpu"),
    load=LoadConfig("synthetic", "square", level=0.9, period_s=0.032),
    record=RecordConfig(forecast=False),
)
FAULT = {"start_s": 0.032, "duration_s": 0.088}
LOCKED = {"initial_phases": "aligned"}
FLOOR = {"objective": "floor"}
MESH = {"period": 2, "longest_period": 4}
STAGES = {
    "tunnel": TunnelConfig(linewidth_hz=1728.0),
    "start_s": 0.004,
    "settle_s": 0.004,
    "window_s": 0.064,
    "max_violation": 0.9,
    "cost_tolerance": 9.0,
    "sigmas": 20.0,
}
OBSERVED = {"snapshot_every_s": 0.016, "frequency_window_s": 0.08, "probe_count": 5}
DRIFT = {"drift_period_s": 0.32}
REWIRED = {"rewire_every_s": 0.05}
EDGES = "source,target,strength_rad_s,directed\n" + "".join(
    f"{node},{(node + 13) % 64},{60 + node % 7 * (-1) ** node},{int(node % 3 == 0)}\n"
    for node in range(64)
)
"""An edge list with bridges that repel and bridges that are directed."""
NETWORK = "{network}"
"""Stands for the file with the edge list."""
RECORDED = "{recorded}"
"""Stands for the folder of a run that is replayed."""

FEATURES: dict[str, dict[str, Any]] = {
    "mesh auto": {"mesh": {"rule": "auto", **MESH}, "controller": FLOOR},
    "mesh plastic": {"mesh": {"rule": "plastic", **MESH}, "controller": FLOOR},
    "mesh learned": {
        "mesh": {"rule": "learned", **MESH},
        "tunnel": {"slice_steps": 4, "linewidth_hz": 30.0},
    },
    "mesh detuning": {"mesh": {"rule": "detuning", **MESH}, "lattice": DRIFT},
    "mesh, rewiring, drift, fault": {
        "mesh": {"rule": "plastic", **MESH},
        "bridges": REWIRED,
        "lattice": LOCKED | DRIFT,
        "fault": {"kind": "freeze", **FAULT},
    },
    "rewiring": {"bridges": REWIRED, "lattice": LOCKED, "controller": FLOOR},
    "drift": {"lattice": DRIFT, "bridges": {"kind": "procedural"}},
    "rollout alpha": {"rollout": {"target": "alpha", **STAGES}, "lattice": LOCKED},
    "rollout beta": {
        "rollout": {"target": "beta", **STAGES, "start_s": 0.0, "window_s": 0.032},
        "lattice": LOCKED,
        "controller": {"period_steps": 1, **FLOOR},
    },
    "rollout production": {
        "rollout": {"target": "production", **STAGES, "window_s": 0.016},
        "lattice": LOCKED,
        "controller": {"period_steps": 1},
    },
    "controller floor": {"controller": FLOOR, "lattice": LOCKED},
    "controller fixed": {
        "controller": {"objective": "fixed", "fixed_frequency_hz": 100.0}
    },
    "error windows": {"controller": {"error_windows": 1, "error_window_s": 0.032}},
    "forecast": {"record": {"forecast": True}, "bridges": {"strength_rad_s": 200.0}},
    "load constant": {"load": {"profile": "constant"}},
    "load step": {"load": {"profile": "step", "start_s": 0.08}},
    "load ramp": {"load": {"profile": "ramp", "period_s": 0.12}},
    "load sine": {"load": {"profile": "sine"}},
    "load noise": {"load": {"profile": "noise", "period_s": 0.012, "seed": 5}},
    "replay": {"load": {"kind": "replay", "trace": RECORDED}},
    "replay, judged anew, pace": {
        "load": {"kind": "replay", "trace": RECORDED, "judge_anew": True},
        "controller": {"objective": "pace", "target_pace": 0.5},
        "resources": {"min_memory_threshold": 0.3},
    },
    "fault freeze": {"fault": {"kind": "freeze", **FAULT}},
    "fault lag": {"fault": {"kind": "lag", "lag_s": 0.028, **FAULT}},
    "fault lie nan": {"fault": {"kind": "lie", **FAULT}},
    "fault lie negative": {"fault": {"kind": "lie", "value": "negative", **FAULT}},
    "fault lie excess": {"fault": {"kind": "lie", "value": "excess", **FAULT}},
    "fault vanish": {"fault": {"kind": "vanish", **FAULT}},
    "fault flap": {"fault": {"kind": "flap", "period_s": 0.024, **FAULT}},
    "fault of a replay": {
        "load": {"kind": "replay", "trace": RECORDED},
        "fault": {"kind": "lag", "lag_s": 0.06, **FAULT},
    },
    "observed, inertial": {
        "observe": OBSERVED,
        "dynamics": {"integrator": "leapfrog", "inertia_s": 0.02},
    },
    "observed, noisy, sparse": {
        "observe": OBSERVED,
        "dynamics": {"integrator": "rk2", "diffusion_rad2_s": 2.0},
        "record": {"every_periods": 3},
    },
    "observed, drifting": {"observe": OBSERVED, "lattice": DRIFT},
    "fcc, rk4, lag": {
        "lattice": {"kind": "fcc", "shape": (4, 4, 4), "phase_lag_rad": 0.3},
        "dynamics": {"integrator": "rk4", "dt_s": 5e-4, "duration_s": 0.08},
    },
    "open chain, small world": {
        "lattice": {"kind": "chain", "shape": (64,), "periodic": (False,)},
        "bridges": {"kind": "small_world", "strength_spread_rad_s": 20.0},
    },
    "mean field": {
        "lattice": {"coupling_range": "all", "coupling_rad_s": 600.0},
        "bridges": {"kind": "none"},
    },
    "procedural, directed": {"bridges": {"kind": "procedural", "directed": True}},
    "edge list": {"bridges": {"kind": "file", "path": NETWORK}},
    "glass": {
        "bridges": {"strength_spread_rad_s": 90.0, "repulsive_share": 0.3},
        "tunnel": {"linewidth_hz": 3.0, "max_probability": 0.7},
    },
    "aligned": {"bridges": {"placement": "aligned"}, "lattice": LOCKED},
}

WALL_COLUMNS = ("wall_s", "lattice_s", "tunnel_s", "node_step_s", "event_s")
"""Columns that hold wall times."""
WALL_FIGURES = (
    *("wall_seconds", "stage_seconds", "node_steps_per_second", "folder", "resumed"),
)
"""Figures of a summary that a cut changes."""


def build_config(name: str, inputs: Path, **groups: Mapping[str, Any]) -> RunConfig:
    """Build the configuration of a feature.

    Args:
        name: Key of `FEATURES`.
        inputs: Where `write_inputs` has written.
        **groups: What else shall be changed.
    """
    config = BASE
    for changes in (FEATURES[name], groups):
        for group, values in changes.items():
            found = {key: _find_input(value, inputs) for key, value in values.items()}
            changed = replace(getattr(config, group), **found)
            config = replace(config, **{group: changed})
    return config


def _find_input(value: Any, inputs: Path) -> Any:
    places = {NETWORK: inputs / "edges.csv", RECORDED: inputs / "recorded"}
    return str(places[value]) if isinstance(value, str) and value in places else value


def write_inputs(folder: Path) -> None:
    """Write the edge list, and a run that can be replayed."""
    folder.mkdir(exist_ok=True)
    (folder / "edges.csv").write_text(EDGES, "utf-8")
    config = build_config("load noise", folder)
    with ScribbleSystem(record(config, folder / "recorded")) as system:
        system.run()


def record(config: RunConfig, folder: Path, **changes: Any) -> RunConfig:
    return replace(config, record=replace(config.record, folder=str(folder), **changes))


def stop_at(system: ScribbleSystem, period: int) -> str:
    """Run until some periods are done; return the status."""
    done = 0

    def count(_: Progress) -> None:
        nonlocal done
        done += 1
        if done >= period:
            system.request_stop()

    return system.run(count).status


def read_figures(folder: Path) -> dict[str, Any]:
    """Read the summary of a run, without wall times."""
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    for group, keys in (("paths", ("seconds",)), ("mesh", ("seconds", "wall_share"))):
        for key in keys:
            if summary[group] is not None:
                del summary[group][key]
    return {key: value for key, value in summary.items() if key not in WALL_FIGURES}


def read_rows(folder: Path, name: str) -> dict[str, list[Any]]:
    """Read a table of a run, without wall times."""
    columns = parquet.read_table(folder / name).to_pydict()
    return {key: rows for key, rows in columns.items() if key not in WALL_COLUMNS}


def assert_is_on(name: str, folder: Path) -> None:
    """Make sure that a run had the feature that it stands for."""
    summary, changes = read_figures(folder), FEATURES[name]
    if "mesh" in changes:
        assert summary["mesh"]["looks"] > 3
        assert len(set(summary["mesh"]["shares"])) > 2
    if "rewire_every_s" in changes.get("bridges", {}):
        assert summary["paths"]["retired"] > 0
        assert summary["paths"]["rewirings"] > 1
    if "rollout" in changes:
        assert len(summary["rollout"]["stages"]) > 1
    if changes.get("fault", {}).get("kind") not in (None, "lag"):
        assert 0 < summary["sensor"]["stale"] < summary["sensor"]["decisions"]
    if "error_windows" in changes.get("controller", {}):
        assert summary["coherence"]["distance_source"] == "windows"
    if not {"controller fixed", "mean field"} & {name}:
        assert len(set(read_rows(folder, "trace.parquet")["frequency_hz"])) > 3


def assert_same_run(
    found: Path, wanted: Path, *, ignoring: tuple[str, ...] = ()
) -> None:
    """Hold all that a folder says of a run against what another one says.

    Args:
        found: Folder of the run that was cut off.
        wanted: Folder of the run that was not.
        ignoring: Figures of the summary that may differ, such as the device.
    """
    pair = found, wanted
    figures = [read_figures(folder) for folder in pair]
    for key in figures[1].keys() - set(ignoring):
        assert figures[0][key] == figures[1][key], key
    assert {path.name for path in found.iterdir()} == {
        path.name for path in wanted.iterdir()
    }
    for name in ("timeseries.parquet", "trace.parquet", "nodes.parquet"):
        if not (wanted / name).exists():
            continue
        rows = [read_rows(folder, name) for folder in pair]
        for column in rows[1]:
            assert repr(rows[0][column]) == repr(rows[1][column]), column
    if (wanted / "locking.npz").exists():
        arrays = [np.load(folder / "locking.npz") for folder in pair]
        for key in arrays[1].files:
            assert np.array_equal(arrays[0][key], arrays[1][key]), key
    if (wanted / "snapshots.arrow").exists():
        seen = [open_snapshots(folder) for folder in pair]
        assert len(seen[0]) == len(seen[1]) > 1
        for index in range(len(seen[1])):
            assert np.array_equal(seen[0][index], seen[1][index])

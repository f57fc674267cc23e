"""Whole runs: every back end against `reference`, and every way to the same digest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends.cpu_tunnel import PARALLEL_EVENTS
from engine.config import LATTICE_AXES, RunConfig
from engine.recording import RunSummary
from engine.system import ScribbleSystem
from engine.tunnel import CostModel
from tests.parity.bounds import EVENT_ERROR, distance_turns, grow, step_error

BuildConfig = Callable[..., RunConfig]
SHAPES = {1: (60,), 2: (6, 10), 3: (4, 3, 5)}
DT_S = 0.00025
STEPS = 100
PER_NODE = 2


def run(config: RunConfig) -> tuple[ScribbleSystem, RunSummary]:
    with ScribbleSystem(config) as system:
        return system, system.run()


def gentle_config(build_config: BuildConfig, kind: str, integrator: str) -> RunConfig:
    """A run in which neighbours pull by 1 rad in all, and bridges by 1/4 rad."""
    shape = SHAPES[LATTICE_AXES[kind]]
    neighbours = {"chain": 2, "square": 4, "bcc": 8, "fcc": 12}.get(kind, 6)
    seconds = STEPS * DT_S
    return build_config(
        lattice={
            "kind": kind,
            "shape": shape,
            "coupling_rad_s": 1.0 / (neighbours * seconds),
        },
        bridges={"per_node": PER_NODE, "strength_rad_s": 0.25 / (PER_NODE * seconds)},
        dynamics={"integrator": integrator, "dt_s": DT_S, "duration_s": seconds},
        # Decisions would turn rounding in r into other windows; here only the
        # arithmetic is compared. P < 1 for every bridge.
        controller={"objective": "fixed", "fixed_frequency_hz": 432.0},
        tunnel={"max_probability": 0.8},
    )


@pytest.mark.parametrize("integrator", ["euler", "rk4"])
@pytest.mark.parametrize("kind", LATTICE_AXES)
@pytest.mark.parametrize("name", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_run_agrees_with_reference(
    name: str,
    kind: str,
    integrator: str,
    build_config: BuildConfig,
    request: pytest.FixtureRequest,
) -> None:
    if name == "cuda":
        request.getfixturevalue("require_cuda")()
    config = gentle_config(build_config, kind, integrator)
    exact, exact_summary = run(replace(config, backend=_backend(config, "reference")))
    system, summary = run(replace(config, backend=_backend(config, name)))

    assert summary.tunnels == exact_summary.tunnels
    assert summary.tunnels["failed"] > 0
    # Growth: 2 z K over the run from the lattice, 2 kappa from the bridges; at
    # P = 0.8 luck can raise a node's share of events, hence the factor 2.
    growth = 2.0 + 2.0 * 2.0 * 0.25
    per_node = 2 * PER_NODE * 432.0 * STEPS * DT_S
    bound = grow(2.0 * step_error(system.lattice.state, DT_S), STEPS, growth)
    bound += EVENT_ERROR * per_node * math.exp(growth)
    assert distance_turns(system.lattice.phases, exact.lattice.phases) < bound
    assert system.coherence == pytest.approx(exact.coherence, abs=2.0 * np.pi * bound)


def _backend(config: RunConfig, name: str) -> Any:
    return replace(config.backend, name=name)


SIZES: dict[str, Mapping[str, Any]] = {
    "odd square": {"shape": (31, 17)},
    "three cells": {"shape": (3, 3)},
    "two open cells": {"shape": (2, 2), "periodic": (False,)},
    "one slab more than blocks": {"shape": (9, 6)},
    "open triangular": {"kind": "triangular", "shape": (5, 7), "periodic": (False,)},
    "mixed bcc": {"kind": "bcc", "shape": (3, 2, 5), "periodic": (True, False, True)},
    "fcc": {"kind": "fcc", "shape": (5, 3, 3)},
    "shortest chain": {"kind": "chain", "shape": (2,), "periodic": (False,)},
    "long chain": {"kind": "chain", "shape": (9001,)},
}


def digest(config: RunConfig, threads: int) -> str:
    changed = replace(config.backend, name="cpu", threads=threads)
    return run(replace(config, backend=changed))[1].state_digest


@pytest.mark.parametrize("integrator", ["euler", "rk4"])
@pytest.mark.parametrize("name", SIZES)
def test_threads_do_not_change_a_bit(
    name: str, integrator: str, build_config: BuildConfig
) -> None:
    lattice = SIZES[name]
    nodes = math.prod(lattice["shape"])
    kind = "none" if nodes < 9 else "small_world"
    config = build_config(
        lattice=lattice,
        bridges={"kind": kind if nodes % 2 or nodes < 9 else "matchings"},
        dynamics={"integrator": integrator, "duration_s": 0.02},
    )
    assert digest(config, 1) == digest(config, 2)


def test_threads_do_not_change_a_bit_of_large_segments(
    build_config: BuildConfig,
) -> None:
    # Every bridge acts in every step, and a layer is longer than PARALLEL_EVENTS.
    shape = (72, 80)
    assert math.prod(shape) // 2 > PARALLEL_EVENTS
    config = build_config(
        lattice={"shape": shape, "coupling_rad_s": 20.0, "spread_hz": 5.0},
        bridges={"strength_rad_s": 20.0},
        dynamics={"dt_s": 1.0 / 432.0, "duration_s": 0.1},
        controller={"objective": "fixed", "fixed_frequency_hz": 432.0},
        tunnel={"max_probability": 0.7},
    )
    assert digest(config, 1) == digest(config, 2)


def script_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every period "measure" another cost per event, between 1 and 4 us."""
    script = itertools.cycle([1e-6, 2e-6, 4e-6])

    def update(cost: CostModel, *_: float) -> None:
        cost.node_step_s, cost.event_s = 1e-9, next(script)

    monkeypatch.setattr(CostModel, "update", update)


@pytest.mark.parametrize("objective", ["headroom", "floor", "pace", "fixed"])
def test_live_run_replays_to_the_bit(
    objective: str,
    build_config: BuildConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A low floor that is soon left lets resources and measured costs decide; at a
    # pace of 10 the scripted costs of 512 bridges afford 49 to 195 Hz.
    script_costs(monkeypatch)
    config = build_config(
        dynamics={"duration_s": 0.2},
        tunnel={"min_coherence": 0.05},
        controller={
            "objective": objective,
            "target_pace": 10.0,
            "dwell_periods": 0,
            "descent_rungs_per_s": 1000.0,
        },
        load={"kind": "none"},
        record={"folder": str(tmp_path / "live")},
    )
    _, live = run(config)
    replayed = replace(
        config,
        load=replace(config.load, kind="replay", trace=str(tmp_path / "live")),
        record=replace(config.record, folder=str(tmp_path / "again")),
    )
    _, again = run(replayed)
    assert again.state_digest == live.state_digest
    assert again.tunnels == live.tunnels
    assert again.controller_state == live.controller_state


def test_replay_of_a_replay(build_config: BuildConfig, tmp_path: Path) -> None:
    load = {"kind": "synthetic", "profile": "sine", "level": 1.0, "period_s": 0.1}
    config = build_config(load=load, record={"folder": str(tmp_path / "0")})
    digests = {run(config)[1].state_digest}
    for turn in range(2):
        config = replace(
            config,
            load=replace(config.load, kind="replay", trace=str(tmp_path / f"{turn}")),
            record=replace(config.record, folder=str(tmp_path / f"{turn + 1}")),
        )
        digests.add(run(config)[1].state_digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"lattice": {"coupling_rad_s": 216.1}},
        {"bridges": {"strength_rad_s": 108.1}},
        {"tunnel": {"max_probability": 0.9}},
        {"load": {"level": 0.999}},
    ],
    ids=str,
)
def test_other_inputs_give_another_digest(
    change: dict[str, Any], build_config: BuildConfig
) -> None:
    # Equal digests mean something only because unequal runs differ.
    easy = {"tunnel": {"min_coherence": 0.05}, "controller": {"dwell_periods": 0}}
    base = run(build_config(**easy))[1]
    merged = {**easy, **change}
    if "tunnel" in change:
        merged["tunnel"] = {**easy["tunnel"], **change["tunnel"]}
    assert run(build_config(**merged))[1].state_digest != base.state_digest

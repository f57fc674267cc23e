"""Guards: a run whose numbers leave what can be computed with stops, and says why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends.protocol import TABLEAUS
from engine.bridge import BridgeNetwork, EdgeList, build_empty, build_matchings
from engine.config import BackendConfig, BridgesConfig, RunConfig
from engine.config.dynamics import MAX_STEPS
from engine.errors import ConfigError, EngineError, NumericalError, ShapeError
from engine.system import ScribbleSystem
from engine.system.guards import MAX_KICKS, find_largest
from engine.tunnel import TunnelSchedule

NAN, INF = math.nan, math.inf
BuildConfig = Callable[..., RunConfig]


@pytest.fixture(params=["cpu", "reference"])
def system(request: pytest.FixtureRequest, build_config: BuildConfig) -> ScribbleSystem:
    config = build_config(
        backend={"name": request.param}, dynamics={"duration_s": 0.01}
    )
    return ScribbleSystem(config)


def complain(act: Callable[[], Any]) -> str:
    with pytest.raises(NumericalError) as caught:
        act()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1001.0, -1001.0])
def test_detuning_that_was_written_by_hand(
    system: ScribbleSystem, value: float
) -> None:
    # A quarter of a turn in a step of 0.25 ms is 1000 Hz.
    system.lattice.state.detunings[3] = value
    assert "natural frequency" in complain(system.run)


def test_largest_detuning_that_a_step_can_follow(system: ScribbleSystem) -> None:
    system.lattice.state.detunings[3] = 1000.0
    assert system.run().status == "done"


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_dose_that_was_written_by_hand(system: ScribbleSystem, value: float) -> None:
    system.network.arrays.dose_rates[5] = value  # type: ignore[union-attr]
    assert "dose rate" in complain(lambda: system.advance(0.01))


@pytest.mark.parametrize("value", [NAN, 2001.0])
def test_velocity_beyond_half_a_turn_per_step(
    build_config: BuildConfig, value: float
) -> None:
    config = build_config(
        dynamics={"duration_s": 0.01, "integrator": "leapfrog", "inertia_s": 0.1}
    )
    with ScribbleSystem(config) as system:
        system.lattice.state.velocities[0] = value
        assert "velocity" in complain(system.run)


def test_pushes_that_add_up_are_seen(build_config: BuildConfig) -> None:
    # 64 bridges per node, each of which may push by a quarter turn / m at every step:
    # with m of a single step that is far beyond half a turn.
    config = build_config(
        bridges={"per_node": 64, "strength_rad_s": -1e9},
        dynamics={"duration_s": 0.05, "integrator": "leapfrog", "inertia_s": 0.00025},
        tunnel={"base_frequency": 2400.0},
        controller={"objective": "fixed", "fixed_frequency_hz": 3900.0},
    )
    with ScribbleSystem(config) as system:
        assert "velocity" in complain(system.run)


def test_steps_are_counted_over_all_calls(system: ScribbleSystem) -> None:
    system._account.step = MAX_STEPS - 41
    system.advance(0.01)  # 40 steps: the last that fit
    assert "Start a new run" in complain(lambda: system.advance(0.01))


def test_noise_never_repeats(build_config: BuildConfig) -> None:
    config = build_config(dynamics={"duration_s": 0.01, "diffusion_rad2_s": 1.0})
    with ScribbleSystem(config) as system:
        system.lattice.state.kicks = MAX_KICKS - 4 * 40
        assert "another seed" in complain(system.run)


def test_run_that_is_stopped_by_a_guard_keeps_its_summary(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    config = build_config(dynamics={"duration_s": 0.02}, record={"folder": str(folder)})
    with ScribbleSystem(config) as system:
        system._account.step = MAX_STEPS - 41
        complain(system.run)
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary["status"] == "failed"
    assert any("NumericalError" in note for note in summary["notes"])


@pytest.mark.parametrize("value", [NAN, INF, 0.0, -1.0, 1.1])
def test_probability_that_is_none(value: float, system: ScribbleSystem) -> None:
    edges = build_matchings(16, BridgesConfig(per_node=2), 0)
    probabilities = np.ones(len(edges))
    probabilities[1] = value
    with pytest.raises(ShapeError, match=r"in \(0, 1\]"):
        BridgeNetwork(edges, probabilities, system.backend)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 2e12])
def test_strength_that_is_none(value: float, system: ScribbleSystem) -> None:
    ids = np.arange(2, dtype=np.uint32)
    strengths = np.array([1.0, value], np.float32)
    edges = EdgeList(ids, ids + np.uint32(2), strengths, np.zeros(2, np.int32))
    with pytest.raises(ShapeError, match="strengths"):
        BridgeNetwork(edges, np.ones(2), system.backend)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0, -1.0, 1e13])
def test_numbers_set_by_hand(system: ScribbleSystem, value: float) -> None:
    def pin() -> None:
        system.network[0].frequency = value

    for act in (
        pin,
        lambda: system.lattice.adjust_resonance(value),
        lambda: system.adjust_strength(value),
        lambda: system.network.follow(-abs(value)),
    ):
        with pytest.raises(EngineError) as caught:
            act()
        assert isinstance(caught.value, ConfigError)
    if value != 0.0:
        with pytest.raises(ConfigError, match=r"lattice\.coupling_rad_s|dt_s"):
            system.adjust_coupling(value)


def test_largest_magnitude(system: ScribbleSystem) -> None:
    values = np.zeros(2**20 + 3, np.float32)
    assert find_largest(system.backend, values) == 0.0
    values[-1] = -3.0
    assert find_largest(system.backend, values) == 3.0
    values[7] = NAN
    assert math.isnan(find_largest(system.backend, values))


def test_no_bridges_need_no_guard(build_config: BuildConfig) -> None:
    assert len(build_empty()) == 0
    config = build_config(
        bridges={"kind": "none"}, backend=vars(BackendConfig("cpu")).copy()
    )
    with ScribbleSystem(config) as system:
        assert system.run().status == "done"


def build_edges(node: int) -> EdgeList:
    """Build a list by hand, past `take_edges`, whose second bridge ends at a node."""
    sources, targets = np.array([0, 1], np.uint32), np.array([2, node], np.uint32)
    return EdgeList(sources, targets, np.ones(2, np.float32), np.zeros(2, np.int32))


def test_node_beyond_the_lattice_never_reaches_the_kernels(
    system: ScribbleSystem,
) -> None:
    lattice, backend = system.lattice, system.backend
    network = BridgeNetwork(build_edges(lattice.node_count), np.ones(2), backend)
    with pytest.raises(ShapeError, match=r"lattice has \d+ nodes"):
        lattice.bridges = network
    schedule = TunnelSchedule(network, 0.001, 0)
    period, _ = schedule.plan_period(4, TABLEAUS["euler"])
    before = lattice.phases
    with pytest.raises(ShapeError, match=r"lattice has \d+ nodes"):
        backend.advance(lattice.state, network.arrays, period)
    assert (lattice.phases == before).all()
    fitting = BridgeNetwork(build_edges(lattice.node_count - 1), np.ones(2), backend)
    lattice.bridges = fitting
    period, _ = TunnelSchedule(fitting, 0.001, 0).plan_period(4, TABLEAUS["euler"])
    backend.advance(lattice.state, fitting.arrays, period)


@pytest.mark.parametrize(
    ("edges", "complaint"),
    [
        (build_edges(2**31), "0..2147483647"),
        (build_edges(1), "joins node 1 with itself"),
        (build_edges(2), "Node 2 occurs 2 times in layer 0"),
        (build_edges(2**30), ""),
        (replace(build_edges(5), targets=np.array([2, 5])), "targets .* int64"),
        (replace(build_edges(5), layers=np.zeros(3, np.int32)), "layers .* shape"),
    ],
)
def test_edge_list_that_was_built_by_hand(
    edges: EdgeList, complaint: str, system: ScribbleSystem
) -> None:
    if not complaint:  # far apart, but sound: no table of 2^30 nodes is made for them
        assert BridgeNetwork(edges, np.ones(2), system.backend).node_count == 2**30 + 1
        return
    with pytest.raises(ShapeError, match=complaint):
        BridgeNetwork(edges, np.ones(2), system.backend)


def test_node_that_occurs_twice_among_few_bridges_of_a_large_lattice(
    system: ScribbleSystem,
) -> None:
    ids = np.array([0, 2**30], np.uint32)
    targets, layers = np.array([1, 1], np.uint32), np.zeros(2, np.int32)
    twice = EdgeList(ids, targets, np.ones(2, np.float32), layers)
    with pytest.raises(ShapeError, match="Node 1 occurs 2 times"):
        BridgeNetwork(twice, np.ones(2), system.backend)

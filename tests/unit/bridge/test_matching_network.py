"""MatchingNetwork: what is computed looks like what is stored, and is never held."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.backends.protocol import TABLEAUS, Backend, LatticeState
from engine.bridge import FOLLOW, BridgeNetwork, EdgeList, MatchingNetwork
from engine.bridge.base import locking_value
from engine.config import BridgesConfig, RunConfig, TunnelConfig
from engine.errors import ConfigError, EngineError
from engine.geometry import build_geometry
from engine.recording import digest_state
from engine.system import ScribbleSystem
from engine.tunnel import TunnelSchedule, mean_probability

BuildConfig = Callable[..., RunConfig]
NODES = 600
TUNNEL = TunnelConfig(linewidth_hz=50.0, max_probability=0.9)


def build(
    backend: Backend, spread_hz: float = 34.4, **more: Any
) -> tuple[LatticeState, MatchingNetwork]:
    rng = np.random.default_rng(4)
    phases = rng.integers(0, 2**32, NODES, dtype=np.uint32)
    detunings = rng.normal(0.0, spread_hz, NODES).astype(np.float32)
    geometry = build_geometry("square", (20, 30))
    lattice = backend.build_lattice(geometry, phases, detunings, 0.0)
    config = BridgesConfig("procedural", per_node=3, strength_rad_s=5.0)
    config = replace(config, **more)
    return lattice, MatchingNetwork(config, lattice, backend, TUNNEL, seed=3)


def advance(network: MatchingNetwork, lattice: LatticeState, steps: int = 40) -> int:
    schedule = TunnelSchedule(network, 0.001, seed=1)
    period, _ = schedule.plan_period(steps, TABLEAUS["euler"])
    return network.backend.advance(lattice, network.arrays, period).successes


def test_views_tell_what_the_columns_hold(backend: Backend) -> None:
    lattice, network = build(backend)
    advance(network, lattice)
    host = network.columns_by_id()
    assert len(network) == len(host.ids) == 900
    for bridge_id in (0, 299, 300, 899):
        bridge = network[bridge_id]
        assert bridge.source == host.sources[bridge_id]
        assert bridge.target == host.targets[bridge_id]
        assert bridge.strength_rad_s == 5.0
        assert bridge.probability == (int(host.thresholds[bridge_id]) + 1) / 2**32
        assert bridge.attempts == host.attempts[bridge_id] > 0
        assert bridge.successes == host.successes[bridge_id]
        assert bridge.coherence == network.coherences()[bridge_id] > 0.0
        assert bridge.frequency == network.frequency_hz
        assert network.rung(bridge_id) == FOLLOW
    everything = locking_value(host.locking_cos, host.locking_sin, host.attempts)
    assert np.array_equal(network.coherences(), everything)
    with pytest.raises(IndexError, match="bridge 900 of 900"):
        network[900]


def test_directed_and_repulsive_bridges_are_seen(backend: Backend) -> None:
    lattice, network = build(backend, 0.0, strength_rad_s=-5.0, directed=True)
    before = backend.read_phases(lattice)
    advance(network, lattice)
    sources, _ = network.matching.compute_ends(np.arange(900))
    bridge = network[301]
    assert (bridge.source, bridge.strength_rad_s) == (sources[301], -5.0)
    assert bridge.is_directed
    assert repr(bridge).startswith(f"QuantumBridge({sources[301]} -> ")
    assert 301 in network.touching(bridge.source)
    # A node that is the target of no bridge stays.
    targets = network.columns_by_id().targets
    leaders = np.setdiff1d(np.arange(NODES), targets)
    moved = backend.read_phases(lattice) != before
    assert len(leaders) > 20
    assert not moved[leaders].any()
    assert moved[targets].all()


def test_bridges_that_touch_a_node(reference: Backend) -> None:
    _, network = build(reference)
    host = network.columns_by_id()
    for node in (0, 17, NODES - 1):
        wanted = np.flatnonzero((host.sources == node) | (host.targets == node))
        assert np.array_equal(network.touching(node), wanted)
        assert len(wanted) == 3


@pytest.mark.parametrize("act", ["pin", "frequency", "release"])
def test_single_bridges_cannot_be_pinned(act: str, reference: Backend) -> None:
    _, network = build(reference)
    with pytest.raises(EngineError, match="use bridges=matchings to pin") as caught:
        if act == "pin":
            network.pin(5, 100.0)
        elif act == "release":
            network.release(5)
        else:
            network[5].frequency = 100.0
    assert isinstance(caught.value, ConfigError)
    assert not network.apply_requests()
    with pytest.raises(IndexError):
        network.pin(900, 100.0)


def test_mean_probability_is_exact(backend: Backend) -> None:
    _, network = build(backend)
    thresholds = network.columns_by_id().thresholds
    words = sum(int(threshold) + 1 for threshold in thresholds)
    assert mean_probability(network) == pytest.approx(words / 900 / 2**32, rel=1e-15)


@pytest.mark.parametrize(("strength", "directed"), [(5.0, False), (-5.0, True)])
def test_events_are_those_of_the_same_bridges_stored(
    strength: float, directed: bool, binary_backend: Backend
) -> None:
    # Slots of a stored network lie in another order; with every bridge in every step
    # the order counts for nothing.
    lattice, network = build(binary_backend, strength_rad_s=strength, directed=directed)
    host = network.columns_by_id()
    sources, targets = network.matching.compute_ends(host.ids)
    edges = EdgeList(
        sources,
        targets,
        np.full(900, strength, np.float32),
        np.repeat(np.arange(3, dtype=np.int32), NODES // 2),
        np.full(1, directed),
    )
    chances = (host.thresholds + 1.0) / 2**32
    stored = BridgeNetwork(edges, chances, binary_backend, TUNNEL)
    phases = binary_backend.read_phases(lattice)
    detunings = binary_backend.to_host(lattice.detunings)
    copy = binary_backend.build_lattice(lattice.geometry, phases, detunings, 0.0)
    successes = []
    for each, state in ((network, lattice), (stored, copy)):
        each.follow(500.0)
        schedule = TunnelSchedule(each, 0.002, seed=1)
        period, _ = schedule.plan_period(40, TABLEAUS["euler"])
        result = binary_backend.advance(state, each.arrays, period)
        successes.append(result.successes)
    assert 0 < successes[0] == successes[1] < 900 * 40
    ours, theirs = network.columns_by_id(), stored.columns_by_id()
    assert np.array_equal(ours.successes, theirs.successes)
    assert np.array_equal(ours.thresholds, theirs.thresholds)


def test_sum_of_phases_is_kept(binary_backend: Backend) -> None:
    lattice, network = build(binary_backend)
    detunings = np.zeros(NODES, np.float32)
    phases = binary_backend.read_phases(lattice)
    still = binary_backend.build_lattice(lattice.geometry, phases, detunings, 0.0)
    assert advance(network, still, 100) > 1000
    moved = binary_backend.read_phases(still)
    assert not np.array_equal(moved, phases)
    assert phases.sum(dtype=np.uint32) == moved.sum(dtype=np.uint32)


def test_state_is_read_in_pieces(
    reference: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    lattice, network = build(reference)
    advance(network, lattice)
    whole = digest_state(network.columns_by_id().state_columns)
    monkeypatch.setattr("engine.bridge.matching.CHUNK", 7)
    pieces = list(network.read_state())
    assert max(map(len, pieces)) == 7
    assert digest_state(pieces) == whole


def small_run(build_config: BuildConfig, **groups: dict[str, object]) -> RunConfig:
    return build_config(
        **{
            "bridges": {"kind": "procedural"},
            "tunnel": {"max_probability": 0.8},
            "dynamics": {"duration_s": 0.1},
            **groups,
        }
    )


@pytest.mark.parametrize("shape", [(72, 80), (64, 64)])
def test_threads_do_not_change_a_bit(
    shape: tuple[int, int], build_config: BuildConfig
) -> None:
    digests = set()
    for threads in (1, 2):
        config = small_run(
            build_config,
            lattice={"shape": shape, "coupling_rad_s": 20.0, "spread_hz": 5.0},
            dynamics={"dt_s": 1.0 / 720.0, "duration_s": 0.05},
            controller={"objective": "fixed", "fixed_frequency_hz": 700.0},
            backend={"name": "cpu", "threads": threads},
        )
        with ScribbleSystem(config) as system:
            digests.add(system.run().state_digest)
    assert len(digests) == 1


def test_counted_successes_agree_with_the_mean_probability(
    build_config: BuildConfig,
) -> None:
    with ScribbleSystem(small_run(build_config)) as system:
        counts = system.run().tunnels
        chance = system.controller.calculate_probability()
        assert system.monitor.tunnel_stats[7].attempts > 0
        assert len(system.controller.active_tunnels) == 512
        assert system.controller.active_tunnels[3].rung is None
    deviation = math.sqrt(chance * (1.0 - chance) * counts["attempted"])
    assert abs(counts["successful"] - chance * counts["attempted"]) < 4.9 * deviation


def test_building_and_running_holds_no_host_column(build_config: BuildConfig) -> None:
    # 64 bridge ends per node are 640 bytes of columns; the host may hold nothing more
    # that grows with them. Columns of `cpu` lie in host memory, hence the difference.
    def measure(per_node: int) -> int:
        config = small_run(
            build_config,
            lattice={"shape": (256, 256)},
            bridges={"kind": "procedural", "per_node": per_node},
            dynamics={"duration_s": 0.001},
        )
        tracemalloc.start()
        try:
            with ScribbleSystem(config) as system:
                system.run()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    measure(4)
    grown = measure(64) - measure(16)
    columns = 20 * 48 * 256**2 // 2
    # Reading the state back takes a chunk of 2^20 bridges at a time.
    assert grown < columns + 4 * 2**20 + 2**21


def test_odd_lattices_are_refused(build_config: BuildConfig) -> None:
    config = small_run(build_config, lattice={"shape": (9, 9)})
    with pytest.raises(ConfigError, match=r"81 nodes, an odd number.*small_world"):
        config.validate()


def test_more_bridges_than_ids_are_refused(build_config: BuildConfig) -> None:
    config = small_run(
        build_config,
        lattice={"shape": (2**15, 2**15)},
        bridges={"kind": "procedural", "per_node": 9},
    )
    with pytest.raises(ConfigError, match=r"per_node is 9.*at most 4294967296 fit"):
        config.validate()

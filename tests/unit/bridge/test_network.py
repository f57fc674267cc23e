"""BridgeNetwork: slots, rungs and views; what a bridge is does not move with it."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.backends.matching import DIRECTED_FLAG
from engine.backends.protocol import TABLEAUS, Backend
from engine.bridge import FOLLOW, BridgeNetwork, build_matchings
from engine.bridge.base import locking_value
from engine.bridge.slots import order_slots
from engine.config import BridgesConfig, RunConfig, TunnelConfig
from engine.errors import ConfigError, ShapeError
from engine.geometry import build_geometry
from engine.system import Progress, ScribbleSystem
from engine.tunnel import TunnelSchedule

TOP_HZ = TunnelConfig().maximum_frequency_hz


def build_network(backend: Backend, nodes: int = 40, layers: int = 2) -> BridgeNetwork:
    edges = build_matchings(nodes, BridgesConfig(per_node=layers), 0)
    return BridgeNetwork(edges, np.linspace(0.3, 1.0, len(edges)), backend)


def advance(network: BridgeNetwork, steps: int, schedule: TunnelSchedule) -> None:
    """Run tunnel events between nodes that do not move by themselves."""
    nodes = int(network.edges.targets.max()) + 1
    geometry = build_geometry("chain", (max(nodes, 40),))
    phases = (np.arange(geometry.node_count) * 97_003_241 % 2**32).astype(np.uint32)
    zeros = np.zeros(geometry.node_count, np.float32)
    lattice = network.backend.build_lattice(geometry, phases, zeros, 0.0)
    period, _ = schedule.plan_period(steps, TABLEAUS["euler"])
    network.backend.advance(lattice, network.arrays, period)


def test_groups_are_contiguous_and_complete() -> None:
    rng = np.random.default_rng(0)
    layers = rng.integers(0, 4, 300).astype(np.int32)
    rungs = rng.integers(-1, 3, 300).astype(np.int8)
    sources = rng.permutation(300).astype(np.uint32)
    order, groups = order_slots(layers, rungs, sources)
    assert np.array_equal(np.sort(order), np.arange(300))
    assert groups[0].start == 0
    assert groups[-1].stop == 300
    for before, after in itertools.pairwise(groups):
        assert before.stop == after.start
    for group in groups:
        inside = order[group.start : group.stop]
        assert len(inside) > 0
        assert set(layers[inside]) == {group.layer}
        assert set(rungs[inside]) == {group.rung}
    assert len({(group.layer, group.rung) for group in groups}) == len(groups)


def test_no_bridges_make_no_groups() -> None:
    nothing = np.zeros(0, np.int32)
    order, groups = order_slots(nothing, nothing.astype(np.int8), nothing)
    assert len(order) == 0
    assert groups == ()


@pytest.mark.parametrize("count", [64, 100, 500, 512, 1024, 1504, 32768])
def test_every_window_covers_the_lattice_evenly(count: int) -> None:
    # By the three-gap theorem the largest gap between the first m multiples of the
    # golden ratio is at most 1 + 2 / sqrt 5 = 1.9 mean gaps 1 / m; whole slots round
    # each end by one, and a window may run over the layer's end: 4 leaves room.
    layers, rungs = np.zeros(count, np.int32), np.full(count, FOLLOW, np.int8)
    order, _ = order_slots(layers, rungs, np.arange(count, dtype=np.uint32))
    for length in (count // 32, count // 10, count // 4, count // 2):
        for start in (0, count // 3, count - length // 2):
            window = np.sort(order[(start + np.arange(length)) % count])
            gaps = np.diff(window, append=window[0] + count)
            assert gaps.max() <= 4.0 * count / length + 1


def test_pin_moves_a_bridge_to_its_nearest_rung(reference: Backend) -> None:
    network = build_network(reference)
    for wanted, rung in ((TOP_HZ, 0), (400.0, 1), (100.0, 4), (1e-6, 14)):
        network[7].frequency = wanted
        assert network.apply_requests()
        assert network.rungs[7] == rung
        assert network[7].frequency == pytest.approx(
            network.tunnel.rung_frequency_hz(rung)
        )
    assert (network.rungs[np.arange(40) != 7] == FOLLOW).all()


def test_pinned_bridge_ignores_the_network_until_released(reference: Backend) -> None:
    network = build_network(reference)
    network.pin(3, 432.0)
    network.apply_requests()
    network.follow(55.0)
    assert network[3].frequency == pytest.approx(432.0)
    assert network[4].frequency == 55.0
    assert network.frequencies_hz[3] == pytest.approx(432.0)
    assert network.frequencies_hz.sum() == pytest.approx(432.0 + 39 * 55.0)
    network.release(3)
    network.apply_requests()
    assert network[3].frequency == 55.0


def test_requests_wait_for_the_loop_and_the_last_one_counts(
    reference: Backend,
) -> None:
    network = build_network(reference)
    network.pin(3, 100.0)
    network.pin(3, 432.0)
    assert network.rungs[3] == FOLLOW
    assert network.apply_requests()
    assert network[3].frequency == pytest.approx(432.0)
    assert not network.apply_requests()


def test_counters_and_state_move_with_their_bridge(backend: Backend) -> None:
    network = build_network(backend)
    schedule = TunnelSchedule(network, 0.001, seed=1)
    advance(network, 30, schedule)
    before = network.columns_by_id()
    assert before.attempts.sum() > 0
    for bridge_id in (0, 9, 21, 39):
        network.pin(bridge_id, 100.0)
    network.apply_requests()
    after = network.columns_by_id()
    for name, column in vars(before).items():
        assert np.array_equal(getattr(after, name), column), name
    for bridge_id in (0, 1, 39):
        assert network[bridge_id].attempts == before.attempts[bridge_id]
        assert network[bridge_id].successes == before.successes[bridge_id]


def test_columns_by_id_are_the_edges(backend: Backend) -> None:
    network = build_network(backend)
    host = network.columns_by_id()
    assert np.array_equal(host.ids, np.arange(40))
    assert np.array_equal(host.sources, network.edges.sources)
    assert np.array_equal(host.targets, network.edges.targets)


def test_dose_rate_is_strength_over_probability(backend: Backend) -> None:
    # Strength is conserved on average, whatever share of attempts succeeds.
    network = build_network(backend)
    host = network.columns_by_id()
    assert host.dose_rates * network.probabilities == pytest.approx(108.0, rel=1e-6)


def build_mixed(backend: Backend, nodes: int = 40) -> BridgeNetwork:
    """Every third bridge is directed, every fourth repels."""
    edges = build_matchings(nodes, BridgesConfig(per_node=2), 0)
    edges.strengths_rad_s[::4] *= -1.0
    edges = replace(edges, directed=np.arange(len(edges)) % 3 == 0)
    return BridgeNetwork(edges, np.linspace(0.3, 1.0, len(edges)), backend)


def test_direction_and_sign_lie_in_bits_and_are_never_seen(backend: Backend) -> None:
    network = build_mixed(backend)
    host, edges = network.columns_by_id(), network.edges
    assert np.array_equal(host.sources % DIRECTED_FLAG, edges.sources)
    assert np.array_equal(host.sources >= DIRECTED_FLAG, edges.directed)
    halves = np.where(edges.directed, 0.5, 1.0)
    rates = edges.strengths_rad_s / network.probabilities * halves
    assert host.dose_rates == pytest.approx(rates, rel=1e-6)
    for bridge in network:
        assert bridge.source == edges.sources[bridge.bridge_id] < 40
        assert bridge.target == edges.targets[bridge.bridge_id]
        assert bridge.is_directed == (bridge.bridge_id % 3 == 0)
        assert bridge.strength_rad_s == (-108.0 if bridge.bridge_id % 4 == 0 else 108.0)
    assert repr(network[3]).startswith(f"QuantumBridge({network[3].source} -> ")
    assert repr(network[4]).startswith(f"QuantumBridge({network[4].source} - ")
    touched = [bridge for bridge in network if 11 in (bridge.source, bridge.target)]
    assert [bridge.bridge_id for bridge in touched] == network.touching(11).tolist()


def test_pinning_keeps_direction_and_sign(backend: Backend) -> None:
    network = build_mixed(backend)
    before = network.columns_by_id()
    for bridge_id in (0, 3, 4, 12):
        network.pin(bridge_id, 100.0)
    assert network.apply_requests()
    after = network.columns_by_id()
    assert np.array_equal(after.sources, before.sources)
    assert np.array_equal(after.dose_rates, before.dose_rates)
    assert network[12].is_directed
    assert network[12].strength_rad_s == -108.0


@pytest.mark.parametrize("probability", [1e-12, 0.25, 0.5, 1.0])
def test_threshold_holds_the_probability(
    reference: Backend, probability: float
) -> None:
    edges = build_matchings(2, BridgesConfig(per_node=1), 0)
    network = BridgeNetwork(edges, np.array([probability]), reference)
    words = int(network.arrays.thresholds[0]) + 1  # words that pass
    assert 0 <= words / 2.0**32 - probability < 2.0**-32


@pytest.mark.parametrize("frequency", [0.0, -1.0, math.nan, math.inf, TOP_HZ * 1.01])
def test_frequency_outside_the_ladder(reference: Backend, frequency: float) -> None:
    network = build_network(reference)
    with pytest.raises(ConfigError, match=r"frequency of bridge 3 is .* \(0, 698.99"):
        network[3].frequency = frequency
    assert not network.apply_requests()


@pytest.mark.parametrize("frequency", [0.0, -1.0, math.nan, math.inf])
def test_network_frequency_must_be_positive(
    reference: Backend, frequency: float
) -> None:
    with pytest.raises(ConfigError, match="tunnel frequency is"):
        build_network(reference).follow(frequency)


@pytest.mark.parametrize("bridge_id", [-1, 40, 10**6])
def test_no_such_bridge(reference: Backend, bridge_id: int) -> None:
    network = build_network(reference)
    with pytest.raises(IndexError, match="of 40"):
        network[bridge_id]
    # A request must fail where it is made, not in the loop that runs later.
    with pytest.raises((IndexError, ConfigError)):
        network.pin(bridge_id, 100.0)


def test_bridge_is_a_view(reference: Backend) -> None:
    network = build_network(reference)
    bridge = network[5]
    assert bridge.source == network.edges.sources[5]
    assert bridge.target == network.edges.targets[5]
    assert bridge.strength_rad_s == 108.0
    assert bridge.probability == network.probabilities[5]
    assert (bridge.attempts, bridge.successes, bridge.coherence) == (0, 0, 0.0)
    advance(network, 50, TunnelSchedule(network, 0.001, seed=1))
    assert bridge.attempts > 0
    assert 0.0 < bridge.coherence <= 1.0
    assert f"QuantumBridge({bridge.source} - {bridge.target}, 699 Hz, id 5)" == repr(
        bridge
    )
    assert [each.bridge_id for each in network] == list(range(40))


def test_bridges_that_touch_a_node(reference: Backend) -> None:
    network = build_network(reference)
    touching = network.touching(11)
    assert len(touching) == 2  # one end in each of two perfect matchings
    for bridge_id in touching:
        bridge = network[int(bridge_id)]
        assert 11 in (bridge.source, bridge.target)


@pytest.mark.parametrize("attempts", [1, 3, 100, 10_000])
def test_locking_value_of_a_steady_gap_is_one(attempts: int) -> None:
    mean = 0.0
    for _ in range(min(attempts, 2000)):
        mean += (1.0 - mean) / 16.0
    gap = 0.7
    value = locking_value(
        np.array([mean * math.cos(gap)]),
        np.array([mean * math.sin(gap)]),
        np.array([attempts]),
    )
    assert value[0] == pytest.approx(1.0)


def test_locking_value_of_a_turning_gap_is_small() -> None:
    gaps = 2.0 * np.pi * np.arange(400) / 4.0
    mean = 0j
    for gap in gaps:
        mean += (np.exp(1j * gap) - mean) / 16.0
    value = locking_value(np.array([mean.real]), np.array([mean.imag]), np.array([400]))
    # Geometric sum: (1/16) / |1 - (15/16) exp(-i pi/2)| = 0.0456.
    assert value[0] == pytest.approx(0.0456, abs=1e-4)


def test_frequency_is_set_from_another_thread_while_a_run_goes_on(
    build_config: Callable[..., RunConfig],
) -> None:
    config = build_config(
        dynamics={"duration_s": 0.2},
        controller={"objective": "fixed", "fixed_frequency_hz": 432.0},
    )
    with ScribbleSystem(config) as system:
        at_half_time, was_set = threading.Event(), threading.Event()
        attempts: list[int] = []

        def on_progress(progress: Progress) -> None:
            if progress.step == progress.step_count // 2:
                attempts.append(system.network[9].attempts)
                at_half_time.set()
                assert was_set.wait(timeout=30.0)

        def set_frequency() -> None:
            assert at_half_time.wait(timeout=30.0)
            system.network[9].frequency = 39.0
            was_set.set()

        other = threading.Thread(target=set_frequency)
        other.start()
        summary = system.run(on_progress)
        other.join()

        rung_hz = system.network.tunnel.rung_frequency_hz(6)
        bridge = system.network[9]
        assert bridge.frequency == pytest.approx(rung_hz)
        # 0.1 s at each frequency, each within one attempt.
        assert attempts[0] == pytest.approx(43.2, abs=1.0)
        assert bridge.attempts - attempts[0] == pytest.approx(0.1 * rung_hz, abs=1.0)
        # Nothing was lost on the way: the bridges' counters are the run's.
        counted = system.network.columns_by_id()
        assert counted.attempts.sum() == summary.tunnels["attempted"]
        assert counted.successes.sum() == summary.tunnels["successful"]


def test_rewired_network_is_laid_out_as_one_built_so(backend: Backend) -> None:
    network = build_network(backend)
    network.pin(3, 165.0)
    network.scale_strengths(2.0)
    rows = np.array([2, 3, 9])
    sources, targets = network.edges.sources[rows], network.edges.targets[rows]
    chances = np.array([0.5, 0.6, 0.7])
    network.rewire(rows, np.roll(sources, 1), targets, chances, tick=11)
    fresh = BridgeNetwork(network.edges, network.probabilities, backend)
    fresh.pin(3, 165.0)
    fresh.scale_strengths(2.0)
    fresh.apply_requests()
    assert network.groups == fresh.groups
    for name in ("ids", "sources", "targets", "dose_rates", "thresholds"):
        ours, theirs = (getattr(each.arrays, name) for each in (network, fresh))
        assert (backend.to_host(ours) == backend.to_host(theirs)).all()
    assert network[9].source == sources[1]
    assert network[9].probability == 0.7
    assert network.columns_by_id().last_ticks[rows].tolist() == [11, 11, 11]
    assert network.columns_by_id().last_ticks.sum() == 33


def test_rewiring_that_breaks_a_matching_changes_nothing(reference: Backend) -> None:
    network = build_network(reference)
    edges, before = network.edges, network.columns_by_id()
    with pytest.raises(ShapeError, match="a layer must stay a matching"):
        network.rewire(
            np.array([0]), edges.sources[1:2], edges.targets[:1], np.ones(1), tick=5
        )
    assert network.edges is edges
    for old, new in zip(before.columns, network.columns_by_id().columns, strict=True):
        assert (old == new).all()

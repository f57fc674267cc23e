"""Why counters and sums cannot overflow: each bound, from limits that are checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backends import select_backend
from engine.backends.protocol import TABLEAUS, Motion, Period
from engine.bridge import Group
from engine.config import LATTICE_AXES, BackendConfig
from engine.config.dynamics import MAX_STEPS
from engine.constants import (
    EDGE_UNIT,
    MAX_BRIDGES,
    MAX_NODES,
    ORDER_UNIT,
    TURN,
)
from engine.geometry import build_geometry
from engine.system.guards import KICKS_PER_STEP
from engine.tunnel.schedule import CURSOR_UNIT, TunnelSchedule
from tests.fuzz.mutations import explore

SINE_ERROR = 2.1e-7
"""Largest error of a sine or cosine of the kernels [-] (formulas.py)."""
MAX_PERIOD = 100_000
"""controller.period_steps at most."""
SIGNED, UNSIGNED = 2**63, 2**64


def test_sums_over_nodes_fit() -> None:
    # 2^31 nodes of 2^30 units each: 2^61 and a little.
    assert MAX_NODES * ORDER_UNIT * (1 + SINE_ERROR) + MAX_NODES < SIGNED
    # Gaps along an axis are at most half a turn each: 2^62.
    assert MAX_NODES * (TURN // 2) < SIGNED


@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_sums_over_edges_fit(kind: str) -> None:
    shape = (4,) * LATTICE_AXES[kind]
    geometry = build_geometry(kind, shape, (True,))
    per_node = geometry.edge_count / geometry.node_count
    assert per_node <= 6.0
    assert MAX_NODES * per_node * (EDGE_UNIT * (1 + SINE_ERROR) + 1) < SIGNED


def test_no_cosine_is_larger_than_the_bound_says() -> None:
    backend = select_backend(BackendConfig("cpu"), 16).backend
    # Aligned phases at the turns where cosine or sine is 1, and a little beside them.
    geometry = build_geometry("chain", (16,))
    for angle in (0, 1, 2**30, 2**31, 3 * 2**30, 2**32 - 1):
        phases = np.full(16, angle, np.uint32)
        zeros = np.zeros(16, np.float32)
        lattice = backend.build_lattice(geometry, phases, zeros, 0.0)
        largest = max(map(abs, backend.sum_order(lattice)))
        assert largest <= 16 * ORDER_UNIT * (1 + SINE_ERROR)


def test_sum_of_thresholds_fits() -> None:
    assert MAX_BRIDGES * (TURN - 1) < UNSIGNED


def test_cursors_fit() -> None:
    # A layer holds half of the nodes at most; float64 holds its cursor exactly.
    layer = MAX_NODES // 2
    assert layer * CURSOR_UNIT <= 2**53
    assert CURSOR_UNIT * MAX_PERIOD < SIGNED
    assert layer * MAX_PERIOD + CURSOR_UNIT * MAX_PERIOD < SIGNED


def test_waits_of_bridges_fit() -> None:
    # At the highest frequency a bridge attempts in every step, so that 32 bits, without
    # a sign, hold its attempts of the longest run twice over.
    assert np.iinfo(np.uint32).max // 2 >= MAX_STEPS - 1
    # And 64 bits, one of them the sign, hold those of all bridges in the time series.
    assert MAX_BRIDGES * (MAX_STEPS - 1) < SIGNED
    # Kernels take the steps since the last event as a signed number of 32 bits, and
    # the first event counts from step 0. Attempts are at most one per step.
    assert MAX_STEPS <= 2**31


@dataclass
class Links:
    """Groups of bridges with a frequency each, as a schedule sees them."""

    groups: tuple[Group, ...]
    frequencies: list[float]

    def find_frequency_hz(self, rung: int) -> float:
        return self.frequencies[rung]


@explore(200)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 40) | st.sampled_from((2**20, 2**30)),
            st.floats(1e-9, 4000.0) | st.sampled_from((3999.999999, 4000.0, 1e6)),
        ),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(1, 90), min_size=1, max_size=4),
    st.integers(1, 64),
)
def test_window_is_never_longer_than_its_layer(
    groups: list[tuple[int, float]], periods: list[int], slice_steps: int
) -> None:
    starts = np.cumsum([0, *(count for count, _ in groups)]).tolist()
    links = Links(
        tuple(
            Group(index, index, starts[index], starts[index + 1])
            for index in range(len(groups))
        ),
        [frequency for _, frequency in groups],
    )
    schedule = TunnelSchedule(links, 1 / 4000, 0, slice_steps=slice_steps)  # type: ignore[arg-type]
    done = 0
    for steps in periods:
        period, attempts = schedule.plan_period(steps, TABLEAUS["euler"])
        done += attempts
        for index in range(period.slice_count):
            low, high = period.segment_bounds[index : index + 2]
            assert period.segment_layers is not None
            for layer, (count, _) in enumerate(groups):
                rows = np.flatnonzero(period.segment_layers[low:high] == layer) + low
                due = period.segments[rows]
                assert (due >= starts[layer]).all() and (due <= starts[layer + 1]).all()
                assert (due[:, 1] - due[:, 0]).sum() <= count
    # So no bridge attempts more than once per step, and its count fits as steps do.
    assert done <= sum(count for count, _ in groups) * sum(periods)


@pytest.mark.parametrize("slice_steps", [1, 2, 3, 4])
@pytest.mark.parametrize("step_count", [1, 3, 12])
def test_kicks_per_step(slice_steps: int, step_count: int) -> None:
    backend = select_backend(BackendConfig("cpu"), 16).backend
    zeros = np.zeros(16, np.float32)
    lattice = backend.build_lattice(
        build_geometry("square", (4, 4)),
        np.zeros(16, np.uint32),
        zeros,
        1.0,
        Motion(diffusion_rad2_s=1.0),
    )
    bridges = backend._build_eight_bridges(False)
    stride = slice_steps if step_count % slice_steps == 0 else 1
    slices = step_count // stride
    period = Period(
        step_count,
        1e-3,
        TABLEAUS["euler"],
        1,
        np.array([[0, 8]] * slices),
        np.arange(slices + 1),
        (0, 0),
        stride,
    )
    backend.advance(lattice, bridges, period)
    assert 0 < lattice.kicks <= KICKS_PER_STEP * step_count

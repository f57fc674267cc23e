"""The account of how far nodes can have moved since the last look."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.backends.counting import HALF_TURN, CountingBackend, split_layers
from engine.backends.motion import MovingBackend, bound_step_turns
from engine.backends.protocol import FOLLOWING, TABLEAUS, Motion, TurnCount
from engine.constants import FARTHEST_NORMAL


class Looker(CountingBackend):
    """Notes how far nodes could have moved at each look."""

    def __init__(self) -> None:
        self.looks: list[float] = []

    def count_turns(self, lattice: Any) -> None:
        self.looks.append(lattice.turn_count.moved_turns)
        lattice.turn_count.moved_turns = 0.0


class Mover(MovingBackend, Looker):
    """Moves nothing, but accounts for it."""

    def step_lattice(self, *_: Any) -> None: ...

    def kick(self, *_: Any) -> None: ...

    def drift(self, *_: Any) -> None: ...

    def coast(self, *_: Any) -> None: ...


def build_lattice(event_turns: float = 0.25, motion: Motion = FOLLOWING) -> Any:
    count = TurnCount(None, None, 0.0, event_turns)
    return SimpleNamespace(turn_count=count, motion=motion)


@pytest.mark.parametrize("step_turns", [0.0, 1e-6, 0.07, 0.125, 0.25, 0.3])
def test_no_stretch_goes_beyond_half_a_turn(step_turns: float) -> None:
    backend, lattice, left = Looker(), build_lattice(), 50
    while left:
        left -= backend.reserve_steps(lattice, step_turns, left)
    assert all(0.0 < look <= HALF_TURN for look in backend.looks)
    # And no look comes sooner than it must.
    fitting = min(int(HALF_TURN / step_turns), 50) if step_turns else 50
    assert len(backend.looks) == -(-50 // fitting) - 1


def test_steps_beyond_half_a_turn_are_looked_at_one_by_one() -> None:
    # Noise can be that strong; then every step is as good as it gets.
    backend, lattice = Looker(), build_lattice()
    assert [backend.reserve_steps(lattice, 3.0, 5) for _ in range(5)] == [1] * 5
    assert len(backend.looks) == 5


def test_steps_and_events_share_the_account() -> None:
    backend, lattice = Looker(), build_lattice()
    backend.reserve_steps(lattice, 0.07, 4)
    for _ in range(4):
        backend.reserve_event(lattice)
    assert backend.looks == pytest.approx([0.28, 0.5])
    directed = build_lattice(event_turns=0.5)
    for _ in range(3):
        backend.reserve_event(directed)
    assert backend.looks[2:] == [0.5, 0.5]


def test_nothing_is_looked_at_unless_somebody_counts() -> None:
    backend, lattice = Looker(), SimpleNamespace(turn_count=None, motion=FOLLOWING)
    assert backend.reserve_steps(lattice, 0.3, 50) == 50
    backend.reserve_event(lattice)
    assert backend.looks == []


@pytest.mark.parametrize(
    ("layers", "groups"),
    [
        (None, [[0], [1], [2], [3]]),
        ([0, 0, 1, 0], [[0, 1], [2], [3]]),
        ([2, 2, 2, 2], [[0, 1, 2, 3]]),
    ],
)
def test_slices_are_cut_where_a_node_could_return(
    layers: list[int] | None, groups: list[list[int]]
) -> None:
    segments = np.array([[9, 9], [0, 0], [1, 1], [2, 2], [3, 3], [9, 9]])
    period: Any = SimpleNamespace(
        segments=segments,
        segment_bounds=np.array([0, 1, 5, 6]),
        segment_layers=None if layers is None else np.array([7, *layers, 7]),
    )
    found = [part[:, 0].tolist() for part in split_layers(period, 1)]
    assert found == groups


def test_steps_are_bounded_for_every_motion() -> None:
    assert bound_step_turns(Motion(), 100.0, 0.002) == pytest.approx(0.2)
    noisy = bound_step_turns(Motion(diffusion_rad2_s=2.0), 100.0, 0.002)
    kick = np.sqrt(2.0 * 2.0 * 0.002) / (2.0 * np.pi)
    assert noisy == pytest.approx(0.2 + FARTHEST_NORMAL * kick)
    heavy = Motion(inertia_s=0.5, diffusion_rad2_s=2.0)
    spread_hz = 2.0 / (2.0 * np.pi)
    expected = (100.0 + FARTHEST_NORMAL * spread_hz) * 0.002
    assert bound_step_turns(heavy, 100.0, 0.002) == pytest.approx(expected)
    # u = 2^-33 is the least share that two words make: sqrt(-2 ln u) = 6.76.
    assert np.sqrt(2.0 * 33.0 * np.log(2.0)) < FARTHEST_NORMAL


@pytest.mark.parametrize(
    ("motion", "steps"),
    [
        (Motion(), 3.0),
        (Motion(is_global=True), 3.0),
        # A kick comes before the first step and a drift, too, each of half a step.
        (Motion(diffusion_rad2_s=1e-12), 3.5),
        (Motion(inertia_s=1.0), 3.5),
    ],
)
def test_every_motion_is_accounted_for(motion: Motion, steps: float) -> None:
    lattice = build_lattice(motion=motion)
    lattice.turn_count.fastest_hz = 10.0
    Mover().move_lattice(lattice, TABLEAUS["euler"], 0.001, 3)
    # The noise is so weak that it adds less than the tolerance.
    assert lattice.turn_count.moved_turns == pytest.approx(steps * 0.01, rel=1e-4)


def test_events_push_what_has_inertia_and_the_push_fades() -> None:
    backend, inertia_s, dt_s = Mover(), 0.01, 0.001
    lattice = build_lattice(motion=Motion(inertia_s=inertia_s))
    backend.reserve_event(lattice)
    assert lattice.turn_count.moved_turns == 0.0
    assert lattice.turn_count.pushed_hz == pytest.approx(0.25 / inertia_s)
    backend.move_lattice(lattice, TABLEAUS["leapfrog"], dt_s, 200)
    # In all a push moves a node by the event's way; counted step by step from its
    # beginning, by half a step of drift and a sum above the integral.
    kept = np.exp(-dt_s / inertia_s)
    ways = 0.25 * dt_s / inertia_s * (0.5 + 1.0 / (1.0 - kept))
    assert sum(backend.looks) + lattice.turn_count.moved_turns == pytest.approx(ways)
    assert ways < 0.25 * 1.2

"""A period is a Strang splitting: half a step, events, a step, ..., half a step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.backends.protocol import FOLLOWING, TABLEAUS, Motion, Period
from engine.backends.stepping import SteppingBackend


class Diary(SteppingBackend):
    """Writes down what it is told to do, on a clock that ticks at every look."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Any]] = []
        self.looks = 0

    def step_lattice(
        self, lattice: Any, tableau: Any, dt_s: float, count: int = 1
    ) -> None:
        self.entries.append(("lattice", (dt_s, count)))

    def kick(self, lattice: Any, dt_s: float) -> None:
        self.entries.append(("kick", dt_s))

    def drift(self, lattice: Any, ahead_s: float) -> None:
        self.entries.append(("drift", ahead_s))

    def coast(self, lattice: Any, dt_s: float, ahead_s: float) -> None:
        self.entries.append(("coast", (dt_s, ahead_s)))

    def step_tunnels(
        self, lattice: Any, bridges: Any, period: Any, segments: Any, tick: int
    ) -> None:
        self.entries.append(("tunnels", (tick, segments.tolist())))

    def step_matchings(
        self, lattice: Any, bridges: Any, period: Any, segments: Any, tick: int
    ) -> None:
        self.entries.append(("matchings", (tick, segments.tolist())))

    def _check_ends(self, lattice: Any, bridges: Any) -> None:
        """Take bridges that are none."""

    def take_successes(self) -> int:
        return 17

    def mark(self) -> int:
        self.looks += 1
        return self.looks


def build_period(
    segments: list[list[int]], bounds: list[int], slice_steps: int = 1
) -> Period:
    return Period(
        step_count=slice_steps * (len(bounds) - 1),
        dt_s=0.5,
        tableau=TABLEAUS["euler"],
        first_tick=11,
        segments=np.array(segments, np.int64).reshape(-1, 2),
        segment_bounds=np.array(bounds, np.int64),
        key=(0, 4),
        slice_steps=slice_steps,
    )


def run(period: Period, motion: Motion = FOLLOWING) -> tuple[Diary, Any]:
    diary, lattice = Diary(), SimpleNamespace(motion=motion, turn_count=None)
    return diary, diary.advance(lattice, None, period)  # type: ignore[arg-type]


def test_order_of_a_period() -> None:
    period = build_period([[0, 2], [3, 4], [5, 6]], [0, 2, 2, 3])
    diary, result = run(period)
    assert diary.entries == [
        ("lattice", (0.25, 1)),
        ("tunnels", (11, [[0, 2], [3, 4]])),
        # Nothing is due in the second step, so both steps are one stretch.
        ("lattice", (0.5, 2)),
        ("tunnels", (13, [[5, 6]])),
        ("lattice", (0.25, 1)),
    ]
    assert result.successes == 17


def test_slices_of_several_steps_are_split_in_the_middle() -> None:
    period = build_period([[0, 2], [3, 4]], [0, 1, 2], slice_steps=5)
    diary, _ = run(period)
    assert diary.entries == [
        ("lattice", (0.5, 2)),
        ("lattice", (0.25, 1)),
        ("tunnels", (11, [[0, 2]])),
        ("lattice", (0.5, 5)),
        ("tunnels", (16, [[3, 4]])),
        ("lattice", (0.5, 2)),
        ("lattice", (0.25, 1)),
    ]


@pytest.mark.parametrize("slice_steps", [1, 4, 5])
@pytest.mark.parametrize("slices", [1, 2, 40])
def test_lattice_time_is_the_periods_time(slices: int, slice_steps: int) -> None:
    diary, _ = run(build_period([], [0] * (slices + 1), slice_steps))
    times = [dt * count for kind, (dt, count) in diary.entries if kind == "lattice"]
    assert sum(times) == 0.5 * slices * slice_steps
    assert len(diary.entries) <= 5


def test_wall_time_is_split_between_the_stages() -> None:
    # The clock ticks once between marks; the slice with nothing due has none.
    _, result = run(build_period([[0, 1], [1, 2]], [0, 0, 1, 2]))
    assert (result.lattice_s, result.tunnel_s) == (3.0, 2.0)


@pytest.mark.parametrize("tableau", TABLEAUS.values(), ids=lambda each: each.name)
def test_tableaus_are_consistent(tableau: Any) -> None:
    weights, feeds = np.array(tableau.weights), np.array((0.0, *tableau.feeds))
    assert weights.size == feeds.size
    # Order conditions: sum b = 1, sum b c = 1/2, sum b c^2 = 1/3, sum b c^3 = 1/4.
    for power in range(tableau.order):
        assert weights @ feeds**power == pytest.approx(1.0 / (power + 1.0))
    assert weights @ feeds**tableau.order != pytest.approx(1.0 / (tableau.order + 1.0))


def test_noise_kicks_on_either_side_of_every_step() -> None:
    period = build_period([[0, 1]], [0, 1, 1, 1])
    diary, _ = run(period, Motion(diffusion_rad2_s=0.1))
    assert diary.entries == [
        *[("kick", 0.125), ("lattice", (0.25, 1)), ("kick", 0.125)],
        ("tunnels", (11, [[0, 1]])),
        *[("kick", 0.25), ("lattice", (0.5, 1)), ("kick", 0.5)],
        *[("lattice", (0.5, 1)), ("kick", 0.25)],
        *[("kick", 0.125), ("lattice", (0.25, 1)), ("kick", 0.125)],
    ]


def test_inertia_drifts_half_a_step_at_either_end_of_a_stretch() -> None:
    diary, _ = run(
        build_period([[0, 1]], [0, 0, 1], slice_steps=4), Motion(inertia_s=1)
    )
    assert diary.entries[:7] == [
        ("drift", 0.25),
        *[("lattice", (0.5, 1)), ("coast", (0.5, 0.5))],
        *[("lattice", (0.5, 1)), ("coast", (0.5, 0.25))],
        ("drift", 0.25),
        ("lattice", (0.5, 1)),
    ]

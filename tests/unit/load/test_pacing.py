"""Pacing laws on plant models: a core alone, a core that is shared, a machine."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from engine.load.pacing import MEMORY_S, PERIOD_S, DutyLaw, FillLaw

WITHIN = 0.03
"""What the load generator promises: three percentage points."""
OVERHEAD_S = 2e-4
"""Processor time that a slice costs on top of what it burns: report, pipe, sums."""


class PaperCore:
    """A core that grants a worker part of the time, and a worker that asks for it."""

    def __init__(self, law: DutyLaw, grant: Callable[[float], float]) -> None:
        self.law = law
        self.grant = grant
        self.now_s = 0.0
        self.used_s = 0.0
        self._window = (0.0, 0.0)

    def run(self, share: float, span_s: float) -> float:
        """Run for a while; return the share that was used."""
        begin_s, begin_used_s = self.now_s, self.used_s
        while self.now_s < begin_s + span_s:
            busy_s = self.law.next_busy_s(share, *self._window)
            # The worker never burns beyond its slice, however little it got in it.
            used_s = min(busy_s, self.grant(self.now_s) * PERIOD_S) + OVERHEAD_S
            # A sleep ends late, by up to 4 ms seen here.
            elapsed_s = PERIOD_S + (0.002 if busy_s < PERIOD_S else 0.0)
            self.now_s += elapsed_s
            self.used_s += used_s
            self._window = (elapsed_s, used_s)
        return (self.used_s - begin_used_s) / (self.now_s - begin_s)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.37, 0.6, 0.9, 1.0])
def test_core_alone_settles_on_the_share(share: float) -> None:
    core = PaperCore(DutyLaw(), lambda _: 1.0)
    core.run(share, 1.0)
    # Overhead and late sleeps together would miss by ten points without the loop.
    assert core.run(share, 5.0) == pytest.approx(share, abs=0.011)


@pytest.mark.parametrize(
    ("share", "fair", "expected"),
    [(0.4, 0.5, 0.4), (0.49, 0.5, 0.49), (0.8, 0.5, 0.5), (0.3, 0.2, 0.2)],
)
def test_shared_core_gives_the_share_or_all_it_can(
    share: float, fair: float, expected: float
) -> None:
    core = PaperCore(DutyLaw(), lambda _: fair)
    core.run(share, 1.0)
    assert core.run(share, 5.0) == pytest.approx(expected, abs=WITHIN)


def test_core_shared_in_bursts_settles_on_the_share() -> None:
    # Three in ten slices go to somebody else entirely: 0.7 are there for 0.6.
    draw = random.Random(7)
    core = PaperCore(DutyLaw(), lambda _: 0.0 if draw.random() < 0.3 else 1.0)
    core.run(0.6, 1.0)
    # Overhead is paid in every slice, so a little more than 0.6 is used when blocked.
    assert core.run(0.6, 10.0) == pytest.approx(0.6, abs=WITHIN)


def test_what_a_busy_neighbour_took_is_not_repaid_later() -> None:
    core = PaperCore(DutyLaw(), lambda now_s: 0.1 if now_s < 10.0 else 1.0)
    assert core.run(0.6, 10.0) == pytest.approx(0.1, abs=WITHIN)
    # Five seconds were lost; a tenth of one, times the share, is made good.
    used_before_s = core.used_s
    core.run(0.6, 5.0)
    surplus_s = core.used_s - used_before_s - 0.6 * 5.0
    assert surplus_s <= 0.6 * MEMORY_S + PERIOD_S
    assert core.run(0.6, 5.0) == pytest.approx(0.6, abs=0.011)


def test_nothing_asked_means_nothing_burnt_whatever_was_owed() -> None:
    law = DutyLaw()
    for _ in range(100):
        law.next_busy_s(0.9, PERIOD_S, 0.0)
    assert law.debt_s == pytest.approx(0.9 * MEMORY_S)
    assert law.next_busy_s(0.0, PERIOD_S, 0.0) == 0.0


class PaperMachine:
    """A machine whose total is everybody's use, up to one."""

    def __init__(self, noise: float = 0.0) -> None:
        self.others = 0.0
        self._noise = noise
        self._draw = random.Random(3)

    def total(self, share: float) -> float:
        noise = self._noise * (2.0 * self._draw.random() - 1.0)
        return min(1.0, max(0.0, self.others + share + noise))


def fill(law: FillLaw, machine: PaperMachine, target: float, turns: int) -> list[float]:
    totals = []
    for _ in range(turns):
        totals.append(machine.total(law.share))
        law.update(target, totals[-1])
    return totals


def test_machine_is_filled_up_to_its_target() -> None:
    law, machine = FillLaw(), PaperMachine(noise=0.02)
    for others in (0.0, 0.3, 0.55, 0.1):
        machine.others = others
        # The error halves per turn: 0.6 is below 0.01 after six.
        fill(law, machine, 0.6, 6)
        assert fill(law, machine, 0.6, 4)[-1] == pytest.approx(0.6, abs=0.05)
        later = fill(law, machine, 0.6, 200)
        assert sum(later) / 200 == pytest.approx(0.6, abs=WITHIN)


def test_full_machine_is_left_alone_and_nothing_winds_up() -> None:
    law, machine = FillLaw(), PaperMachine()
    machine.others = 1.0
    fill(law, machine, 0.6, 1000)
    assert law.share == 0.0
    machine.others = 0.0
    # As fast as from rest: no memory of the thousand turns.
    assert fill(law, machine, 0.6, 7)[-1] == pytest.approx(0.6, abs=0.01)


def test_unreachable_target_is_left_at_once_when_it_falls() -> None:
    law = FillLaw(scale=300.0)
    for _ in range(100):
        law.update(500.0, 300.0 * law.share)
    assert law.share == 1.0
    for _ in range(8):
        law.update(150.0, 300.0 * law.share)
    assert law.share == pytest.approx(0.5, abs=0.01)


def test_unknown_measurement_holds_the_share() -> None:
    law = FillLaw()
    law.update(0.6, 0.0)
    assert law.update(0.6, None) == law.share == pytest.approx(0.3)

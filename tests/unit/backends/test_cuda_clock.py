"""The event clock, on events whose times are scripted."""

from itertools import pairwise

import pytest

from engine.backends.cuda_clock import SAMPLED_STEPS, EventClock, StageShares
from engine.backends.protocol import PeriodResult

LATTICE_MS, TUNNEL_MS = 3.0, 5.0


class ScriptedDevice:
    """A device whose clock is set by the test."""

    def __init__(self):
        self.now_ms = 0.0
        self.made = 0

    def create_event(self):
        self.made += 1
        return ScriptedEvent(self)

    @staticmethod
    def elapsed_ms(first, second):
        return second.time_ms - first.time_ms


class ScriptedEvent:
    def __init__(self, device):
        self.device = device
        self.time_ms = None

    def record(self):
        self.time_ms = self.device.now_ms


def run_period(device, clock, steps, tunnel_ms=TUNNEL_MS):
    """Mark a period as `SteppingBackend.advance` does."""
    clock.start(steps)
    marks = [clock.mark()]
    for _ in range(steps):
        for span_ms in (LATTICE_MS, tunnel_ms):
            device.now_ms += span_ms
            marks.append(clock.mark())
    device.now_ms += LATTICE_MS
    marks.append(clock.mark())
    spans = [clock.measure(*pair) for pair in pairwise(marks)]
    return clock.complete(PeriodResult(sum(spans[::2]), sum(spans[1::2]), 7))


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 9, 15, 16, 17, 40, 1001])
def test_even_steps_are_split_exactly(steps):
    device = ScriptedDevice()
    clock = EventClock(device.create_event, device.elapsed_ms)
    result = run_period(device, clock, steps)
    assert result.lattice_s == pytest.approx(1e-3 * LATTICE_MS * (steps + 1))
    assert result.tunnel_s == pytest.approx(1e-3 * TUNNEL_MS * steps)
    assert result.successes == 7


def test_events_are_bounded_and_reused():
    device = ScriptedDevice()
    clock = EventClock(device.create_event, device.elapsed_ms)
    for steps in (1000, 3, 1000, SAMPLED_STEPS):
        run_period(device, clock, steps)
    assert device.made <= 3 * SAMPLED_STEPS + 2


def test_no_time_at_all_is_lattice_time():
    device = ScriptedDevice()
    clock = EventClock(device.create_event, device.elapsed_ms)
    clock.start(1)
    for _ in range(4):
        clock.mark()
    assert clock.complete(PeriodResult(0.0, 0.0, 0)) == PeriodResult(0.0, 0.0, 0)


def test_an_unsampled_period_is_split_like_the_last_sample():
    shares = StageShares()
    assert shares.split(2.0, 10, 5) == (2.0, 0.0)
    shares.learn(PeriodResult(3.0, 1.0, 0), 30, 50)
    # 0.1 s a step and 0.02 s an event: 20 steps and 100 events take equally long.
    assert shares.split(5.0, 20, 100) == pytest.approx((2.5, 2.5))
    shares.learn(PeriodResult(4.0, 0.0, 0), 40, 0)
    assert shares.split(5.0, 20, 100) == pytest.approx((2.5, 2.5))

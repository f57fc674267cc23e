"""Yardsticks of a controller: the best fixed frequency, and one that knows the future.

Both are found on the very network of a run (its seed, lattice, bridges, dynamics and
control period) over the same simulated time, and both hold its floor in every sample
of the later half. What they cost is counted in tunnel events, which no load of the
machine changes.

* The **best fixed frequency** is the lowest that does so, by bisection.
* The **oracle** knows what each frequency will do before it chooses. It runs at the top
  until the floor is reached, as the controller does. From then on it takes, window by
  window of two control periods, the lowest frequency of a fine ladder under which r
  stays at or above the floor throughout the window and the top would still hold it in
  the next one; every candidate is tried out on a copy of the network.

The oracle looks one window ahead and no further, since looking further costs more:
r follows the logarithm of the frequency, and slack that is saved up is lost again
(measured: 37.7 Hz with windows of 2 periods, 38.1 with 5, 38.5 with 20, and 38.6 for
the best fixed frequency; 64x64 nodes, 8 s). It is a feasible schedule, hence an upper
bound of the least cost, not a proof of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from engine.config import RunConfig
from engine.recording.summary import CoherenceTally
from experiments.study.control_plant import Mark, Plant

LATE_SHARE: Final = 0.5
"""First part of a run in which coherence may still rise [-]."""
HALVINGS: Final = 11
"""Halvings of the ladder's span in the search for the best fixed frequency: of a
factor of 842 they leave 0.3%."""
WINDOW_PERIODS: Final = 2
"""Control periods for which the oracle keeps a frequency."""
LADDER_RATIO: Final = 1.02
"""Ratio of two frequencies that the oracle may choose from [-]."""
LADDER_SPAN: Final = 60
"""Frequencies below and above the best fixed one that it may choose from [-]."""
POINTS_KEPT: Final = 400
"""Points of the oracle's schedule that are kept for a picture [-]."""


@dataclass(frozen=True)
class Yardstick:
    """What a schedule of frequencies cost, and how it held the floor."""

    late_hz: float
    """Attempts per bridge and simulated second in the later half of the run [Hz]."""
    whole_hz: float
    """Likewise in the whole run [Hz]."""
    late_coherence: float
    """Mean order parameter in the later half [-]."""
    least: float
    """Least order parameter in the later half [-]."""
    settled_at_s: float | None
    """Simulated time at which the floor was first reached [s]; None: never."""
    violation_fraction: float | None
    """Share of the samples below the floor since then [-]; None: never reached."""
    schedule: tuple[tuple[float, float], ...] = ()
    """Simulated time [s] and the frequency from then on [Hz], thinned."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass
class Course:
    """A run of a plant as it is made, sample by sample."""

    plant: Plant
    tally: CoherenceTally
    late: list[float] = field(default_factory=list)
    schedule: list[tuple[float, float]] = field(default_factory=list)
    _middle: tuple[int, float] | None = None

    @classmethod
    def begin(cls, config: RunConfig) -> Course:
        """Build the plant of a run, at its beginning.

        Args:
            config: The run.
        """
        return cls(Plant(config), CoherenceTally(config.tunnel.min_coherence))

    @property
    def is_late(self) -> bool:
        """Whether the next sample belongs to the later half."""
        dynamics = self.plant.config.dynamics
        return self.plant.steps >= LATE_SHARE * dynamics.step_count

    def follow(self, frequency_hz: float) -> float:
        """Run one control period and take its sample.

        Args:
            frequency_hz: Tunnel frequency [Hz], > 0.

        Returns:
            Order parameter r at its end [-].
        """
        began_s, is_late = self.plant.simulated_s, self.is_late
        if is_late and self._middle is None:
            self._middle = self.plant.attempts, began_s
        coherence = self.plant.advance(frequency_hz)
        self.tally.add(coherence, self.plant.simulated_s)
        self.schedule.append((began_s, frequency_hz))
        if is_late:
            self.late.append(coherence)
        return coherence

    def sum_up(self) -> Yardstick:
        """Say what the course came to; it must be over."""
        plant, figures = self.plant, self.tally.to_dict()
        attempts, began_s = self._middle or (0, 0.0)
        bridges = max(plant.bridge_count, 1)
        stride = max(1, len(self.schedule) // POINTS_KEPT)
        return Yardstick(
            late_hz=(plant.attempts - attempts)
            / bridges
            / (plant.simulated_s - began_s),
            whole_hz=plant.attempts / bridges / plant.simulated_s,
            late_coherence=sum(self.late) / len(self.late),
            least=min(self.late),
            settled_at_s=figures["settled_at_seconds"],
            violation_fraction=figures["violation_fraction"],
            schedule=tuple(self.schedule[::stride]),
        )


def find_lowest(
    holds: Callable[[float], bool], low_hz: float, high_hz: float, halvings: int
) -> float | None:
    """Find the lowest frequency that holds the floor, by bisection.

    Args:
        holds: Whether a frequency holds it.
        low_hz: Lower end of the search [Hz], > 0.
        high_hz: Upper end [Hz], > `low_hz`.
        halvings: Halvings of the search, in the logarithm.

    Returns:
        The lowest frequency that was seen to hold it [Hz]; None if not even the upper
        end does.
    """
    if not holds(high_hz):
        return None
    for _ in range(halvings):
        middle_hz = (low_hz * high_hz) ** 0.5
        if holds(middle_hz):
            high_hz = middle_hz
        else:
            low_hz = middle_hz
    return high_hz


def find_best_fixed(config: RunConfig) -> Yardstick | None:
    """Find the lowest fixed frequency that holds the floor in the later half.

    Args:
        config: The run.

    Returns:
        What it costs; None if not even the top of the ladder holds it.

    Raises:
        EngineError: The network cannot be built.
    """
    floor, tunnel = config.tunnel.min_coherence, config.tunnel
    found: dict[float, Yardstick] = {}

    def holds(frequency_hz: float) -> bool:
        course = Course.begin(config)
        while not course.plant.is_over:
            is_late = course.is_late
            if course.follow(frequency_hz) < floor and is_late:
                return False
        found[frequency_hz] = course.sum_up()
        return True

    low_hz = tunnel.rung_frequency_hz(tunnel.rungs)
    best_hz = find_lowest(holds, low_hz, tunnel.maximum_frequency_hz, HALVINGS)
    return None if best_hz is None else found[best_hz]


class Oracle:
    """Chooses each window's frequency by trying it out first.

    Args:
        config: The run.
        around_hz: Middle of its ladder [Hz], > 0.
    """

    def __init__(self, config: RunConfig, around_hz: float) -> None:
        tunnel = config.tunnel
        self._floor = tunnel.min_coherence
        self._top_hz = tunnel.maximum_frequency_hz
        span = range(-LADDER_SPAN, LADDER_SPAN + 1)
        ladder = [around_hz * LADDER_RATIO**step for step in span]
        self.ladder = [hz for hz in ladder if hz < self._top_hz] + [self._top_hz]
        """Frequencies to choose from, ascending [Hz]."""
        self._course = Course.begin(config)
        self._rung = len(self.ladder) - 1

    def run(self) -> Yardstick:
        """Run the whole time; return what it came to."""
        course, plant = self._course, self._course.plant
        while not plant.is_over and course.tally.settled_at_s is None:
            course.follow(self._top_hz)
        while not plant.is_over:
            self._rung = self._choose(plant.mark())
            for _ in range(WINDOW_PERIODS):
                if not plant.is_over:
                    course.follow(self.ladder[self._rung])
        return course.sum_up()

    def _choose(self, mark: Mark) -> int:
        """Return the lowest rung that holds, beginning where the last one stood."""
        rung, top = self._rung, len(self.ladder) - 1
        while rung < top and not self._holds(mark, rung):
            rung += 1
        if rung == self._rung:
            while rung > 0 and self._holds(mark, rung - 1):
                rung -= 1
        self._course.plant.go_back(mark)
        return rung

    def _holds(self, mark: Mark, rung: int) -> bool:
        """Tell whether a rung holds the floor, and the top after it."""
        plant = self._course.plant
        plant.go_back(mark)
        turns = [self.ladder[rung]] * WINDOW_PERIODS + [self._top_hz] * WINDOW_PERIODS
        for frequency_hz in turns:
            if plant.is_over:
                break
            if plant.advance(frequency_hz) < self._floor:
                return False
        return True

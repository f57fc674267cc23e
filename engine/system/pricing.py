"""The price tag of a run: how far its coherence lies below the continuous network's.

Bridges that act now and then leave an error in r; it vanishes as 1/f^2 where every
attempt succeeds and as 1/f where some fail, once f is high, and slower below. The
distance is known in two ways. The forecast has it from theory. Where that does not
hold, error windows measure it: at the end of a run the frequency alternates between the
settled f and g, eight times as high. With the distance falling as 1/f^n,

    r(infinity) - r(f) = (r(g) - r(f)) / (1 - (f/g)^n),

and n between 1 and 2 moves that by no more than 6% either way: most of the way is
measured, little is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.config import RunConfig
from engine.state import State, keep_fields, take_fields

F64 = npt.NDArray[np.float64]

WINDOW_SHARE: Final = 1.0 / 8.0
"""Length of a window as a share of the run before them, unless it is configured."""
LEAST_PERIODS: Final = 8
"""Control periods of the shortest window."""
LARGEST_FACTOR: Final = 0.75
"""Largest factor by which a quarter of a window is believed to approach its end [-]."""
FREQUENCY_RATIO: Final = 8.0
"""g / f, where the time step allows it."""
LEAST_RATIO: Final = 2.0
"""Below this the windows go down from f instead, by `FREQUENCY_RATIO`."""
LAW_EXPONENTS: Final = (1.0, 2.0)
"""n where attempts fail, and where all succeed [-]."""
MIDDLE_EXPONENT: Final = 1.5
"""n that stands for a mixture of both laws [-]."""
ROLLOUT_REFUSAL: Final = "a rollout changes the tunnel policy on the way"
"""Why neither theory nor windows know the distance then."""
MAX_DIFFERENCE: Final = 0.01
"""Difference in r from a run up to which its forecast is believed [-]."""


@dataclass(frozen=True)
class PriceTag:
    """The distance of a run from the continuous network, and where it is known from."""

    distance: float | None
    """r(infinity) - r [-]; None where it is not known."""
    stderr: float | None
    """Standard error of `distance` [-]; None for theory and for a single pair."""
    source: str | None
    """forecast or windows; None where the distance is not known."""
    reason: str = ""
    """Why it is not known; empty where it is."""

    def to_dict(self, coherence: float | None) -> dict[str, Any]:
        """Return the figures of `summary.json`.

        Args:
            coherence: Mean order parameter of the later part of the run [-].
        """
        is_known = self.distance is not None and coherence is not None
        return {
            "continuous": coherence + self.distance if is_known else None,  # type: ignore[operator]
            "distance_to_continuous": self.distance,
            "distance_stderr": self.stderr,
            "distance_source": self.source,
            "distance_reason": self.reason,
        }


class ErrorWindows:
    """Windows of two frequencies in turn at the end of a run, in pairs.

    Every second pair is turned round (f g, g f, f g, ...), so that a steady drift of r
    cancels in their mean, and only the second window of a pair begins with a change. r
    is measured in the last quarter of a window; how it came there tells how much of the
    way was left, which counts as an error.
    """

    def __init__(self, config: RunConfig) -> None:
        """Plan the windows of a run.

        Args:
            config: The run; `controller.error_windows` pairs are planned.
        """
        controller, dynamics = config.controller, config.dynamics
        span_s = controller.error_window_s
        if span_s is None:
            span_s = WINDOW_SHARE * dynamics.duration_s
        periods = round(span_s / (dynamics.dt_s * controller.period_steps))
        self._periods = max(periods, LEAST_PERIODS)
        self._highest_hz = 1.0 / dynamics.dt_s
        self.pair_count = controller.error_windows
        self.window_steps = self._periods * controller.period_steps
        """Lattice steps of one window [-]."""
        self.settled_hz = self.other_hz = 0.0
        self.refusal = "" if config.rollout.is_idle else ROLLOUT_REFUSAL
        """Why the windows cannot measure anything; empty where they can."""
        self._values: list[float] | None = None
        self._readings: list[F64] = []
        self._period_steps = controller.period_steps

    @property
    def step_count(self) -> int:
        """Lattice steps of all windows [-]."""
        return 2 * self.pair_count * self.window_steps

    @property
    def has_begun(self) -> bool:
        """Whether the run has entered its first window."""
        return self.settled_hz > 0.0

    @property
    def is_open(self) -> bool:
        """Whether coherence is to be told to `add` at present."""
        return self._values is not None

    @property
    def steps_left(self) -> int:
        """Lattice steps of the open window that are still to be run [-]."""
        return self.window_steps - self._period_steps * len(self._values or ())

    @property
    def steps_after(self) -> int:
        """Lattice steps of the windows after the open one [-]."""
        return self.step_count - (len(self._readings) + 1) * self.window_steps

    def open_in_turn(self, settled_hz: float) -> Generator[float, None, None]:
        """Open one window after another; each is closed by asking for the next.

        A run that is resumed goes on in the window that was open.

        Args:
            settled_hz: Frequency that the run has settled to [Hz], > 0.

        Yields:
            The frequency to hold in the window [Hz].
        """
        if not self.has_begun:
            self.settled_hz = settled_hz
            self.other_hz = choose_other_frequency(settled_hz, self._highest_hz)
        try:
            while len(self._readings) < 2 * self.pair_count:
                self._values = self._values or []
                yield self._find_hz(len(self._readings))
                self._readings.append(_read_quarters(self._values))
                self._values = None
        finally:
            self._values = None

    def _find_hz(self, window: int) -> float:
        """Return the frequency of a window, counted from 0 [Hz]."""
        is_settled = (window + window // 2) % 2 == 0
        return self.settled_hz if is_settled else self.other_hz

    @property
    def _pairs(self) -> list[dict[float, F64]]:
        """Quarters of both windows of every complete pair, by frequency."""
        found = self._readings
        return [
            {self._find_hz(n): found[n] for n in (first, first + 1)}
            for first in range(0, len(found) - 1, 2)
        ]

    def to_state(self) -> State:
        """Return the readings, and the samples of the open window."""
        return {
            **keep_fields(self, "settled_hz", "other_hz", "refusal"),
            "values": self._values,
            "readings": [list(map(float, quarters)) for quarters in self._readings],
        }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of windows.
        """
        take_fields(self, state, "settled_hz", "other_hz", "refusal")
        values = state["values"]
        self._values = None if values is None else list(map(float, values))
        readings = np.array(state["readings"], dtype=np.float64)
        self._readings = list(readings.reshape(len(readings), 4))

    def add(self, coherence: float) -> None:
        """Take the coherence at the end of a control period of the open window."""
        if self._values is not None:
            self._values.append(coherence)

    def estimate(self) -> PriceTag | None:
        """Estimate the distance from all pairs that are complete; None without any.

        Its standard error joins the scatter of the pairs, the doubt about the law and
        what is left of the way to the settled state.
        """
        pairs = self._pairs
        if not pairs:
            return None
        settled, other = (
            [readings[hz] for readings in pairs]
            for hz in (self.settled_hz, self.other_hz)
        )
        gaps = [b[-1] - a[-1] for a, b in zip(settled, other, strict=True)]
        ratio, gap, count = self.settled_hz / self.other_hz, np.mean(gaps), len(gaps)
        low, high = sorted(1.0 / (1.0 - ratio**n) for n in LAW_EXPONENTS)
        factor, stderr = 0.5 * (low + high), None
        if count > 1:
            scatter = factor * np.std(gaps, ddof=1) / math.sqrt(count)
            # The law's factor lies anywhere between both: a uniform distribution.
            law = gap * (high - low) / math.sqrt(12.0)
            rest = sum(self._find_rest(turn) for turn in (0, 1))
            stderr = float(math.hypot(scatter, law, factor * rest))
        return PriceTag(float(factor * gap), stderr, "windows")

    def _find_rest(self, first: int) -> float:
        """Return what windows that began with a change leave in the mean gap.

        Args:
            first: 1 for changes to f, 0 for changes to g: the parity of their pairs.
        """
        changed_hz = (self.other_hz, self.settled_hz)[first]
        pairs = self._pairs
        changed = [pair[changed_hz] for pair in pairs[first::2]]
        if not changed:
            return 0.0
        share = len(changed) / len(pairs)
        return share * find_rest(np.mean(changed, axis=0))


def _read_quarters(values: list[float]) -> F64:
    """Return the mean of each quarter of a window, shape (4,)."""
    return np.array([part.mean() for part in np.array_split(np.array(values), 4)])


def find_rest(quarters: F64) -> float:
    """Return how far the last of four equal stretches is from where they lead to.

    They approach it by the same factor q each; q counts as at most `LARGEST_FACTOR`.

    Args:
        quarters: Means of the stretches [-], shape (4,).
    """
    before, last = np.diff(quarters)[1:]
    factor = abs(last / before) if before else 0.0
    factor = min(factor, LARGEST_FACTOR)
    return float(abs(last) * factor / (1.0 - factor))


def choose_other_frequency(settled_hz: float, highest_hz: float) -> float:
    """Choose the second frequency of the windows [Hz].

    Args:
        settled_hz: The first one [Hz].
        highest_hz: An attempt in every lattice step [Hz].
    """
    other_hz = min(FREQUENCY_RATIO * settled_hz, highest_hz)
    if other_hz < LEAST_RATIO * settled_hz:
        return settled_hz / FREQUENCY_RATIO
    return other_hz


def find_price(
    windows: ErrorWindows, forecast: Mapping[str, Any] | None, bridge_count: int
) -> PriceTag:
    """Find the price tag of a run: measured if possible, else from theory.

    Args:
        windows: What the end of the run has measured, if anything.
        forecast: Entry `forecast` of `summary.json`, if one was made.
        bridge_count: Bridges of the network.
    """
    measured = windows.estimate()
    if measured is not None:
        return measured
    if not bridge_count:
        return PriceTag(None, None, None, "without bridges there is no distance")
    if windows.refusal:
        return PriceTag(None, None, None, windows.refusal)
    reason = _find_doubt(forecast)
    if reason or forecast is None:
        cure = "controller.error_windows=4 measures it"
        return PriceTag(None, None, None, f"{reason}; {cure}")
    distance = forecast["coherence_unlimited"] - forecast["coherence"]
    return PriceTag(distance, None, "forecast")


def _find_doubt(forecast: Mapping[str, Any] | None) -> str:
    """Say why the distance cannot be taken from a forecast; empty if it can.

    The reason of the forecast itself stands beside it, and is not said again.
    """
    if forecast is None:
        return "record.forecast is off"
    if forecast["coherence"] is None:
        return "no forecast was made"
    if not forecast["is_trusted"]:
        return "the forecast is not trusted"
    difference = forecast["difference"]
    if difference is None or abs(difference) > MAX_DIFFERENCE:
        return "the run has not come to what was forecast"
    return ""

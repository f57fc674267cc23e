"""Gates: what a window of a rollout must hold before the next stage begins.

Pure arithmetic on samples. The cost is events per bridge and simulated second, to which
the wall time of tunnelling is proportional: unlike a stopwatch it can tell the policies
apart while both run, and it is the same in a replay.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, Final

from engine.config import RolloutConfig

BATCHES: Final = 8
"""Pieces of a window whose means are taken as independent."""

COHERENCE, FLOOR, COST, FAILURES = "coherence", "floor", "cost", "failures"


@dataclass(frozen=True)
class Sample:
    """What a control period has shown of both policies."""

    elapsed_s: float
    """Simulated time of the period [s], > 0."""
    coherence: float
    """Order parameter r at its end [-]."""
    old_hz: float
    """Frequency that the old policy chose [Hz]."""
    offered_hz: float
    """Frequency that the resources asked of it for [Hz]."""
    required_hz: float
    """Frequency that the coherence asked of it for [Hz]."""
    new_hz: float
    """Frequency that the new policy chose [Hz]."""
    is_unreachable: bool = False
    """Whether a policy in use reports that the floor is out of its reach, and it is."""


@dataclass(frozen=True)
class Outcomes:
    """What the bridges of the new policy have done, counted from any time on."""

    attempts: int = 0
    """Attempts [-]."""
    successes: int = 0
    """Successful attempts [-]."""
    expected: float = 0.0
    """Successes that the old policy's law would have given [-]."""
    variance: float = 0.0
    """Binomial variance of these [-]."""

    def since(self, earlier: Outcomes) -> Outcomes:
        """Return what has happened since an earlier count."""
        return Outcomes(
            self.attempts - earlier.attempts,
            self.successes - earlier.successes,
            self.expected - earlier.expected,
            self.variance - earlier.variance,
        )


@dataclass(frozen=True)
class Gate:
    """One gate as it was found."""

    name: str
    """coherence, floor, cost or failures."""
    value: float
    """What was found [-]."""
    limit: float
    """What it was held to [-]."""
    has_passed: bool
    """Whether it held."""
    reason: str
    """One sentence."""

    def to_dict(self) -> dict[str, Any]:
        """Return the gate as plain values."""
        return dict(vars(self))


@dataclass
class Window:
    """The samples of a window so far."""

    span_s: float = 0.0
    """Simulated time of them [s]."""
    coherences: list[float] = field(default_factory=list)
    """Order parameters [-]."""
    old_hz: float = 0.0
    """Time integral of the old policy's frequency [-]."""
    new_hz: float = 0.0
    """Likewise of the new policy's [-]."""
    required_hz: float = 0.0
    """Likewise of what coherence asked the old one for [-]."""
    before_hz: float = 0.0
    """Likewise of what the old policy has been seen to do with [-]."""

    def add(self, sample: Sample, least_required_hz: float) -> None:
        """Take in a control period.

        Args:
            sample: What it has shown.
            least_required_hz: The least that coherence asked the old policy for in
                the window of an earlier stage [Hz].
        """
        span_s = sample.elapsed_s
        before_hz = max(least_required_hz, sample.offered_hz)
        self.span_s += span_s
        self.coherences.append(sample.coherence)
        self.old_hz += span_s * sample.old_hz
        self.new_hz += span_s * sample.new_hz
        self.required_hz += span_s * sample.required_hz
        self.before_hz += span_s * before_hz

    def mean(self, name: str) -> float:
        """Return the mean of a frequency over the window [Hz]."""
        return float(getattr(self, name)) / self.span_s


def judge_coherence(window: Window, floor: float, sigmas: float) -> Gate:
    """Judge whether the mean coherence lies above the floor, beyond doubt.

    Its standard error comes from the means of batches, since neighbouring samples are
    alike.

    Args:
        window: At least `BATCHES` samples.
        floor: min_coherence [-].
        sigmas: Standard errors that are taken off [-].
    """
    values, count = window.coherences, len(window.coherences)
    cuts = [count * index // BATCHES for index in range(BATCHES + 1)]
    means = [fmean(values[low:high]) for low, high in itertools.pairwise(cuts)]
    mean, stderr = fmean(values), stdev(means) / math.sqrt(BATCHES)
    value = mean - sigmas * stderr
    reason = (
        f"mean coherence {mean:.4f} less {sigmas:g} standard errors of {stderr:.4f} is "
        f"{value:.4f}, the floor is {floor:g}"
    )
    return Gate(COHERENCE, value, floor, value >= floor, reason)


def judge_floor(violations: int, planned: int, config: RolloutConfig) -> Gate:
    """Judge the samples of a stage that lie below the floor.

    Args:
        violations: Samples below the floor so far.
        planned: Samples of the stage, if it passes in its first window.
        config: The share that is allowed.
    """
    share, limit = violations / planned, config.max_violation
    reason = f"{share:.2%} of the stage's samples lie below the floor, {limit:.2%} may"
    return Gate(FLOOR, share, limit, share <= limit, reason)


def judge_cost(window: Window, share: float, tolerance: float) -> Gate:
    """Judge events per bridge and second against those of the old policy.

    Two costs count, and the higher is judged: that of the bridges that follow the new
    policy, and that of the whole network, in which the old policy may have to make up
    for the new. The old policy's own cost is the lower of two: what its bridges take
    now, if any are left, and what it did with in earlier stages, or the offer of the
    resources if that is higher.

    Args:
        window: Frequencies of both.
        share: Share of the bridges that follow the new policy [-], in (0, 1].
        tolerance: Share by which the cost may be higher [-].
    """
    old_hz, new_hz = window.mean("old_hz"), window.mean("new_hz")
    all_hz = share * new_hz + (1.0 - share) * old_hz
    base_hz = window.mean("before_hz")
    if share < 1.0:
        base_hz = min(base_hz, old_hz)
    value, limit = max(new_hz, all_hz) / base_hz, 1.0 + tolerance
    whose = "the new policy's bridges take" if new_hz >= all_hz else "all bridges take"
    reason = (
        f"{whose} {max(new_hz, all_hz):.4g} events per second each, the old policy "
        f"{base_hz:.4g}: {value:.3f} times as many, {limit:g} are allowed"
    )
    return Gate(COST, value, limit, value <= limit, reason)


def judge_failures(found: Outcomes, sigmas: float) -> Gate:
    """Judge successes against what the old policy's law lets expect.

    Args:
        found: What the new policy's bridges did in the window.
        sigmas: Binomial standard deviations that are allowed [-].
    """
    missing = found.expected - found.successes
    # An event more or less is no evidence, however certain each success is.
    value = max(missing, 0.0) / math.sqrt(max(found.variance, 1.0))
    reason = (
        f"{found.successes} of {found.attempts} attempts succeeded, "
        f"{found.expected:.0f} would under the old policy: {value:.2f} standard "
        f"deviations too few, {sigmas:g} are allowed"
    )
    return Gate(FAILURES, value, sigmas, value <= sigmas, reason)


def refuse_unreachable() -> Gate:
    """Return the gate of a policy that reports a floor out of its reach."""
    reason = "a policy reports that the floor is unreachable"
    return Gate(FAILURES, 1.0, 0.0, False, reason)

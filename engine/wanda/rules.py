"""Rules: how often bridges of each cell of a census shall act.

A rule names relative frequencies; `rank_cells` puts them on the ladder around their
mean, and the network's budget does the rest.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from engine.config import AUTO_RULE, MeshConfig
from engine.wanda.census import Census, measure_levels
from engine.wanda.policy import Policy, load_policy

F64 = npt.NDArray[np.float64]

LEAST_DETUNING_HZ: Final = 1e-3
"""Ends nearer than this count as this far apart."""
LONGEST_STEP: Final = 16.0
"""Octaves by which a learned rule may change a frequency at a look."""


class Rule(Protocol):
    """One way to share a budget."""

    needs_traces: bool
    """Whether it looks at what bridges did, so that it must look again."""
    needs_detunings: bool
    """Whether kinds must tell detunings apart."""

    def weigh(self, census: Census) -> F64:
        """Return the log2 of the relative frequency that each cell shall have."""


def find_usefulness(census: Census) -> F64:
    """Return the log2 of the mean squared shift of an event, for each cell.

    An event of dose h = kappa / f takes the share 1 - exp(-2 h) of a small gap d away.
    So its square is about 2 (1 - cos d) (1 - exp(-2 h))^2, as far as the gap lasts: all
    of the gap where bridges act rarely, and kappa^2 d^2 / f^2, the loss that a bridge's
    events leave, where they act often. There f ~ usefulness settles at the optimum
    under a fixed sum of frequencies, the cube root of kappa^2 d^2.

    Args:
        census: Counts and kinds.

    Returns:
        log2 [-], shape (shares, levels, kinds).
    """
    gaps = np.log2(measure_levels())
    doses = census.kinds.strengths_rad_s / census.frequencies_hz[:, None]
    shifts = np.log2(np.maximum(-np.expm1(-2.0 * doses), 1e-12))
    return gaps[None, :, None] + 2.0 * shifts[:, None, :]


def find_present(census: Census) -> F64:
    """Return the log2 of the frequency of each share, shape (shares, 1, 1)."""
    return np.log2(census.frequencies_hz)[:, None, None]


class Plastic:
    """Anti-Hebbian: away from bridges that are locked, to those with work to do.

    log f goes a part of the way to exponent * log usefulness. A high exponent makes
    events equally useful everywhere: an event is spent where it moves most.
    """

    needs_traces = True
    needs_detunings = False

    def __init__(self, exponent: float, gain: float) -> None:
        """Take exponent [-] and gain [-] as in `MeshConfig`."""
        self._exponent, self._gain = exponent, gain

    def weigh(self, census: Census) -> F64:
        """Return the log2 of the relative frequency that each cell shall have."""
        wanted = self._exponent * find_usefulness(census)
        return (1.0 - self._gain) * find_present(census) + self._gain * wanted


class Detuning:
    """f ~ detuning^exponent: what is known before anything has run."""

    needs_traces = False
    needs_detunings = True

    def __init__(self, exponent: float) -> None:
        """Take the exponent [-]."""
        self._exponent = exponent

    def weigh(self, census: Census) -> F64:
        """Return the log2 of the relative frequency that each cell shall have."""
        apart = np.maximum(census.kinds.detunings_hz, LEAST_DETUNING_HZ)
        wanted = self._exponent * np.log2(apart)
        return np.broadcast_to(wanted, census.counts.shape)


class Learned:
    """A small trained network that knows traces, detunings, strengths and budget."""

    needs_traces = True
    needs_detunings = True

    def __init__(self, policy: Policy) -> None:
        """Take the network."""
        self._policy = policy

    @property
    def weights(self) -> F64:
        """All weights of the network in one vector."""
        return self._policy.to_vector()

    def weigh(self, census: Census) -> F64:
        """Return the log2 of the relative frequency that each cell shall have."""
        features = measure_features(census)
        rows = features.reshape(-1, features.shape[-1])
        steps = self._policy.evaluate(rows).reshape(census.counts.shape)
        return find_present(census) + np.clip(steps, -LONGEST_STEP, LONGEST_STEP)


def measure_features(census: Census) -> F64:
    """Measure what the learned rule knows of each cell.

    Args:
        census: Counts, frequencies and kinds.

    Returns:
        Shape (shares, levels, kinds, 6): log2 of the usefulness over its mean, of the
        frequency over the budget's mean, of the detuning over its mean, of the gap, of
        the dose, of the dose at the budget's mean. The last is what resources and
        controller grant, on the network's own scale.
    """
    counts, total = census.counts, max(census.total, 1)
    shape = counts.shape
    mean_hz = float(counts.sum(axis=(1, 2)) @ census.frequencies_hz) / total
    useful = find_usefulness(census)
    apart = np.maximum(census.kinds.detunings_hz, LEAST_DETUNING_HZ)
    mean_apart = float(counts.sum(axis=(0, 1)) @ apart) / total
    strengths = np.maximum(census.kinds.strengths_rad_s, 1e-12)
    doses = np.log2(strengths / census.frequencies_hz[:, None])[:, None, :]
    columns = (
        useful - math.log2(max(float((counts * 2.0**useful).sum()) / total, 1e-30)),
        find_present(census) - math.log2(mean_hz or 1.0),
        np.log2(apart) - math.log2(max(mean_apart, LEAST_DETUNING_HZ)),
        np.log2(measure_levels())[None, :, None],
        doses,
        np.log2(strengths) - math.log2(mean_hz or 1.0),
    )
    return np.stack([np.broadcast_to(column, shape) for column in columns], axis=-1)


def rank_cells(
    weights: F64, counts: npt.NDArray[np.int64], ratio: float
) -> npt.NDArray[np.int8]:
    """Put relative frequencies on the ladder, around their mean over bridges.

    Args:
        weights: log2 of relative frequencies, shape (shares, levels, kinds).
        counts: Bridges, the same shape, at least one.
        ratio: Of neighbouring rungs [-], in (0, 1).

    Returns:
        Share of every cell, 0 the largest, the same shape.
    """
    share_count = len(counts)
    top = float(weights[counts > 0].max())
    mean = float((counts * np.exp2(np.minimum(weights - top, 0.0))).sum())
    above = weights - top - math.log2(mean / counts.sum())
    ranks = np.rint(above / math.log2(ratio)) + (share_count // 2 - 1)
    held: npt.NDArray[np.int8] = np.clip(ranks, 0, share_count - 1).astype(np.int8)
    return held


def build_rule(config: MeshConfig) -> Rule | None:
    """Build the rule that a configuration names.

    Args:
        config: The mesh.

    Returns:
        The rule; None for none.

    Raises:
        RecordError: The weights of a learned policy cannot be read.
    """
    rule = AUTO_RULE if config.is_auto else config.rule
    if rule == "plastic":
        return Plastic(config.find_exponent(rule), config.gain)
    if rule == "detuning":
        return Detuning(config.find_exponent(rule))
    if rule == "learned":
        return Learned(load_policy(config.policy_path))
    return None

"""The census: how many bridges of which kind act how often and have how much to do.

A synapse's traces are its running means of cos d and sin d over attempts, d being the
gap that an attempt finds. 1 - mean(cos d) is half the squared gap where that is small.
Times the phase-locking value abs(mean(exp(i d))) it is the lasting gap, which is small
too where the ends drift past each other, so that no event brings them together.

Back ends keep the means in float32 and agree on every bit. Here they are joined by IEEE
operations alone, always on the host, and cut into levels by their bits; from then on
only counts matter. So every back end and every replay comes to the same shares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.bridge import SHARE, BridgeNetwork, EdgeList, Group
from engine.constants import LOCKING_MEMORY

OCTAVES: Final = 16
"""Lasting gaps are told apart down to 2^-15, 0.008 rad."""
STEPS: Final = 4
"""Levels per octave, a ninth of a rung at their widest."""
LEVELS: Final = OCTAVES * STEPS
"""Levels of a trace."""
_CUT: Final = 21
"""Bits of a float32 below those that tell octave and step of it."""
_TOP: Final = int(np.float32(2.0).view(np.int32)) >> _CUT
_MOST_ATTEMPTS: Final = 255
"""From here on a trace has forgotten its start, to 1e-7."""
_HALF_CUT: Final = 22
"""Bits of a float32 below those that tell half octaves."""
_HALF_LOW: Final = 2 * (127 - 10)
"""Half octave of 2^-10, the lowest that is told apart from nothing."""
_KEYS: Final = 2 * 50
"""Half octaves from there to 2^40, beyond every rate of a configuration."""

_F32 = npt.NDArray[np.float32]
_F64 = npt.NDArray[np.float64]
_I64 = npt.NDArray[np.int64]


def _build_weights() -> _F32:
    """Return the weight of all attempts so far in a mean that started from 0."""
    weights = np.ones(_MOST_ATTEMPTS + 1)
    kept = 1.0
    for attempts in range(1, len(weights)):
        kept *= 1.0 - LOCKING_MEMORY
        weights[attempts] = 1.0 - kept
    return weights.astype(np.float32)


_WEIGHTS: Final = _build_weights()


def find_levels(
    cosines: _F32, sines: _F32, attempts: npt.NDArray[np.uint32]
) -> npt.NDArray[np.int32]:
    """Cut traces into levels, 0 the largest lasting gaps.

    Args:
        cosines: Running mean of cos d from 0 on [-], repelling bridges turned over.
        sines: Running mean of sin d, likewise.
        attempts: Attempts so far; without any the gap counts as 1.

    Returns:
        Level, in [0, `LEVELS`), the shape of the traces.
    """
    weights = _WEIGHTS[np.minimum(attempts, _MOST_ATTEMPTS)]
    along, across = cosines / weights, sines / weights
    locking = np.sqrt(along * along + across * across)
    gaps = np.where(attempts > 0, (1.0 - along) * locking, np.float32(1.0))
    bits = np.maximum(gaps, np.float32(0.0)).view(np.int32)
    levels: npt.NDArray[np.int32] = np.clip(_TOP - (bits >> _CUT), 0, LEVELS - 1)
    return levels


def measure_levels() -> _F64:
    """Return the lasting gap in the middle of each level [-]."""
    octaves, steps = np.divmod(_TOP - np.arange(LEVELS), STEPS)
    return 2.0 ** (octaves - 127.0) * (1.0 + (steps + 0.5) / STEPS)


@dataclass(frozen=True)
class Kinds:
    """What does not change about a bridge: a table with a row per kind."""

    strengths_rad_s: _F64
    """Typical abs(kappa) [rad/s], shape (kinds,)."""
    detunings_hz: _F64
    """Typical difference of the ends' natural frequencies [Hz], shape (kinds,)."""
    of_bridge: npt.NDArray[np.int16] | None
    """Row of each bridge by id; None where all are of one kind."""

    def __len__(self) -> int:
        """Return the number of kinds."""
        return len(self.strengths_rad_s)


def find_kinds(edges: EdgeList, detunings_hz: _F32 | None) -> Kinds:
    """Sort bridges by strength, and by detuning where that is wanted.

    Args:
        edges: The bridges.
        detunings_hz: Natural frequencies [Hz], shape (nodes,); None: all are alike.

    Returns:
        Kinds half an octave wide.
    """
    strengths = np.abs(edges.strengths_rad_s)
    if detunings_hz is None:
        differences = np.zeros_like(strengths)
    else:
        differences = np.abs(detunings_hz[edges.targets] - detunings_hz[edges.sources])
    keys = [_cut_halves(values) for values in (strengths, differences)]
    found, rows = np.unique(keys[0] * _KEYS + keys[1], return_inverse=True)
    strong, apart = (_measure_halves(half) for half in np.divmod(found, _KEYS))
    of_bridge = rows.astype(np.int16) if len(found) > 1 else None
    return Kinds(strong, apart, of_bridge)


def _cut_halves(values: _F32) -> _I64:
    """Return the half octaves of values >= 0; what is beyond the last is in it."""
    bits = values.view(np.int32).astype(np.int64) >> _HALF_CUT
    keys: _I64 = np.clip(bits - _HALF_LOW, 0, _KEYS - 1)
    return keys


def _measure_halves(keys: _I64) -> _F64:
    """Return the value in the middle of half octaves; of the lowest, their top."""
    octaves, steps = np.divmod(keys + _HALF_LOW, 2)
    return 2.0 ** (octaves - 127.0) * (1.0 + (steps + 0.5) / 2.0)


@dataclass(frozen=True)
class Census:
    """All bridges that share the budget, counted by what tells them apart."""

    counts: _I64
    """Bridges, shape (shares, levels, kinds)."""
    frequencies_hz: _F64
    """Frequency of each share [Hz], shape (shares,)."""
    kinds: Kinds
    """What a kind is."""

    @property
    def total(self) -> int:
        """Bridges counted [-]."""
        return int(self.counts.sum())

    @property
    def mean_gap(self) -> float:
        """Mean lasting gap of the bridges [-]; 0 without any."""
        by_level = self.counts.sum(axis=(0, 2))
        return float(by_level @ measure_levels() / max(self.total, 1))


def take_census(
    network: BridgeNetwork, kinds: Kinds, share_count: int
) -> tuple[Census, _I64]:
    """Count the bridges of a network.

    Args:
        network: The bridges.
        kinds: What tells them apart beside their traces.
        share_count: Shares of the budget; before it is shared, the first holds all.

    Returns:
        The census, and the cell of every slot, shape (bridges,): its place in
        `counts.ravel()`, or one past the end if it is pinned.
    """
    arrays, to_host = network.arrays, network.backend.to_host
    cosines = to_host(arrays.locking_cos).astype(np.float32, copy=False)
    if (network.edges.strengths_rad_s < 0.0).any():
        rates = to_host(arrays.dose_rates).astype(np.float32, copy=False)
        cosines = np.where(np.signbit(rates), -cosines, cosines)
    sines = to_host(arrays.locking_sin).astype(np.float32, copy=False)
    levels = find_levels(cosines, sines, to_host(arrays.attempts))
    cells = levels.astype(np.int64)
    shares = [_find_share(group, share_count) for group in network.groups]
    lengths = [group.stop - group.start for group in network.groups]
    cells += np.repeat(np.array(shares, np.int64) * LEVELS, lengths)
    if kinds.of_bridge is not None:
        cells = cells * len(kinds) + kinds.of_bridge[to_host(arrays.ids)]
    strengths = kinds.strengths_rad_s * network.strength_factor
    kinds = replace(kinds, strengths_rad_s=strengths)
    size = share_count * LEVELS * len(kinds)
    np.minimum(cells, size, out=cells)
    counts = np.bincount(cells, minlength=size + 1)[:size]
    census = Census(
        counts.reshape(share_count, LEVELS, len(kinds)),
        _find_frequencies(network, share_count),
        kinds,
    )
    return census, cells


def _find_share(group: Group, share_count: int) -> int:
    """Return the share that a group holds; one past the last if it is pinned."""
    if group.rung >= 0:
        return share_count
    return max(SHARE - group.rung, 0)


def _find_frequencies(network: BridgeNetwork, share_count: int) -> _F64:
    """Return the frequency of every share [Hz], shape (shares,)."""
    spread = network.spread_budget()
    return spread if len(spread) else np.full(share_count, network.frequency_hz)

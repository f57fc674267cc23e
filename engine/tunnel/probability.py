"""How likely a tunnel event succeeds.

Resonant (Breit-Wigner) transmission: P = p_max / (1 + (detuning / linewidth)^2).
P is a noise knob: the dose is divided by P, so the mean pull does not depend on it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.bridge import Network
from engine.config import TunnelConfig


def transmission_probability(
    detuning_hz: npt.NDArray[np.floating], config: TunnelConfig
) -> npt.NDArray[np.float64]:
    """Return the success probability at a natural detuning of both ends.

    Args:
        detuning_hz: Difference of natural frequencies [Hz], any shape.
        config: p_max and linewidth.

    Returns:
        Probability [-] in (0, p_max], shape of `detuning_hz`.

    References:
        Breit and Wigner 1936, doi:10.1103/PhysRev.49.519.
    """
    ratio = np.asarray(detuning_hz, dtype=np.float64) / config.linewidth_hz
    return np.asarray(config.max_probability / (1.0 + ratio * ratio))


def mean_probability(network: Network) -> float:
    """Return the frequency-weighted mean success probability [-].

    It is the expected share of successes among the attempts at the present
    frequencies; 0 without bridges.
    """
    return network.mean_probability()

"""The locked state of a network whose bridges act at given frequencies.

Phases are split into a mean x and a fluctuation of variance v. The mean obeys

    omega_i + sum_j w_ij (x_j - x_i) = 0

with secant stiffnesses w that depend on x and v: K sin(d)/d exp(-v_d/2) on lattice
edges, and on a bridge its mean pull over its mean gap,

    k = f P <shift(d_before)> / d,      d_before = d (1 + lag k/f),

shift being the exact pair event of dose kappa/(f P) and lag the network's drift back
between events. A few conjugate-gradient solves, each started at the last x, converge.
Then r = abs(mean exp(i x)) exp(-v/2). For f -> infinity k = kappa sin(d)/d and v = 0.

f may differ from bridge to bridge. Each has its own k; the network answers kicks of
every frequency in another way, so each frequency has its own lag, and v is the sum over
them, for kicks of different bridges hardly know of each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.bridge import EdgeList
from engine.bridge.operator import F64, CouplingOperator
from engine.config import TunnelConfig
from engine.forecast.response import find_response, find_shift, measure_spectrum
from engine.forecast.rhythm import Rhythm, build_rhythm
from engine.geometry import Geometry
from engine.tunnel.probability import transmission_probability

MAX_ROUNDS: Final = 14
"""Solves with renewed stiffness; a well locked network takes 4 or 5."""
LEAST_ROUNDS: Final = 3
"""Solves before the state may count as converged."""
COHERENCE_TOLERANCE: Final = 2e-4
"""Change of r at which it has converged: slipping oscillators may move on [-]."""
SPECTRUM_CHANGE_RAD: Final = 0.02
"""Change of x above which the spectrum is measured anew."""
FIRST_TOLERANCE: Final = 1e-2
"""Residual of the first solve; later ones follow the change of x."""
LAST_TOLERANCE: Final = 5e-4
"""Smallest residual that is asked for [-]."""
LEAST_STIFFNESS: Final = 0.1
"""Least secant stiffness as a share of that at rest: a slipping edge keeps some."""
MAX_VARIANCE: Final = 4.0
"""Fluctuation above which nothing is locked anyway [rad^2]."""
SMALL_GAP_RAD: Final = 1e-6
"""Gap below which ratios are taken at this one."""
SLIP_GAP_RAD: Final = 0.5 * math.pi
"""Gap at which the pull of an edge is largest: beyond it, edges slip."""
MAX_LATTICE_SLIP: Final = 0.015
"""Share of lattice edges beyond it up to which r was seen to hold to 0.01."""
MAX_BRIDGE_SLIP: Final = 0.1
"""Share of bridges beyond it up to which r was seen to hold to 0.01."""


HOPELESS_SLIP: Final = 0.3
"""Share of slipping bridges at which no locked state is sought any longer."""


@dataclass(frozen=True)
class LockedState:
    """What a network settles to at one frequency."""

    rhythm: Rhythm
    """How often bridges act."""
    phases: F64
    """Mean phases x [rad], unwrapped, of mean 0, shape (nodes,)."""
    stiffnesses: F64
    """Mean pull of each bridge per mean gap [rad/s], shape (bridges,)."""
    lag: float | F64 = 0.5
    """Drift back between two events, in kicks [-]; by bridge if their f differ."""
    variance: float = 0.0
    """v, fluctuation of a phase [rad^2]."""
    edge_variance: float = 0.0
    """Fluctuation of a lattice gap [rad^2]."""
    is_converged: bool = False
    """Whether x stopped changing and every solve met its tolerance."""
    lattice_slip: float = 0.0
    """Share of lattice edges whose gap exceeds a quarter turn [-]."""
    bridge_slip: float = 0.0
    """Share of bridges whose gap exceeds a quarter turn [-]."""

    @property
    def coherence(self) -> float:
        """Expected order parameter r [-]."""
        order = abs(np.exp(1j * self.phases).mean())
        return float(order * math.exp(-0.5 * self.variance))

    @property
    def doubt(self) -> str:
        """Why the forecast may be wrong; empty where it is trusted."""
        if self.lattice_slip > MAX_LATTICE_SLIP:
            return (
                f"{self.lattice_slip:.0%} of the lattice edges stand beyond a quarter "
                "turn, so oscillators drift instead of locking"
            )
        if self.bridge_slip > MAX_BRIDGE_SLIP:
            return (
                f"{self.bridge_slip:.0%} of the bridges stand beyond a quarter turn, "
                "so they slip instead of locking"
            )
        return "" if self.is_converged else "no locked state was found"


class LockedNetwork:
    """Lattice plus bridges, ready to be settled at any frequency."""

    def __init__(
        self,
        geometry: Geometry,
        edges: EdgeList,
        detunings_hz: npt.NDArray[np.floating],
        coupling_rad_s: float,
        tunnel: TunnelConfig,
    ) -> None:
        """Take the network in.

        Args:
            geometry: The lattice.
            edges: Its bridges.
            detunings_hz: Natural frequencies minus a common one [Hz], shape (nodes,).
            coupling_rad_s: K per lattice edge [rad/s].
            tunnel: The success law.
        """
        detunings = np.asarray(detunings_hz, dtype=np.float64)
        self.operator = CouplingOperator(geometry, edges.sources, edges.targets)
        ends = self.operator
        gaps_hz = detunings[ends.targets] - detunings[ends.sources]
        self.probabilities = transmission_probability(gaps_hz, tunnel)
        self.strengths = np.asarray(edges.strengths_rad_s, dtype=np.float64)
        self.rates = 2.0 * np.pi * (detunings - detunings.mean())
        is_edge = self.operator.mark_edges()[: self.operator.lattice_count]
        self.couplings = coupling_rad_s * is_edge
        self.coupling_rad_s = coupling_rad_s
        self.edge_count = int(is_edge.sum())

    def settle(
        self, frequency_hz: float | F64 = math.inf, start: LockedState | None = None
    ) -> LockedState:
        """Find the locked state.

        Args:
            frequency_hz: Tunnel frequency of all bridges, or of each, shape
                (bridges,) [Hz], > 0; infinity by default.
            start: A state in another rhythm, to begin with.

        Returns:
            The state, converged or not.
        """
        nodes, rhythm = self.operator.node_count, build_rhythm(frequency_hz)
        stiffnesses = np.minimum(self.strengths, 0.5 * rhythm.by_bridge)
        state = LockedState(rhythm, np.zeros(nodes), stiffnesses)
        if start is not None and start.is_converged:
            state = replace(state, phases=start.phases)
        tolerance, change, coherence = FIRST_TOLERANCE, math.inf, math.inf
        for count in range(1, MAX_ROUNDS + 1):
            before = state.phases
            is_new = count <= LEAST_ROUNDS or change > SPECTRUM_CHANGE_RAD
            with np.errstate(all="ignore"):  # absurd scales end as "not converged"
                state, is_solved = self._renew(
                    state, tolerance, has_new_spectrum=is_new
                )
            change = _find_change(state.phases, before)
            tolerance = min(max(0.05 * change, LAST_TOLERANCE), tolerance)
            last, coherence = coherence, state.coherence
            if count <= LEAST_ROUNDS:
                continue
            if is_solved and abs(coherence - last) < COHERENCE_TOLERANCE:
                return replace(state, is_converged=True)
            if state.bridge_slip > HOPELESS_SLIP:
                break
        return replace(state, is_converged=False)

    def _renew(
        self, state: LockedState, tolerance: float, *, has_new_spectrum: bool
    ) -> tuple[LockedState, bool]:
        """Solve once with the stiffness of a state; measure its fluctuations."""
        split = self.operator.lattice_count
        gaps = self.operator.find_gaps(state.phases)
        lattice, bridges = gaps[:split], gaps[split:]
        weights = np.empty_like(gaps)
        weights[:split] = self.couplings * _secant(lattice)
        weights[:split] *= math.exp(-0.5 * state.edge_variance)
        pulls = self._find_pulls(state, bridges)
        weights[split:] = pulls.stiffnesses
        phases, is_solved = self.operator.solve(
            weights, self.rates, state.phases, tolerance=tolerance
        )
        state = replace(
            state,
            phases=phases,
            stiffnesses=pulls.stiffnesses,
            lattice_slip=_slip_share(lattice, self.edge_count),
            bridge_slip=_slip_share(pulls.gaps_before, len(bridges)),
        )
        if has_new_spectrum and len(bridges) and not state.rhythm.is_continuous:
            state = self._measure_fluctuations(state, weights, pulls)
        return state, is_solved

    def _find_pulls(self, state: LockedState, gaps: F64) -> _Pulls:
        """Average the pair event of every bridge over the fluctuation of its gap."""
        f = state.rhythm.by_bridge
        if state.rhythm.is_continuous:
            stiffnesses = self.strengths * _secant(gaps)
            return _Pulls(stiffnesses, gaps, np.zeros(0), np.zeros(0))
        growth = 1.0 + state.lag * state.stiffnesses / f
        gaps_before = gaps * growth
        small = np.abs(gaps_before) < SMALL_GAP_RAD
        gaps_before[small] = SMALL_GAP_RAD
        decay = np.exp(-2.0 * self.strengths / (f * self.probabilities))
        # Two points of equal weight have the mean and the variance of the fluctuation,
        # twice that of a node.
        spread = math.sqrt(2.0 * state.variance)
        upper = find_shift(gaps_before + spread, decay)
        lower = find_shift(gaps_before - spread, decay) if spread else upper
        shifts = 0.5 * (upper + lower)
        stiffnesses = f * self.probabilities * shifts * growth / gaps_before
        at_rest = 0.5 * f * self.probabilities * (1.0 - decay) * growth
        stiffnesses = np.maximum(stiffnesses, LEAST_STIFFNESS * at_rest)
        squares = 0.5 * (upper * upper + lower * lower)
        return _Pulls(stiffnesses, gaps_before, shifts, squares)

    def _measure_fluctuations(
        self, state: LockedState, weights: F64, pulls: _Pulls
    ) -> LockedState:
        """Sum the variance that the events of all bridges leave.

        Whatever its own k, a bridge without its own pull sees A/(1 - k A) with the mean
        A and the mean k (`find_response`), so both serve at every frequency.
        """
        nodes, bridges = self.operator.node_count, self.operator.bridge_count
        rhythm, stiffness = state.rhythm, float(pulls.stiffnesses.mean())
        spectrum = measure_spectrum(self.operator, weights)
        kicks = self.probabilities * pulls.shifts
        misses = self.probabilities * (1.0 - self.probabilities) * pulls.squares
        lags, variance, pull = [], 0.0, 0.0
        parts = zip(rhythm.split(kicks), rhythm.split(misses), strict=True)
        for hz, (kick, miss) in zip(rhythm.frequencies_hz, parts, strict=True):
            answer = find_response(spectrum, stiffness, hz)
            regular, random = float(kick @ kick) / nodes, float(miss.sum()) / nodes
            lags.append(answer.lag)
            variance += regular * answer.sawtooth + random * answer.shot
            pull += regular * answer.sawtooth_pull_per_s
            pull += random * answer.shot_pull_per_s
        variance = min(np.nan_to_num(variance, nan=MAX_VARIANCE), MAX_VARIANCE)
        on_bridges = 2.0 * variance * stiffness * bridges / nodes
        return replace(
            state,
            lag=rhythm.spread(lags),
            variance=variance,
            edge_variance=self._find_edge_variance(pull - on_bridges),
        )

    def _find_edge_variance(self, pull: float) -> float:
        """Find the variance of lattice gaps from <x L x> less what bridges hold."""
        lattice = self.coupling_rad_s * self.edge_count / self.operator.node_count
        if lattice <= 0.0:
            return 0.0
        return min(max(pull / lattice, 0.0), MAX_VARIANCE)


@dataclass(frozen=True)
class _Pulls:
    """What bridges do in their mean."""

    stiffnesses: F64
    gaps_before: F64
    shifts: F64
    squares: F64


def _secant(gaps: F64) -> F64:
    """Return sin(d)/d, but never less than `LEAST_STIFFNESS`."""
    return np.maximum(np.sinc(gaps / np.pi), LEAST_STIFFNESS)


def _find_change(phases: F64, before: F64) -> float:
    """Return the root mean square change, bounded where an oscillator slips [rad]."""
    moved = np.cos(phases - before)
    return math.sqrt(max(2.0 - 2.0 * float(moved.mean()), 0.0))


def _slip_share(gaps: F64, count: int) -> float:
    """Return the share of `count` edges whose gap is beyond a quarter turn."""
    return float(np.count_nonzero(np.abs(gaps) > SLIP_GAP_RAD)) / max(count, 1)

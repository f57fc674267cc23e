"""CrystalLattice: the oscillators, their natural frequencies and their phases.

Imports configuration, geometry and back ends; knows its bridges only as something
whose tunnel frequency can be set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import special

from engine.backends.motion import find_kick_turns
from engine.backends.philox import (
    PART,
    Stream,
    draw_permutation,
    draw_uniform,
    draw_words,
)
from engine.backends.protocol import Backend, Motion
from engine.config import DynamicsConfig, LatticeConfig
from engine.config.checks import MAX_RATE, check_between
from engine.constants import FARTHEST_NORMAL, MAX_INCREMENT_TURNS
from engine.drift import Drift
from engine.errors import CheckpointError, ConfigError, RecordError, ShapeError
from engine.geometry import build_geometry
from engine.intake import describe, read_array
from engine.state import (
    State,
    StateArray,
    check_inputs,
    digest_inputs,
    keep_array,
    keep_fields,
    take_fields,
)

MAX_FREQUENCY_HZ = 1e30
"""Largest natural frequency that is read; float32 holds it [Hz]."""


TURN_FIELDS = ("fastest_hz", "event_turns", "moved_turns", "pushed_hz")
"""What a count of turns knows beside its arrays."""


class FrequencySource(Protocol):
    """Anything that decides a tunnel frequency, such as the controller."""

    @property
    def frequency_hz(self) -> float:
        """The chosen tunnel frequency [Hz]."""


class TunnelledLinks(Protocol):
    """Anything whose tunnel frequency the lattice can pass on."""

    def follow(self, frequency_hz: float) -> None:
        """Set the frequency of every bridge that is not pinned [Hz]."""


def _quantile(
    distribution: str, share: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the standard distribution's quantile at each share in (0, 1)."""
    if distribution == "gaussian":
        values = special.ndtri(share)
    elif distribution == "lorentzian":
        values = np.tan(np.pi * (share - 0.5))
    else:
        values = 2.0 * share - 1.0
    return np.asarray(values, dtype=np.float64)


def _tail_share(distribution: str, cutoff: float) -> float:
    """Return the share of the standard distribution below -cutoff."""
    if distribution == "gaussian":
        return float(special.ndtr(-cutoff))
    if distribution == "lorentzian":
        return 0.5 - float(np.arctan(cutoff)) / np.pi
    return max(0.0, 0.5 - 0.5 * cutoff)


def draw_detunings(config: LatticeConfig, seed: int) -> npt.NDArray[np.float32]:
    """Draw the natural frequencies' distance from their mean.

    Quantile sampling takes the values at (i + 1/2)/N and shuffles them, so every
    seed has the same multiset; random sampling draws independent values.

    Args:
        config: Distribution, spread and cutoff.
        seed: Key of the random numbers.

    Returns:
        Detunings [Hz], float32, shape (nodes,).

    Raises:
        RecordError: The file of given frequencies cannot be read.
        ShapeError: It does not hold one finite number per node.
    """
    count = config.node_count
    if config.distribution == "given":
        given = _read_frequencies(config, count)
        return (given - config.mean_frequency_hz).astype(np.float32)
    if config.sampling == "random":
        return _spread_shares(config, draw_uniform(seed, Stream.FREQUENCIES, count))
    detunings = np.empty(count, dtype=np.float32)
    for low in range(0, count, PART):
        places = np.arange(low, min(low + PART, count))
        detunings[places] = _spread_shares(config, (places + 0.5) / count)
    return detunings[draw_permutation(seed, Stream.FREQUENCIES, count)]


def build_drift(config: LatticeConfig, seed: int) -> Drift | None:
    """Build the drift of natural frequencies that a configuration asks for.

    Args:
        config: Law and period.
        seed: Key of the random numbers; the first draw is that of `draw_detunings`.

    Returns:
        The drift; None where natural frequencies stand.
    """
    if config.drift_period_s is None:
        return None
    first, second = (_draw_shares(config, seed, row) for row in (0, 1))
    spread = partial(_spread_shares, config)
    return Drift(first, second, config.drift_period_s, spread)


def _draw_shares(config: LatticeConfig, seed: int, row: int) -> npt.NDArray[np.float64]:
    """Draw the share of the law that lies below each node's natural frequency."""
    count = config.node_count
    if config.sampling == "random":
        return draw_uniform(seed, Stream.FREQUENCIES, count, row)
    ranks = draw_permutation(seed, Stream.FREQUENCIES, count, row)
    shares: npt.NDArray[np.float64] = (ranks + 0.5) / count
    return shares


def _spread_shares(
    config: LatticeConfig, share: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Return the detunings below which shares of the distribution lie [Hz]."""
    if config.cutoff_hz is not None and config.spread_hz > 0.0:
        tail = _tail_share(config.distribution, config.cutoff_hz / config.spread_hz)
        share = tail + (1.0 - 2.0 * tail) * share
    values = config.spread_hz * _quantile(config.distribution, share)
    return values.astype(np.float32)


def _read_frequencies(config: LatticeConfig, count: int) -> npt.NDArray[np.float64]:
    path = Path(str(config.frequencies_path))
    try:
        values = read_array(path)
    except Exception as error:  # NumPy's parser of headers has many
        raise RecordError(
            f"lattice.frequencies_path {path} cannot be read as .npy "
            f"({describe(error)}); save one natural frequency [Hz] per node with "
            "numpy.save."
        ) from error
    if values.size != count or values.dtype.kind not in "fiu":
        raise ShapeError(
            f"lattice.frequencies_path {path} holds {values.size} values of type "
            f"{values.dtype}; lattice.shape needs {count} numbers [Hz]."
        )
    if not (np.abs(values.astype(np.float64)) < MAX_FREQUENCY_HZ).all():
        raise ShapeError(
            f"lattice.frequencies_path {path} holds values that are not finite or "
            f"beyond {MAX_FREQUENCY_HZ:g} Hz; every natural frequency must be a finite "
            "number [Hz]."
        )
    return np.asarray(values, dtype=np.float64).ravel()


def draw_phases(config: LatticeConfig, seed: int) -> npt.NDArray[np.uint32]:
    """Draw the initial phases as binary angles, uint32, shape (nodes,)."""
    if config.initial_phases == "aligned":
        return np.zeros(config.node_count, dtype=np.uint32)
    return draw_words(seed, Stream.PHASES, config.node_count)[0]


def build_motion(config: LatticeConfig, dynamics: DynamicsConfig, seed: int) -> Motion:
    """Say how the oscillators move, for a back end.

    Args:
        config: Lag and range of the coupling.
        dynamics: Inertia and noise.
        seed: Key of the noise.
    """
    return Motion(
        lag_rad=config.phase_lag_rad,
        is_global=config.coupling_range == "all",
        inertia_s=dynamics.inertia_s,
        diffusion_rad2_s=dynamics.diffusion_rad2_s,
        noise_key=(seed, Stream.NOISE),
    )


class CrystalLattice:
    """Phase oscillators on a Bravais lattice with local sine coupling.

    d theta_i / dt = omega_i + K sum_{j near i} sin(theta_j - theta_i - alpha).
    K counts per edge and is never divided by degree or size, but for the mean field
    (`coupling_range` "all"), where it is K / N for every pair. Phases live in the frame
    that rotates at the resonance frequency.

    Example:
        >>> from engine.backends import select_backend
        >>> from engine.config import BackendConfig, LatticeConfig
        >>> backend = select_backend(BackendConfig("reference"), 16).backend
        >>> lattice = CrystalLattice(LatticeConfig(shape=(4, 4)), backend)
        >>> lattice.phases.shape
        (16,)
    """

    def __init__(
        self,
        config: LatticeConfig,
        backend: Backend,
        seed: int = 0,
        dynamics: DynamicsConfig | None = None,
    ) -> None:
        """Build the oscillators in the back end's memory.

        Args:
            config: Shape, coupling and frequencies.
            backend: Where the phases live.
            seed: Key of phases, frequencies and noise.
            dynamics: Gives inertia and noise; neither by default.

        Raises:
            ConfigError: The configuration is invalid.
            RecordError: The file of given frequencies cannot be read.
            ShapeError: It does not hold one finite number per node.
        """
        config.validate()
        self.config = config
        self.backend = backend
        self.geometry = build_geometry(config.kind, config.shape, config.periodic)
        self.detunings_hz = draw_detunings(config, seed)
        """Natural frequency minus resonance frequency [Hz], float32, (nodes,)."""
        self._drawn_hz = self.detunings_hz
        self._drift = build_drift(config, seed)
        self._bridges: TunnelledLinks | None = None
        self.is_as_drawn = True
        """Whether nobody has changed it by hand."""
        self.state = backend.build_lattice(
            self.geometry,
            draw_phases(config, seed),
            self.detunings_hz,
            config.coupling_rad_s,
            build_motion(config, dynamics or DynamicsConfig(), seed),
        )
        self._resonance_frequency_hz = config.mean_frequency_hz
        self._coupling_rad_s = config.coupling_rad_s
        self._dt_s = dynamics.dt_s if dynamics else None

    @property
    def node_count(self) -> int:
        """Number of oscillators [-]."""
        return self.geometry.node_count

    @property
    def bridges(self) -> TunnelledLinks | None:
        """The bridges that hang on this lattice, if any.

        Raises:
            ShapeError: Those set join nodes that it does not have.
        """
        return self._bridges

    @bridges.setter
    def bridges(self, bridges: TunnelledLinks | None) -> None:
        needed = getattr(bridges, "node_count", 0)
        if needed > self.node_count:
            raise ShapeError(
                f"A bridge joins node {needed - 1}, but the lattice has "
                f"{self.node_count} nodes, 0..{self.node_count - 1}; remove the bridge "
                "or enlarge lattice.shape."
            )
        self._bridges = bridges

    @property
    def phases(self) -> npt.NDArray[np.uint32]:
        """Phases on the host as binary angles (2^32 = one turn), shape (nodes,).

        Raises:
            ShapeError: Those set have another shape or type.
        """
        return self.backend.read_phases(self.state)

    @phases.setter
    def phases(self, phases: npt.NDArray[np.uint32]) -> None:
        phases = np.asarray(phases)
        if phases.shape != (self.node_count,) or phases.dtype != np.uint32:
            raise ShapeError(
                f"phases have shape {phases.shape} and type {phases.dtype}; they must "
                f"have shape ({self.node_count},) and type uint32."
            )
        self.backend.write_phases(self.state, phases)
        self.is_as_drawn = False

    @property
    def success_detunings_hz(self) -> npt.NDArray[np.float32]:
        """Detunings that the success law of stored bridges follows [Hz], (nodes,).

        Where they drift, those of the start: bridges keep the law they were built with.
        """
        return self._drawn_hz if self._drift else self.detunings_hz

    @property
    def velocities_hz(self) -> npt.NDArray[np.floating] | None:
        """Phase velocities in the frame [Hz], (nodes,); None without inertia."""
        velocities = self.state.velocities
        return None if velocities is None else self.backend.to_host(velocities)

    @property
    def resonance_frequency(self) -> float:
        """Mean natural frequency and frequency of the rotating frame [Hz]."""
        return self._resonance_frequency_hz

    @property
    def natural_frequencies_hz(self) -> npt.NDArray[np.float64]:
        """Natural frequencies [Hz], shape (nodes,)."""
        return self._resonance_frequency_hz + self.detunings_hz.astype(np.float64)

    def adjust_resonance(self, frequency: float) -> None:
        """Retune the lattice: move all natural frequencies and the frame together.

        Phases are kept, for they are measured in the rotating frame.

        Args:
            frequency: New mean natural frequency [Hz], in (0, `MAX_RATE`].

        Raises:
            ConfigError: The frequency is not above 0 and at most `MAX_RATE`.
        """
        check_between("frequency", frequency, 0.0, MAX_RATE, open_low=True)
        self.is_as_drawn = False
        self._resonance_frequency_hz = float(frequency)

    @property
    def coupling_rad_s(self) -> float:
        """K of every edge, or of the mean field [rad/s]."""
        return self._coupling_rad_s

    def adjust_coupling(self, coupling_rad_s: float) -> None:
        """Change the coupling of the living lattice; its phases go on from there.

        Args:
            coupling_rad_s: New K [rad/s], >= 0.

        Raises:
            ConfigError: It is negative or not finite, or too strong for the time step
                that the lattice was built with.
        """
        check_between("lattice.coupling_rad_s", coupling_rad_s, 0.0, MAX_RATE)
        if self._dt_s is not None:
            self.check_time_step(self._dt_s, coupling_rad_s)
        self.is_as_drawn = False
        self._coupling_rad_s = float(coupling_rad_s)
        self.state.coupling_turns = self._coupling_rad_s / (2.0 * np.pi)
        if self.state.turn_count is not None:
            self.state.turn_count.fastest_hz = self.fastest_rate_hz

    def adjust_detunings(self, detunings_hz: npt.NDArray[np.floating]) -> None:
        """Change the natural frequencies of the living lattice, as where they drift.

        Args:
            detunings_hz: Natural minus resonance frequency [Hz], shape (nodes,).

        Raises:
            ShapeError: They do not fit the lattice, or are not finite.
            ConfigError: They are too large for the time step that the lattice was
                built with, or drift by themselves.
        """
        if self._drift is not None:
            raise ConfigError(
                f"lattice.drift_period_s is {self.config.drift_period_s:g} s, so the "
                "natural frequencies move by themselves and others would be lost at "
                "once; set it to null to change them by hand."
            )
        detunings = np.array(detunings_hz, dtype=np.float32)
        if detunings.shape != (self.node_count,) or not np.isfinite(detunings).all():
            raise ShapeError(
                f"detunings have shape {detunings.shape}; they must be finite and have "
                f"shape ({self.node_count},)."
            )
        before, self.detunings_hz = self.detunings_hz, detunings
        try:
            if self._dt_s is not None:
                self.check_time_step(self._dt_s)
        except ConfigError:
            self.detunings_hz = before
            raise
        self.is_as_drawn = False
        self._set_detunings(detunings)
        if self.state.turn_count is not None:
            self.state.turn_count.fastest_hz = self.fastest_rate_hz

    def follow_drift(self, simulated_s: float) -> bool:
        """Let natural frequencies drift to where they are at a time.

        Args:
            simulated_s: Simulated time [s], >= 0.

        Returns:
            Whether they have moved since the last call.
        """
        found = self._drift.find_detunings(simulated_s) if self._drift else None
        if found is None:
            return False
        self._set_detunings(found)
        return True

    def _set_detunings(self, detunings_hz: npt.NDArray[np.float32]) -> None:
        self.detunings_hz = detunings_hz
        self.backend.write_detunings(self.state, detunings_hz)

    def update_tunnel_frequencies(self, controller: FrequencySource) -> None:
        """Pass the controller's frequency on to every bridge that is not pinned.

        Args:
            controller: Gives `frequency_hz` [Hz].
        """
        if self.bridges is not None:
            self.bridges.follow(controller.frequency_hz)

    def _largest_pull_hz(self, coupling_rad_s: float) -> float:
        """Return the largest rate that a coupling can give a phase [Hz]."""
        is_global = self.config.coupling_range == "all"
        neighbours = 1 if is_global else len(self.geometry.offsets)
        return neighbours * coupling_rad_s / (2.0 * np.pi)

    @property
    def _largest_detuning_hz(self) -> float:
        """Largest detuning of now, and of any time to come if they drift [Hz]."""
        now_hz = float(np.abs(self.detunings_hz).max())
        return max(now_hz, self._drift.largest_hz) if self._drift else now_hz

    @property
    def fastest_rate_hz(self) -> float:
        """Largest rate of a phase in the rotating frame, without bridges [Hz]."""
        return self._largest_detuning_hz + self._largest_pull_hz(self._coupling_rad_s)

    def check_time_step(self, dt_s: float, coupling_rad_s: float | None = None) -> None:
        """Check that no phase can move too far within one lattice step.

        Args:
            dt_s: Time step [s].
            coupling_rad_s: Coupling to check for [rad/s]; the present one if absent.

        Raises:
            ConfigError: The step is too long; names the longest that fits.
        """
        detuning = self._largest_detuning_hz
        coupling = self._coupling_rad_s if coupling_rad_s is None else coupling_rad_s
        pull = self._largest_pull_hz(coupling)
        fastest = detuning + pull
        if not fastest * dt_s <= MAX_INCREMENT_TURNS:
            raise ConfigError(
                f"dynamics.dt_s is {dt_s:g} s, too long for the largest detuning "
                f"({detuning:.4g} Hz, and {pull:.4g} Hz of coupling): a phase would "
                f"move more than {MAX_INCREMENT_TURNS:g} turn per step. Use dt_s <= "
                f"{MAX_INCREMENT_TURNS / fastest:.3g}, or set lattice.cutoff_hz."
            )
        noise = FARTHEST_NORMAL * find_kick_turns(self.state.motion, dt_s)
        if not noise <= MAX_INCREMENT_TURNS:
            longest = dt_s * (MAX_INCREMENT_TURNS / noise) ** 2
            diffusion = self.state.motion.diffusion_rad2_s
            raise ConfigError(
                f"dynamics.dt_s is {dt_s:g} s, too long for dynamics.diffusion_rad2_s="
                f"{diffusion:g}: noise may move a phase by {noise:.3g} turn per step, "
                f"more than {MAX_INCREMENT_TURNS:g}. Use dt_s <= {longest:.3g}, or "
                "less noise."
            )

    def to_state(self) -> State:
        """Return phases, velocities, kicks and turns as the back end has them.

        Arrays are read when they are asked for; no step may be run before.
        """
        state, turns = self.state, self.state.turn_count
        arrays = {"phases": state.phases, "velocities": state.velocities}
        counted = {"sums": turns.sums, "marks": turns.marks} if turns else {}
        return {
            **keep_fields(self, "_resonance_frequency_hz", "_coupling_rad_s"),
            **keep_fields(state, "kicks"),
            "inputs": self._inputs_digest,
            "tick": self._drift.tick if self._drift else None,
            "detunings": self._keep_detunings(),
            **{name: self._keep(name, array) for name, array in arrays.items()},
            "turns": turns
            and {
                **keep_fields(turns, *TURN_FIELDS),
                **{name: self._keep(name, array) for name, array in counted.items()},
            },
        }

    @cached_property
    def _inputs_digest(self) -> str:
        """Digest what was drawn: the rest of a drift follows from the time."""
        drift = self._drift
        return drift.inputs_digest if drift else digest_inputs(self._drawn_hz)

    def _keep_detunings(self) -> StateArray | None:
        """Keep detunings that were changed by hand."""
        if self._drift is not None or self.detunings_hz is self._drawn_hz:
            return None
        return keep_array(self.detunings_hz, ("node",), "Hz")

    def _keep(self, name: str, array: Any) -> StateArray | None:
        if array is None:
            return None
        is_binary = array.dtype.kind == "u"
        units = {
            "phases": "2^-32 turn" if is_binary else "rad",
            "marks": "2^-32 turn" if is_binary else "rad",
            "sums": "2^-32 turn",
            "velocities": "Hz",
        }
        shape, read = (self.node_count,), partial(self._read, array)
        return StateArray(np.dtype(array.dtype), shape, ("node",), units[name], read)

    def _read(self, array: Any) -> Iterator[npt.NDArray[Any]]:
        yield self.backend.to_host(array)

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same oscillators.

        Args:
            state: Of a back end with the same arithmetic.

        Raises:
            CheckpointError: It is not one of such a lattice.
        """
        own = self.state
        stored = state["phases"].dtype
        if stored != own.phases.dtype:
            is_binary = own.phases.dtype.kind == "u"
            raise CheckpointError(
                f"The checkpoint holds phases as {stored}, but the back end "
                f"{self.backend.name} computes them as {own.phases.dtype}, so it would "
                "not be the same run; go on with the back end "
                f"{'reference' if is_binary else 'cpu or cuda'}."
            )
        check_inputs("natural frequencies", self._inputs_digest, state["inputs"])
        take_fields(self, state, "_resonance_frequency_hz", "_coupling_rad_s")
        take_fields(own, state, "kicks")
        own.coupling_turns = self._coupling_rad_s / (2.0 * np.pi)
        if self._drift is not None:
            self._set_detunings(self._drift.go_to(int(state["tick"])))
        elif state["detunings"] is not None:
            found = state["detunings"].load("Detunings", np.float32, (self.node_count,))
            self._set_detunings(found)
        self._fill(state, "phases", own.phases)
        if own.velocities is not None:
            self._fill(state, "velocities", own.velocities)
        if state["turns"] is not None:
            self._count_on(state["turns"])

    def _count_on(self, state: Mapping[str, Any]) -> None:
        """Go on counting turns."""
        self.backend.start_counting(self.state, 0.0, 0.0)
        turns = self.state.turn_count
        assert turns is not None
        take_fields(turns, state, *TURN_FIELDS)
        self._fill(state, "sums", turns.sums)
        self._fill(state, "marks", turns.marks)

    def _fill(self, state: Mapping[str, Any], name: str, array: Any) -> None:
        values = state[name].load(f"Array {name}", array.dtype, (self.node_count,))
        self.backend.fill(array, values)

    def order_parameter(self) -> complex:
        """Return the Kuramoto order parameter, mean exp(i theta) [-]."""
        return self.backend.order_parameter(self.state)

    def local_coherence(self) -> float:
        """Return the mean cosine of phase differences over lattice edges [-]."""
        return self.backend.local_coherence(self.state)

    def vortex_count(self) -> int:
        """Return the number of plaquettes around which the phase winds [-]."""
        return self.backend.vortex_count(self.state)

    def winding_numbers(self) -> tuple[float, ...]:
        """Return the mean turns of phase along each axis [turn]; 0 if open."""
        return self.backend.winding_numbers(self.state)

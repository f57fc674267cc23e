"""What every network of bridges offers, and QuantumBridge: one row of it.

Two kinds exist: `network.py` stores the ends of its bridges, `matching.py` computes
them. Who plans, steers or reads a network sees only this.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import (
    STATE_COLUMNS,
    STATE_TYPES,
    Backend,
    BridgeArrays,
    Bridges,
)
from engine.config import TunnelConfig
from engine.constants import LOCKING_MEMORY
from engine.errors import CheckpointError, ConfigError
from engine.state import State, StateArray, keep_fields, take_fields

FOLLOW = -1
"""Rung of a bridge that follows the network's frequency."""
COHORT = -2
"""Rung of a bridge that follows the frequency of the cohort."""
MAX_MEAN = 1.0 + 2.0**-10
"""Largest running mean of cosines or sines; beyond 1 only by rounding [-]."""
NETWORK_FIELDS = ("frequency_hz", "cohort_frequency_hz", "_strength_factor")
"""What a run changes of a network as a whole."""
COLUMN_UNITS = {"last_ticks": "lattice step"}
"""Units of the columns that a run changes; the others have none."""
SHARE = -3
"""Rung of a bridge that holds the largest share of a budget; share m: SHARE - m."""


@dataclass(frozen=True)
class Group:
    """A contiguous run of slots in one layer that share a frequency."""

    layer: int
    """Layer of the slots."""
    rung: int
    """Pinned rung, `FOLLOW` or `COHORT`."""
    start: int
    """First slot."""
    stop: int
    """One past the last slot."""


class Network(ABC):
    """All bridges of a run, wherever their ends come from."""

    def __init__(self, backend: Backend, tunnel: TunnelConfig | None) -> None:
        """Let every bridge follow the ladder's top.

        Args:
            backend: Where the arrays live.
            tunnel: The frequency ladder and the success law.
        """
        self.backend = backend
        self.tunnel = tunnel or TunnelConfig()
        self.frequency_hz = self.tunnel.maximum_frequency_hz
        """Frequency of every bridge that is neither pinned nor in the cohort [Hz]."""
        self.cohort_frequency_hz = self.frequency_hz
        """Frequency of the cohort, a part of the bridges under another policy [Hz]."""
        self._strength_factor = 1.0

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of bridges."""

    def __getitem__(self, bridge_id: int) -> QuantumBridge:
        """Return a view of one bridge.

        Raises:
            IndexError: There is no such bridge.
        """
        self._check_id(bridge_id)
        return QuantumBridge(self, bridge_id)

    def _check_id(self, bridge_id: int) -> None:
        if not 0 <= bridge_id < len(self):
            raise IndexError(f"bridge {bridge_id} of {len(self)}")

    def __iter__(self) -> Iterator[QuantumBridge]:
        """Iterate over views of all bridges."""
        return (QuantumBridge(self, bridge_id) for bridge_id in range(len(self)))

    @property
    @abstractmethod
    def arrays(self) -> Bridges:
        """The columns in the back end's memory, in slot order."""

    @property
    @abstractmethod
    def groups(self) -> tuple[Group, ...]:
        """Runs of slots with one frequency, in slot order."""

    @property
    def is_in_turn(self) -> bool:
        """Whether the first slots of every share of a budget are due next."""
        return False

    def follow(self, frequency_hz: float) -> None:
        """Set the frequency of every bridge that is neither pinned nor in the cohort.

        Args:
            frequency_hz: Attempt frequency [Hz], > 0.

        Raises:
            ConfigError: The frequency is not above 0.
        """
        self.frequency_hz = _check_frequency(frequency_hz)

    def follow_cohort(self, frequency_hz: float) -> None:
        """Set the frequency of the cohort.

        Args:
            frequency_hz: Attempt frequency [Hz], > 0.

        Raises:
            ConfigError: The frequency is not above 0.
        """
        self.cohort_frequency_hz = _check_frequency(frequency_hz)

    def find_frequency_hz(self, rung: int) -> float:
        """Return the frequency of the bridges on a rung [Hz].

        Args:
            rung: Pinned rung, `FOLLOW` or `COHORT`.
        """
        if rung == FOLLOW:
            return self.frequency_hz
        if rung == COHORT:
            return self.cohort_frequency_hz
        return self.tunnel.rung_frequency_hz(rung)

    @abstractmethod
    def pin(self, bridge_id: int, frequency_hz: float) -> None:
        """Ask for a frequency of its own for one bridge [Hz]."""

    @abstractmethod
    def release(self, bridge_id: int) -> None:
        """Let a pinned bridge follow the network again."""

    @abstractmethod
    def rung(self, bridge_id: int) -> int:
        """Return the rung that was last asked for, `FOLLOW` or `COHORT`."""

    @abstractmethod
    def apply_requests(self) -> bool:
        """Move bridges whose frequency was set; return whether any slot changed."""

    def scale_strengths(self, factor: float) -> None:
        """Set every strength to a multiple of what it was built with.

        Args:
            factor: Multiple [-], > 0.

        Raises:
            ConfigError: It is not a positive number.
        """
        if not 0.0 < factor < math.inf:
            raise ConfigError(
                f"The bridges' strengths would be multiplied by {factor:g}; the factor "
                "must be finite and above 0."
            )
        self._strength_factor = factor
        self._apply_strengths()

    @property
    def strength_factor(self) -> float:
        """Present strengths over those that were built [-]."""
        return self._strength_factor

    @abstractmethod
    def _apply_strengths(self) -> None:
        """Let every bridge act by `_strength_factor` times its own strength."""

    @property
    def has_requests(self) -> bool:
        """Whether a bridge was asked to another rung since the last control period."""
        return False

    def to_state(self) -> State:
        """Return frequencies, and by bridge id what a run changes of every bridge."""
        columns = {
            name: StateArray(
                np.dtype(kind),
                (len(self),),
                ("bridge",),
                COLUMN_UNITS.get(name, "1"),
                partial(self.read_column, name),
            )
            for name, kind in zip(STATE_COLUMNS, STATE_TYPES, strict=True)
        }
        return {**keep_fields(self, *NETWORK_FIELDS), **columns}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a network of the same bridges.

        Raises:
            CheckpointError: It is not one of such a network.
        """
        take_fields(self, state, *NETWORK_FIELDS)
        self._apply_strengths()
        for name, kind in zip(STATE_COLUMNS, STATE_TYPES, strict=True):
            values = state[name].load(f"Column {name}", kind, (len(self),))
            if kind is np.float32 and (np.abs(values) > MAX_MEAN).any():
                raise CheckpointError(f"Column {name} holds what no mean cosine is.")
            self._fill_column(name, values)

    @abstractmethod
    def _fill_column(self, name: str, values: npt.NDArray[Any]) -> None:
        """Replace a column that a run changes by values by bridge id."""

    def notice_detunings(self) -> None:  # noqa: B027 - most networks need not
        """Hear that the natural frequencies of the lattice have changed."""

    @abstractmethod
    def find_ends(self, bridge_id: int) -> tuple[int, int]:
        """Return source and target of one bridge, node ids."""

    @abstractmethod
    def find_strength_rad_s(self, bridge_id: int) -> float:
        """Return kappa of one bridge [rad/s]."""

    @abstractmethod
    def is_directed(self, bridge_id: int) -> bool:
        """Return whether only the target of one bridge moves."""

    @abstractmethod
    def find_probability(self, bridge_id: int) -> float:
        """Return the success probability of an attempt of one bridge [-]."""

    @abstractmethod
    def mean_probability(self) -> float:
        """Return the frequency-weighted mean success probability [-]; 0 if empty."""

    @abstractmethod
    def read(self, column: str, bridge_id: int) -> float:
        """Read one entry of a column that a run changes, for one bridge."""

    @abstractmethod
    def read_column(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Copy a column that a run changes to the host, by id, in pieces."""

    def read_state(self) -> Iterator[npt.NDArray[Any]]:
        """Copy what a run changes to the host: column by column, by id, in pieces."""
        for name in STATE_COLUMNS:
            yield from self.read_column(name)

    @abstractmethod
    def columns_by_id(self) -> BridgeArrays:
        """Copy all columns to the host in the order of bridge ids."""

    @abstractmethod
    def coherences(self) -> npt.NDArray[np.float64]:
        """Return the phase-locking value by bridge id [-], shape (bridges,)."""

    @abstractmethod
    def touching(self, node: int) -> npt.NDArray[np.int64]:
        """Return the ids of the bridges that end at a node."""


def locking_value(
    cosine: npt.NDArray[np.floating],
    sine: npt.NDArray[np.floating],
    attempts: npt.NDArray[np.integer],
) -> npt.NDArray[np.float64]:
    """Return the phase-locking value of running means that started at zero.

    Args:
        cosine: Running mean of cos d over attempts with weight `LOCKING_MEMORY`.
        sine: Running mean of sin d over attempts with weight `LOCKING_MEMORY`.
        attempts: Attempts so far; corrects the start from zero.

    Returns:
        abs(mean exp(i d)) [-] in [0, 1]; 0 before the first attempt.
    """
    weight = 1.0 - (1.0 - LOCKING_MEMORY) ** attempts.astype(np.float64)
    length = np.hypot(cosine.astype(np.float64), sine.astype(np.float64))
    return np.minimum(length / np.where(weight > 0.0, weight, 1.0), 1.0)


def _check_frequency(frequency_hz: float) -> float:
    """Return a frequency [Hz] that can be used."""
    if not 0.0 < frequency_hz < math.inf:
        raise ConfigError(
            f"The tunnel frequency is {frequency_hz:g} Hz; it must be finite and above "
            "0."
        )
    return frequency_hz


class QuantumBridge:
    """One bridge: a view of a row, not a copy."""

    __slots__ = ("_network", "bridge_id")

    def __init__(self, network: Network, bridge_id: int) -> None:
        """View bridge `bridge_id` of a network."""
        self._network = network
        self.bridge_id = bridge_id

    @property
    def source(self) -> int:
        """First end, a node id."""
        return self._network.find_ends(self.bridge_id)[0]

    @property
    def target(self) -> int:
        """Second end, a node id."""
        return self._network.find_ends(self.bridge_id)[1]

    @property
    def strength_rad_s(self) -> float:
        """Kappa [rad/s]; a negative one repels."""
        return self._network.find_strength_rad_s(self.bridge_id)

    @property
    def is_directed(self) -> bool:
        """Whether only the target moves."""
        return self._network.is_directed(self.bridge_id)

    @property
    def frequency(self) -> float:
        """Attempt frequency [Hz]; setting it pins the bridge to the nearest rung."""
        return self._network.find_frequency_hz(self._network.rung(self.bridge_id))

    @frequency.setter
    def frequency(self, frequency_hz: float) -> None:
        self._network.pin(self.bridge_id, frequency_hz)

    @property
    def coherence(self) -> float:
        """Phase-locking value of both ends over the last attempts [-]."""
        cosine, sine, attempts = (
            np.array([self._network.read(name, self.bridge_id)])
            for name in ("locking_cos", "locking_sin", "attempts")
        )
        return float(locking_value(cosine, sine, attempts)[0])

    @property
    def probability(self) -> float:
        """Success probability of an attempt [-]."""
        return self._network.find_probability(self.bridge_id)

    @property
    def attempts(self) -> int:
        """Attempts so far [-]."""
        return int(self._network.read("attempts", self.bridge_id))

    @property
    def successes(self) -> int:
        """Successful attempts so far [-]."""
        return int(self._network.read("successes", self.bridge_id))

    def __repr__(self) -> str:
        """Show both ends and the frequency."""
        join = "->" if self.is_directed else "-"
        return (
            f"QuantumBridge({self.source} {join} {self.target}, "
            f"{self.frequency:.4g} Hz, id {self.bridge_id})"
        )

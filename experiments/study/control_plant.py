"""Plant: a run's network without its controller, which can be taken back in time.

It gives the bits of a run at the same frequencies, and no more: no monitor is asked,
nothing is recorded.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import TABLEAUS
from engine.config import (
    BackendConfig,
    FaultConfig,
    LoadConfig,
    ObserveConfig,
    RecordConfig,
    RolloutConfig,
    RunConfig,
)
from engine.recording import digest_state
from engine.system.parts import build_parts
from engine.tunnel import TunnelSchedule


def strip_config(config: RunConfig) -> RunConfig:
    """Keep of a run what its plant depends on, on the CPU and beside no load.

    Args:
        config: Any run.
    """
    return replace(
        config,
        backend=BackendConfig("cpu", threads=config.backend.threads),
        controller=replace(config.controller, error_windows=0),
        rollout=RolloutConfig(),
        load=LoadConfig("synthetic", level=0.0),
        fault=FaultConfig(),
        observe=ObserveConfig(),
        record=RecordConfig(forecast=False),
    )


@dataclass(frozen=True)
class Mark:
    """A moment to which a plant can be taken back."""

    phases: npt.NDArray[np.uint32]
    velocities: npt.NDArray[Any] | None
    columns: tuple[npt.NDArray[Any], ...]
    schedule: TunnelSchedule
    kicks: int
    attempts: int
    steps: int


class Plant:
    """A network that is run period by period, at any frequency.

    Args:
        config: The run; of its controller only the period counts.

    Raises:
        ConfigError: The configuration is invalid.
        ResourceError: The network does not fit into memory.
        RecordError: An input cannot be read.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = strip_config(config)
        self.config.validate()
        self._parts = build_parts(self.config)
        self._parts.monitor.close()
        self._schedule = self._parts.schedule
        self._tableau = TABLEAUS[config.dynamics.integrator]
        self.attempts = 0
        """Tunnel attempts so far [-]."""
        self.steps = 0
        """Lattice steps so far [-]."""

    @property
    def bridge_count(self) -> int:
        """Bridges [-]."""
        return len(self._parts.network)

    @property
    def simulated_s(self) -> float:
        """Simulated time so far [s]."""
        return self.steps * self.config.dynamics.dt_s

    @property
    def is_over(self) -> bool:
        """Whether the run's configured time has passed."""
        return self.steps >= self.config.dynamics.step_count

    def advance(self, frequency_hz: float) -> float:
        """Run one control period.

        Args:
            frequency_hz: Tunnel frequency of all bridges [Hz], > 0.

        Returns:
            Order parameter r at its end [-].
        """
        parts, left = self._parts, self.config.dynamics.step_count - self.steps
        count = min(self.config.controller.period_steps, left)
        parts.network.follow(frequency_hz)
        period, attempts = self._schedule.plan_period(count, self._tableau)
        parts.backend.advance(parts.lattice.state, parts.network.arrays, period)
        self.attempts += attempts
        self.steps += count
        return abs(parts.lattice.order_parameter())

    def mark(self) -> Mark:
        """Remember this moment."""
        state = self._parts.lattice.state
        speeds = state.velocities
        return Mark(
            phases=self._parts.lattice.phases.copy(),
            velocities=None if speeds is None else speeds.copy(),
            columns=tuple(
                column.copy() for column in self._parts.network.arrays.state_columns
            ),
            # A schedule replaces its cursors and never writes into them.
            schedule=copy.copy(self._schedule),
            kicks=state.kicks,
            attempts=self.attempts,
            steps=self.steps,
        )

    def go_back(self, mark: Mark) -> None:
        """Be again as at a mark; it can be gone back to once more.

        Args:
            mark: A moment of this plant.
        """
        state = self._parts.lattice.state
        self._parts.lattice.phases = mark.phases
        if mark.velocities is not None:
            state.velocities[:] = mark.velocities
        columns = self._parts.network.arrays.state_columns
        for column, kept in zip(columns, mark.columns, strict=True):
            column[:] = kept
        self._schedule = copy.copy(mark.schedule)
        state.kicks = mark.kicks
        self.attempts, self.steps = mark.attempts, mark.steps

    def digest(self) -> str:
        """Return the SHA-256 of phases and bridges, as a run's `state_digest`."""
        lattice = self._parts.lattice
        speeds = lattice.velocities_hz
        moving = [lattice.phases, *([] if speeds is None else [speeds])]
        return digest_state(itertools.chain(moving, self._parts.network.read_state()))

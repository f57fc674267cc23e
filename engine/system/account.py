"""The account of a run: what was done, what it cost, how it stands."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.backends.protocol import PeriodResult
from engine.config import RunConfig
from engine.crystal import CrystalLattice
from engine.errors import DeviceError
from engine.monitor import ResourceMetrics
from engine.recording import CoherenceTally, RunSummary, StageTimes, digest_state
from engine.state import State, build_record, keep_fields, take_fields
from engine.system.outlook import LateMeans
from engine.system.parts import Parts
from engine.system.pricing import MIDDLE_EXPONENT, ErrorWindows, find_price
from engine.system.sensor import SensorTally
from engine.system.visits import LateVisits, average_by_law
from engine.tunnel import Decision

COUNTS = (
    *("step", "periods", "attempts", "successes", "wall_s"),
    *("_window_steps", "_window_attempts"),
)
"""What an account counts."""
TALLIES = ("late", "visits", "windows", "tally", "sensor")
"""What it keeps of coherence, frequency and the sensor."""


@dataclass(frozen=True)
class Topology:
    """What tells a locked state from incoherence."""

    local_coherence: float
    """Mean cosine over lattice edges [-]."""
    vortex_count: int
    """Plaquettes around which the phase winds [-]."""
    winding_turns: float
    """Largest mean winding along an axis [turn]."""

    @property
    def defect_count(self) -> int:
        """Vortices plus whole windings [-]."""
        return self.vortex_count + round(abs(self.winding_turns))


def measure_topology(lattice: CrystalLattice) -> Topology:
    """Measure local coherence, vortices and winding of a lattice."""
    winding = max(lattice.winding_numbers(), key=abs)
    return Topology(lattice.local_coherence(), lattice.vortex_count(), winding)


@dataclass(frozen=True)
class Progress:
    """Where a run stands, handed out after every control period."""

    step: int
    """Lattice steps done [-]."""
    step_count: int
    """Lattice steps of the whole run [-]."""
    simulated_s: float
    """Simulated time done [s]."""
    duration_s: float
    """Simulated time of the whole run [s]."""
    wall_s: float
    """Wall time since the loop began [s]."""
    coherence: float
    """Order parameter r [-]."""
    floor: float
    """min_coherence [-]."""
    frequency_hz: float
    """Chosen tunnel frequency [Hz]."""
    offered_hz: float
    """Frequency that the resources ask for [Hz]."""
    required_hz: float
    """Frequency that the coherence asks for [Hz]."""
    maximum_hz: float
    """Top of the ladder [Hz]."""
    state: str
    """nominal, floor-bound, unreachable or stale."""
    reason: str
    """One sentence."""
    successful: int
    """Successful tunnel events so far [-]."""
    failed: int
    """Failed tunnel attempts so far [-]."""
    metrics: ResourceMetrics
    """Resources at the last decision."""


class Account:
    """Counts, times and coherence of a run so far."""

    def __init__(self, config: RunConfig, parts: Parts) -> None:
        """Start at zero, with the initial phases measured.

        Args:
            config: The run.
            parts: What it joins.
        """
        self.config = config
        self.parts = parts
        self.step = 0
        self.periods = 0
        self.attempts = 0
        self.successes = 0
        self._window_steps = 0
        self._window_attempts = 0
        self.wall_s = 0.0
        self.stages = StageTimes()
        self.late = LateMeans()
        self.visits = LateVisits()
        self.windows = ErrorWindows(config)
        self.sensor = SensorTally()
        self.is_state_lost = False
        self.tally = CoherenceTally(config.tunnel.min_coherence)
        self.order = parts.lattice.order_parameter()
        self.topology = measure_topology(parts.lattice)
        self._energy_start_j = self._read_energy_j()
        self._energy_before_j: float | None = 0.0

    def to_state(self) -> State:
        """Return counts, times and coherence so far."""
        return {
            **keep_fields(self, *COUNTS),
            "order": [self.order.real, self.order.imag],
            "topology": dict(vars(self.topology)),
            "stages": dict(vars(self.stages)),
            "energy_j": self._spent_energy_j(),
            **{name: getattr(self, name).to_state() for name in TALLIES},
        }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of such an account.
        """
        take_fields(self, state, *COUNTS)
        real, imaginary = state["order"]
        self.order = complex(real, imaginary)
        self.topology = build_record(Topology, state["topology"])
        self.stages = build_record(StageTimes, state["stages"])
        self._energy_before_j = state["energy_j"]
        for name in TALLIES:
            getattr(self, name).from_state(state[name])

    @property
    def simulated_s(self) -> float:
        """Simulated time so far [s]."""
        return self.step * self.config.dynamics.dt_s

    @property
    def coherence(self) -> float:
        """Order parameter r at the end of the last control period [-]."""
        return abs(self.order)

    @property
    def average_frequency_hz(self) -> float:
        """Attempts per bridge and simulated second, error windows left out [Hz]."""
        most, made = self._count_events()
        return made / most / self.config.dynamics.dt_s if most else 0.0

    def _count_events(self) -> tuple[int, int]:
        """Count every bridge in every step, and attempts, without error windows."""
        steps = self.step - self._window_steps
        made = self.attempts - self._window_attempts
        return len(self.parts.network) * steps, made

    @property
    def has_pins(self) -> bool:
        """Whether any bridge keeps a frequency of its own."""
        return any(group.rung >= 0 for group in self.parts.network.groups)

    @property
    def settled_hz(self) -> float:
        """Frequency whose error is that of the later part of the run [Hz]."""
        return average_by_law(self.visits.list_visits(), MIDDLE_EXPONENT)

    def add_period(self, steps: int, attempts: int, result: PeriodResult) -> None:
        """Count a control period that the back end has finished."""
        self.step += steps
        self.periods += 1
        self.attempts += attempts
        self.successes += result.successes
        self.stages.lattice += result.lattice_s
        self.stages.tunnel += result.tunnel_s
        if self.windows.is_open:
            self._window_steps += steps
            self._window_attempts += attempts

    def measure(self, topology_periods: int, attempts: int, steps: int) -> None:
        """Measure coherence, and every `topology_periods` the topology too.

        Args:
            topology_periods: Control periods between two looks at the topology.
            attempts: Tunnel attempts in the last control period.
            steps: Lattice steps in it.
        """
        lattice = self.parts.lattice
        self.order = lattice.order_parameter()
        if self.windows.is_open:
            self.windows.add(self.coherence)
        else:
            self.tally.add(self.coherence, self.simulated_s)
            defects = self.topology.defect_count
            self.late.add(self.coherence, attempts, steps, defect_count=defects)
            self.visits.add(self.parts.network.frequency_hz, steps)
        if self.periods % topology_periods == 0:
            self.topology = measure_topology(lattice)

    def report(self, decision: Decision, step_count: int) -> Progress:
        """Say where the run stands.

        Args:
            decision: The decision of the last control period.
            step_count: Lattice steps of the whole run.
        """
        return Progress(
            step=self.step,
            step_count=step_count,
            simulated_s=self.simulated_s,
            duration_s=step_count * self.config.dynamics.dt_s,
            wall_s=self.wall_s,
            coherence=self.coherence,
            floor=self.config.tunnel.min_coherence,
            frequency_hz=decision.frequency_hz,
            offered_hz=decision.offered_hz,
            required_hz=decision.required_hz,
            maximum_hz=self.config.tunnel.maximum_frequency_hz,
            state=decision.state,
            reason=decision.reason,
            successful=self.successes,
            failed=self.attempts - self.successes,
            metrics=self.parts.monitor.metrics,
        )

    def to_series_row(self, decision: Decision, result: PeriodResult) -> dict[str, Any]:
        """Return the row of `timeseries.parquet` for the last control period."""
        return {
            "step": self.step,
            "simulated_s": self.simulated_s,
            "wall_s": self.wall_s,
            "coherence": self.coherence,
            "mean_phase_rad": float(np.angle(self.order)),
            "local_coherence": self.topology.local_coherence,
            "vortex_count": self.topology.vortex_count,
            "winding_turns": self.topology.winding_turns,
            "frequency_hz": decision.frequency_hz,
            "required_hz": decision.required_hz,
            "offered_hz": decision.offered_hz,
            "state": decision.state,
            "attempts": self.attempts,
            "successes": self.successes,
            "lattice_s": result.lattice_s,
            "tunnel_s": result.tunnel_s,
            "availability": self.parts.monitor.metrics.availability,
        }

    def digest(self) -> str:
        """Return the SHA-256 of phases, velocities and bridges: on all devices one."""
        lattice = self.parts.lattice
        velocities = lattice.velocities_hz
        moving = [lattice.phases, *([] if velocities is None else [velocities])]
        return digest_state(itertools.chain(moving, self.parts.network.read_state()))

    def _seal(self) -> tuple[str | None, str]:
        """Return the digest, or None and why it cannot be had where that is news."""
        if self.is_state_lost:
            return None, ""
        try:
            return self.digest(), ""
        except DeviceError as error:
            self.is_state_lost = True
            return None, f"{type(error).__name__}: {error}"

    def summarise(self, status: str, notes: tuple[str, ...] = ()) -> RunSummary:
        """Sum up everything so far.

        Args:
            status: done, interrupted or failed.
            notes: What else a reader must know.
        """
        parts = self.parts
        forecast = self._compare_forecast(status)
        price = find_price(self.windows, forecast, len(parts.network))
        digest, trouble = self._seal()
        if trouble:
            status, notes = "failed", (*notes, trouble)
        counts = self.summarise_counts(status, notes)
        return replace(
            counts,
            coherence=counts.coherence | price.to_dict(self.late.coherence),
            state_digest=digest,
            forecast=forecast,
            observation=parts.observer.to_dict(),
            rollout=parts.pilot.to_dict() if parts.pilot else None,
            mesh=parts.mesh.to_dict(self.wall_s) if parts.mesh else None,
            sensor=self.sensor.to_dict(),
        )

    def summarise_counts(self, status: str, notes: tuple[str, ...]) -> RunSummary:
        """Sum up what was counted, for a run that has no memory to compute anything.

        Args:
            status: done, interrupted or failed.
            notes: What else a reader must know.
        """
        parts, nodes = self.parts, self.parts.lattice.node_count
        decision = (parts.pilot or parts.controller).decision
        most, made = self._count_events()
        return RunSummary(
            status=status,
            backend=parts.backend.name,
            device=parts.backend.device,
            seed=self.config.seed,
            nodes=nodes,
            bridges=len(parts.network),
            steps=self.step,
            simulated_seconds=self.simulated_s,
            wall_seconds=self.wall_s,
            stage_seconds=dict(vars(self.stages)),
            node_steps_per_second=nodes * self.step / max(self.wall_s, 1e-9),
            tunnels={
                "attempted": self.attempts,
                "successful": self.successes,
                "failed": self.attempts - self.successes,
            },
            average_frequency_hz=self.average_frequency_hz,
            coherence=self.tally.to_dict(),
            controller_state=decision.state if decision else "nominal",
            events_saved_factor=most / made if made else None,
            energy_joules=self._spent_energy_j(),
            state_digest=None,
            folder=self.config.record.folder,
            notes=notes,
        )

    def _compare_forecast(self, status: str) -> dict[str, Any] | None:
        """Compare what was expected with the later part of the run."""
        parts, dt_s = self.parts, self.config.dynamics.dt_s
        if parts.outlook is None:
            return None
        allotment = parts.mesh.allotment if parts.mesh else None
        return parts.outlook.compare(
            self.late,
            parts.network,
            dt_s,
            self.visits.list_visits(),
            moved=allotment.moved if allotment else 0.0,
            is_done=status == "done",
        )

    def _read_energy_j(self) -> float | None:
        """Sum the energy counters of the GPUs in use [J]; None where unknown."""
        if not self.parts.monitor.source.is_live:
            return None
        names = self.parts.backend.gpu_identifiers
        gpus = self.parts.monitor.gpus
        used = [gpu for gpu in gpus if any(gpu.is_named(name) for name in names)]
        counters = [gpu.energy_j for gpu in used if gpu.energy_j is not None]
        return sum(counters) if used and len(counters) == len(used) else None

    def _spent_energy_j(self) -> float | None:
        now_j = self._read_energy_j()
        start_j, before_j = self._energy_start_j, self._energy_before_j
        if now_j is None or start_j is None or before_j is None:
            return None
        # A driver that was loaded again has begun to count anew.
        return None if now_j < start_j else before_j + now_j - start_j

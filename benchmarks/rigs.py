"""Rigs that measure what a run costs: whole runs, and bare lattice steps.

Everything goes through the public interface: `ScribbleSystem` at a fixed tunnel
frequency, and `step_lattice` of a back end. A rig answers for its results before it is
timed: another number of threads, or another back end, must give the same digest.
"""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from engine.backends import select_backend
from engine.backends.protocol import TABLEAUS, LatticeState
from engine.backends.stepping import SteppingBackend
from engine.config import (
    BackendConfig,
    BridgesConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    RecordConfig,
    RunConfig,
)
from engine.geometry import build_geometry
from engine.recording import digest_state
from engine.system import ScribbleSystem

RUN_STEPS = 640
"""Steps of a turn of a run: 16 control periods, one look at the topology [-]."""
LATTICE_WORK = 2**25
"""Node steps that a turn of bare lattice steps aims at [-]."""
CHECK_STEPS = 8
"""Bare lattice steps after which digests are compared [-]."""


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    nodes: int
    """Oscillators of a square lattice, a power of two [-]."""
    bridge_ends_per_node: int = 0
    """Bridge ends per node [-]."""
    frequency_hz: float = 0.0
    """Tunnel frequency of every bridge [Hz]."""
    threads: int | None = None
    """CPU threads [-]; None on a GPU."""
    backend: str = "cpu"
    """Name of the back end."""
    is_bare: bool = False
    """Whether lattice steps alone are measured, without the loop of a run."""

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along both axes, as square as a power of two allows."""
        exponent = self.nodes.bit_length() - 1
        return 2 ** (exponent // 2), 2 ** (exponent - exponent // 2)

    def to_config(self) -> RunConfig:
        """Return the run, whose monitor is told of an idle machine."""
        dynamics = DynamicsConfig()
        controller = ControllerConfig(
            objective="fixed", fixed_frequency_hz=self.frequency_hz or 1.0
        )
        bridges = BridgesConfig(kind="none")
        if self.bridge_ends_per_node:
            bridges = BridgesConfig(per_node=self.bridge_ends_per_node)
        return RunConfig(
            lattice=LatticeConfig(shape=self.shape),
            bridges=bridges,
            dynamics=replace(dynamics, duration_s=RUN_STEPS * dynamics.dt_s),
            controller=controller,
            backend=BackendConfig(self.backend, self.threads),
            load=LoadConfig(kind="synthetic", level=0.0),
            record=RecordConfig(forecast=False),
        )

    def to_witness(self) -> Setting:
        """Return the same by other means, which must give the same bits."""
        if self.backend != "cpu":
            return replace(self, backend="cpu")
        return replace(self, threads=2 if self.threads == 1 else 1)


@dataclass(frozen=True)
class Sample:
    """What one turn took."""

    steps: int
    """Lattice steps [-]."""
    wall_s: float
    """Wall time of the turn [s]."""
    lattice_s: float
    """Part of it in lattice steps [s]."""
    tunnel_s: float
    """Part of it in tunnel events and their planning [s]."""
    events: int
    """Attempted tunnel events [-]."""


class Rig(Protocol):
    """Something that can be measured turn by turn."""

    setting: Setting
    """What it measures."""

    def digest_start(self) -> str:
        """Run a little and return the digest of the state; called first."""

    def take_turn(self) -> Sample:
        """Run a turn."""

    def close(self) -> None:
        """Let go of everything."""


class RunRig:
    """Whole runs: decide, plan, step, measure, count."""

    def __init__(self, setting: Setting) -> None:
        """Build the system; nothing is run yet."""
        self.setting = setting
        self._system = ScribbleSystem(setting.to_config())

    def digest_start(self) -> str:
        """Run one control period and return the digest of the state."""
        self._system.run(lambda _: self._system.request_stop())
        return self._system.state_digest()

    def take_turn(self) -> Sample:
        """Run `RUN_STEPS` steps."""
        before, after = self._system.summarise(), self._system.run()
        stages = {
            name: after.stage_seconds[name] - before.stage_seconds[name]
            for name in ("lattice", "tunnel")
        }
        return Sample(
            steps=after.steps - before.steps,
            wall_s=after.wall_seconds - before.wall_seconds,
            lattice_s=stages["lattice"],
            tunnel_s=stages["tunnel"],
            events=after.tunnels["attempted"] - before.tunnels["attempted"],
        )

    def measure_coherence(self) -> float:
        """Return the order parameter as it stands [-]."""
        return self._system.coherence

    def close(self) -> None:
        """Stop the system."""
        self._system.close()


class LatticeRig:
    """Lattice steps on the back end, and nothing around them."""

    def __init__(self, setting: Setting) -> None:
        """Draw the oscillators; seeded."""
        self.setting = setting
        config = setting.to_config()
        backend = select_backend(config.backend, setting.nodes).backend
        assert isinstance(backend, SteppingBackend)
        self._backend = backend
        self._dt_s = config.dynamics.dt_s
        rng = np.random.default_rng(0)
        phases = rng.integers(0, 2**32, setting.nodes, dtype=np.uint32)
        spread_hz = np.float32(config.lattice.spread_hz)
        detunings_hz = rng.standard_normal(setting.nodes, dtype=np.float32) * spread_hz
        self._lattice: LatticeState = backend.build_lattice(
            build_geometry("square", setting.shape),
            phases,
            detunings_hz,
            config.lattice.coupling_rad_s,
        )

    def _advance(self, count: int) -> None:
        """Run `count` steps and wait for the device: the only place that calls it."""
        euler = TABLEAUS["euler"]
        self._backend.step_lattice(self._lattice, euler, self._dt_s, count)
        self._backend.take_successes()

    def digest_start(self) -> str:
        """Run `CHECK_STEPS` steps and return the digest of the phases."""
        self._advance(CHECK_STEPS)
        return digest_state([self._backend.read_phases(self._lattice)])

    def take_turn(self) -> Sample:
        """Run as many steps as make a turn of some ten milliseconds."""
        steps = min(max(LATTICE_WORK // self.setting.nodes, 16), RUN_STEPS)
        start_s = time.perf_counter()
        self._advance(steps)
        wall_s = time.perf_counter() - start_s
        return Sample(steps, wall_s, wall_s, 0.0, 0)

    def close(self) -> None:
        """Nothing to stop: memory goes with the rig."""


def build_rig(setting: Setting) -> Rig:
    """Build what measures a setting.

    Raises:
        EngineError: The setting does not fit into memory or cannot run here.
    """
    return LatticeRig(setting) if setting.is_bare else RunRig(setting)


def build_checked_rig(setting: Setting) -> tuple[Rig, bool, str]:
    """Build what measures a setting and compare its first steps with a witness.

    The witness is gone before the rig is built, so that one of them fits into memory.

    Returns:
        The rig, whether the digests are equal, and what was compared.

    Raises:
        EngineError: The setting does not fit into memory or cannot run here.
    """
    other = setting.to_witness()
    expected = _digest_once(other)
    rig = build_rig(setting)
    is_equal = rig.digest_start() == expected
    sign = "=" if is_equal else "differs from"
    threads = f", {other.threads} threads" if other.threads else ""
    return rig, is_equal, f"digest {sign} {other.backend}{threads}"


def _digest_once(setting: Setting) -> str:
    """Return the digest of the first steps of a rig, and keep nothing of it."""
    rig = build_rig(setting)
    try:
        return rig.digest_start()
    finally:
        rig.close()
        del rig
        gc.collect()


def compare_with_reference(setting: Setting) -> dict[str, Any]:
    """Compare the coherence after one control period with the `reference` back end.

    Args:
        setting: A small run.

    Returns:
        Both coherences and their difference [-].
    """
    coherences = []
    for other in (setting, replace(setting, backend="reference", threads=None)):
        rig = RunRig(other)
        try:
            rig.digest_start()
            coherences.append(rig.measure_coherence())
        finally:
            rig.close()
    return {
        **asdict(setting),
        "coherence": coherences[0],
        "reference_coherence": coherences[1],
        "difference": abs(coherences[0] - coherences[1]),
    }

"""Vitals: what a scrape reads of a run in progress, gathered when it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from engine import __version__
from engine.config import RunConfig
from engine.monitor import ResourceMetrics
from engine.monitor.metrics import GpuState
from engine.state import State
from engine.system.account import Account, Progress
from engine.system.parts import Parts
from engine.tunnel import Decision
from engine.tunnel.law import FLOOR_BOUND, NOMINAL, STALE, UNREACHABLE
from engine.tunnel.series import Labelled, Reading, Readings

STATES = (NOMINAL, FLOOR_BOUND, UNREACHABLE, STALE)
TRACKER, REFUSED_SCRAPE = "tracker", "refused_scrape"
"""Kinds of errors that do not end a run."""

_GPU_READINGS: dict[str, Callable[[GpuState], float | None]] = {
    "scribble_gpu_utilization_ratio": lambda gpu: gpu.utilisation,
    "scribble_gpu_memory_used_bytes": lambda gpu: gpu.memory_used_bytes,
    "scribble_gpu_power_watts": lambda gpu: gpu.power_w,
    "scribble_gpu_temperature_celsius": lambda gpu: gpu.temperature_c,
    "scribble_gpu_energy_joules": lambda gpu: gpu.energy_j,
}


class Vitals:
    """Readings of one run; the loop only leaves its last decision here."""

    def __init__(self, config: RunConfig, parts: Parts, account: Account) -> None:
        """Watch a run.

        Args:
            config: The run.
            parts: What it joins.
            account: Its counts.
        """
        self._config = config
        self._parts = parts
        self._account = account
        self._last: tuple[Decision, int] | None = None
        self._periods: Counter[str] = Counter(dict.fromkeys(STATES, 0))
        self.errors: Counter[str] = Counter({TRACKER: 0})
        """Errors that did not end the run, by kind [-]."""

    def note(self, decision: Decision, step_count: int) -> None:
        """Leave the decision of the last control period.

        Args:
            decision: The decision.
            step_count: Lattice steps of the whole run [-].
        """
        self._last = (decision, step_count)
        self._periods[decision.state] += 1

    def to_state(self) -> State:
        """Return what is counted here."""
        return {"periods": dict(self._periods), "errors": dict(self.errors)}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        for own, name in ((self._periods, "periods"), (self.errors, "errors")):
            own.update({str(key): int(count) for key, count in state[name].items()})

    def read(self) -> Readings:
        """Gather all readings; safe from another thread, which may see half a period.

        Returns:
            Values by the names of `SERIES`.
        """
        account, parts = self._account, self._parts
        readings: dict[str, Reading] = {
            "scribble_run": self._describe(),
            "scribble_simulated_seconds": account.simulated_s,
            "scribble_wall_seconds": account.wall_s,
            "scribble_steps": account.step,
            "scribble_periods": _label(dict(self._periods)),
            "scribble_nodes": parts.lattice.node_count,
            "scribble_bridges": len(parts.network),
            "scribble_coherence_floor_ratio": self._config.tunnel.min_coherence,
            "scribble_local_coherence_ratio": account.topology.local_coherence,
            "scribble_floor_violations": account.tally.violation_count,
            "scribble_maximum_frequency_hertz": (
                self._config.tunnel.maximum_frequency_hz
            ),
            "scribble_node_step_seconds": parts.cost.node_step_s,
            "scribble_event_seconds": parts.cost.event_s,
            "scribble_stage_seconds": _label(dict(vars(account.stages))),
            "scribble_errors": _label(
                {**self.errors, REFUSED_SCRAPE: parts.metrics.refused_scrapes}
            ),
        }
        return {**readings, **_read_machine(parts.monitor.metrics), **self._progress()}

    def _describe(self) -> dict[str, str]:
        """Name the run and its main choices."""
        config, parts = self._config, self._parts
        return {
            "folder": Path(config.record.folder).name if config.record.folder else "",
            "backend": parts.backend.name,
            "device": parts.backend.device,
            "lattice": config.lattice.kind,
            "shape": "x".join(str(cells) for cells in config.lattice.shape),
            "objective": config.controller.objective,
            "seed": str(config.seed),
            "version": __version__,
        }

    def _progress(self) -> Readings:
        """Read what needs a decision; nothing before the first."""
        if self._last is None:
            return {}
        decision, step_count = self._last
        states = {state: state == decision.state for state in STATES}
        progress = self._account.report(decision, step_count)
        return {
            "scribble_target_simulated_seconds": progress.duration_s,
            "scribble_progress_ratio": min(progress.step / step_count, 1.0),
            "scribble_remaining_seconds": estimate_remaining_s(progress),
            "scribble_coherence_margin_ratio": decision.margin,
            "scribble_chosen_frequency_hertz": decision.frequency_hz,
            "scribble_offered_frequency_hertz": decision.offered_hz,
            "scribble_required_frequency_hertz": decision.required_hz,
            "scribble_controller_state": states,
        }


def estimate_remaining_s(progress: Progress) -> float | None:
    """Estimate the wall time that is left [s], at the mean speed so far.

    Args:
        progress: Where the run stands.

    Returns:
        The estimate, >= 0; None before the first step.
    """
    if not progress.step:
        return None
    left = max(progress.step_count - progress.step, 0)
    return progress.wall_s / progress.step * left


def _label(values: dict[str, float]) -> Labelled:
    """Turn names into values of the one label."""
    return {(name,): value for name, value in values.items()}


def _read_machine(seen: ResourceMetrics) -> Readings:
    """Read the resources at the last decision; what is unknown stays out."""
    readings: dict[str, Reading] = {
        "scribble_resource_availability_ratio": _label(
            dict(seen.availability_by_resource)
        ),
        "scribble_sensor_age_seconds": seen.age_s,
        "scribble_idle_cores": seen.cores.idle_cores,
        "scribble_used_cores": seen.process.cores_used,
        "scribble_resident_memory_bytes": seen.process.rss_bytes,
        "scribble_available_memory_bytes": seen.memory.available_bytes,
    }
    for name, read in _GPU_READINGS.items():
        readings[name] = _label_gpus(seen.gpus, read)
    return readings


def _label_gpus(
    gpus: Iterable[GpuState], read: Callable[[GpuState], float | None]
) -> Labelled:
    """Read one figure of every GPU that knows it, by index and UUID."""
    found = (((str(gpu.index), gpu.uuid), read(gpu)) for gpu in gpus)
    return {labels: value for labels, value in found if value is not None}

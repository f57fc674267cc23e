"""Short runs that are recorded and cut off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.recording import RunSummary
from engine.system import Progress, ScribbleSystem

BuildConfig = Callable[..., RunConfig]


def build(build_config: BuildConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Build a run of 400 steps of 0.25 ms, with some groups changed."""
    groups: dict[str, Any] = {
        **{"dynamics": {}, "record": {"forecast": False}, "mesh": {"rule": "none"}},
        **changes,
    }
    groups["dynamics"] = {"duration_s": 0.1, **groups["dynamics"]}
    return build_config(**groups)


def record(config: RunConfig, folder: Path, **changes: Any) -> RunConfig:
    """Have a run recorded in a folder."""
    return replace(config, record=replace(config.record, folder=str(folder), **changes))


def cut_at(system: ScribbleSystem, step: int) -> RunSummary:
    """Run until a step, and stop."""

    def stop(progress: Progress) -> None:
        if progress.step >= step:
            system.request_stop()

    return system.run(stop)

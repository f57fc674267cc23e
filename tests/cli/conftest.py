"""A system that only pretends to run, so that the command line is tested alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from omegaconf import OmegaConf

from engine.config import RunConfig
from experiments import run

DIGEST = "0123456789abcdef" * 4


def build_summary(config: RunConfig, status: str = "done") -> dict[str, Any]:
    return {
        "status": status,
        "backend": "cpu",
        "device": "2 threads",
        "seed": config.seed,
        "nodes": config.lattice.node_count,
        "bridges": 131072,
        "steps": 80000,
        "simulated_seconds": 4.0,
        "wall_seconds": 2.0,
        "stage_seconds": {"lattice": 1.0, "tunnel": 1.0, "control": 0.0, "record": 0.0},
        "node_steps_per_second": 1e8,
        "tunnels": {"attempted": 12, "successful": 10, "failed": 2},
        "average_frequency_hz": 432.0,
        "coherence": {
            "final": 0.95,
            "mean": 0.9,
            "minimum_after_settling": 0.91,
            "floor": config.tunnel.min_coherence,
            "violation_fraction": 0.0,
        },
        "controller_state": "nominal",
        "events_saved_factor": 9.3,
        "energy_joules": None,
        "state_digest": DIGEST,
    }


@dataclass
class Stage:
    """What the pretended systems were given, and how they are to end."""

    configs: list[RunConfig] = field(default_factory=list)
    endings: dict[int, str | Exception] = field(default_factory=dict)

    def build(self, config: RunConfig) -> PretendedSystem:
        self.configs.append(config)
        ending = self.endings.get(len(self.configs) - 1, "done")
        return PretendedSystem(config, ending)


class PretendedSystem:
    def __init__(self, config: RunConfig, ending: str | Exception) -> None:
        self.config = config
        self.ending = ending
        self.description = {"lattice": "square", "backend": "cpu"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, on_progress: Callable[[Any], None]) -> SimpleNamespace:
        if isinstance(self.ending, Exception):
            raise self.ending
        summary = build_summary(self.config, self.ending)
        if self.config.record.folder is not None:
            self.record(Path(self.config.record.folder), summary)
        return SimpleNamespace(status=self.ending, to_dict=lambda: summary)

    def record(self, folder: Path, summary: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(
            OmegaConf.create(run.to_plain(self.config)), folder / "config.yaml"
        )
        (folder / "trace.parquet").write_bytes(b"")
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage()
    monkeypatch.setattr(run, "build_system", stage.build)
    yield stage


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path

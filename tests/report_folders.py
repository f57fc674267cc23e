"""Folders of runs, sweeps and studies for the tests of reports, quickly made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from engine.config import (
    BackendConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    ObserveConfig,
    RecordConfig,
    RunConfig,
)
from engine.recording import to_yaml
from engine.system import ScribbleSystem

HOSTILE = "<script>alert(1)<&\"'"
"""A folder's name that would break a page that does not escape it."""


def make_run(
    folder: Path,
    *,
    duration_s: float = 0.2,
    seed: int = 0,
    observe: ObserveConfig | None = None,
    lattice: tuple[str, tuple[int, ...]] = ("square", (16, 16)),
    **load: Any,
) -> Path:
    """Record a small real run under a square load, in a fraction of a second."""
    shape = {"profile": "square", "level": 0.9, "period_s": duration_s / 2} | load
    config = RunConfig(
        seed=seed,
        lattice=LatticeConfig(kind=lattice[0], shape=lattice[1]),
        dynamics=DynamicsConfig(duration_s=duration_s),
        backend=BackendConfig("reference"),
        load=LoadConfig(kind="synthetic", **shape),
        observe=observe or ObserveConfig(),
        record=RecordConfig(folder=str(folder)),
    )
    with ScribbleSystem(config) as system:
        system.run()
    return folder


def make_job(
    sweep: Path, number: int, overrides: Sequence[str], **figures: Any
) -> Path:
    """Write what a finished job leaves, with figures that a test can know.

    `figures` are coherence, frequency_hz, wall_s, objective; a `message` makes it one
    that failed before it started.
    """
    folder = sweep / str(number)
    folder.mkdir(parents=True)
    message = figures.get("message", "")
    status = {
        "job": number,
        "overrides": list(overrides),
        "status": "failed" if message else "done",
        "exit_code": 2 if message else 0,
        "message": message,
    }
    (folder / "status.json").write_text(json.dumps(status), "utf-8")
    if not message:
        seed = int(figures.get("seed", 0))
        config = replace(RunConfig(seed=seed), controller=ControllerConfig("fixed"))
        (folder / "config.yaml").write_text(to_yaml(asdict(config)), "utf-8")
        summary = build_summary(**figures)
        (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    return folder


def build_summary(
    *,
    coherence: float = 0.95,
    frequency_hz: float = 100.0,
    wall_s: float = 2.0,
    digest: str = "ab" * 32,
    **_: Any,
) -> dict[str, Any]:
    """Build the summary of a run of one simulated second that settled at once."""
    has_held = coherence >= 0.87
    return {
        "status": "done",
        "backend": "cpu",
        "device": "2 threads",
        "nodes": 256,
        "bridges": 512,
        "simulated_seconds": 1.0,
        "wall_seconds": wall_s,
        "average_frequency_hz": frequency_hz,
        "events_saved_factor": 4000.0 / frequency_hz,
        "coherence": {
            "final": coherence,
            "mean": coherence,
            "minimum_after_settling": coherence if has_held else None,
            "violation_fraction": 0.0 if has_held else None,
            "floor": 0.87,
        },
        "state_digest": digest,
        "notes": [],
    }


def make_grid(sweep: Path) -> Path:
    """Write a sweep of two keys: r grows with both, 24 Hz misses the floor at K=50."""
    number = 0
    for coupling in (50, 216, 400):
        for hz in (24, 63, 165):
            words = [f"lattice.coupling_rad_s={coupling}", f"hz={hz}"]
            r = 0.8 + 0.0002 * coupling + 0.0005 * hz
            make_job(sweep, number, words, coherence=r, frequency_hz=float(hz))
            number += 1
    make_job(sweep, number, [*words[:1], "hz=bad"], message="hz is 'bad'; a number.")
    return sweep


def make_study(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Write a study that uses every part of the contract."""
    study = {
        "title": "Load study <b>",
        "question": "What does a load do?",
        "findings": ["It does little."],
        "verdicts": [{"question": "Floor held?", "answer": "yes", "text": "3 of 3."}],
        "tables": [
            {"title": "By level", "columns": ["level", "r"], "rows": [[0.2, 1]]}
        ],
        "plots": [
            {
                "title": "r over load",
                "x": {"label": "level [-]"},
                "y": {"label": "r [-]"},
                "series": [
                    {
                        "name": "square",
                        "x": [0.2, 0.4],
                        "y": [0.96, None],
                        "hover": ["job 7, three seeds", "none"],
                    }
                ],
                "rules": [{"y": 0.87, "label": "floor"}],
                "bands": [{"start": 0.3, "end": 0.4, "label": "floor-bound"}],
            },
            {
                "kind": "heat",
                "title": "map",
                "x": {"label": "level"},
                "y": {"label": "profile"},
                "x_values": [0.2, 0.4],
                "y_values": ["square"],
                "value_label": "r [-]",
                "values": [[0.9, 0.8]],
            },
        ],
    } | dict(changes or {})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(study), "utf-8")
    return folder

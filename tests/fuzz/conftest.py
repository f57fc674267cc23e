"""Folders with everything that runs leave, for tests that damage them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import ObserveConfig
from engine.system import ScribbleSystem
from tests.report_folders import make_run
from tests.resumed_runs import build_config, record, stop_at


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded run with everything that can be observed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    observe = ObserveConfig(
        snapshot_every_s=0.02, frequency_window_s=0.02, probe_count=4
    )
    return make_run(folder, duration_s=0.05, observe=observe, lattice=("chain", (16,)))


@pytest.fixture(scope="session")
def cut_and_whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run that was cut off, checkpoints and parts of tables there, and its like."""
    folder = tmp_path_factory.mktemp("cut off")
    config = build_config("observed, drifting", folder, backend={"name": "reference"})
    with ScribbleSystem(record(config, folder / "whole")) as system:
        system.run()
    often = {"checkpoint_every_s": 0.02, "checkpoint_wall_s": None}
    with ScribbleSystem(record(config, folder / "cut", **often)) as system:
        assert stop_at(system, 22) == "interrupted"
    return folder / "cut", folder / "whole"

"""A folder with everything that a run leaves, for tests that damage it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import ObserveConfig
from tests.report_folders import make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded run with everything that can be observed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    observe = ObserveConfig(
        snapshot_every_s=0.02, frequency_window_s=0.02, probe_count=4
    )
    return make_run(folder, duration_s=0.05, observe=observe, lattice=("chain", (16,)))

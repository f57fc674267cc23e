"""An empty sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study_folders import SweepFolder


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """Return a sweep to be filled with jobs."""
    return SweepFolder(tmp_path / "sweep")

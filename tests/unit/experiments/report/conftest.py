"""One recorded run for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report_folders import make_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody may change."""
    return make_run(tmp_path_factory.mktemp("report") / "run")

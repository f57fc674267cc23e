"""The folder in which Numba keeps compiled kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.backends import kernel_cache


def test_named_folder_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kernel_cache.VARIABLE, str(tmp_path / "kernels"))
    assert kernel_cache.find_cache_folder() == (str(tmp_path / "kernels"), True)


def test_temporary_folder_is_the_last_resort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_cache, "_is_writable", lambda folder: False)
    folder, is_kept = kernel_cache.find_cache_folder()
    assert not is_kept
    assert folder.endswith(str(os.getpid()))


def test_cpu_runs_where_nothing_can_be_kept(tmp_path: Path) -> None:
    code = """
import sys
from engine.backends import kernel_cache, select_backend
from engine.config import BackendConfig
kernel_cache._is_writable = lambda folder: False
backend = select_backend(BackendConfig("cpu"), 1).backend
import numba
assert numba.config.CACHE_DIR == kernel_cache.find_cache_folder()[0]
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)

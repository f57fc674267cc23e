"""The wheel holds the three packages with their data, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "conf", "experiments")
DATA = {
    "configuration": "conf/**/*.yaml",
    "kernels": "engine/backends/kernels/*.cu",
    "formulas": "engine/backends/kernels/*.cuh",
    "type marker": "engine/py.typed",
    "report assets": "experiments/report/assets/*.*",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """Build the wheel in place: hatchling needs neither network nor a new venv."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
    build = subprocess.run(
        [*command, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return ZipFile(next(folder.glob("scribble_engine-*.whl")))


def _metadata(wheel: ZipFile, name: str) -> str:
    path = next(n for n in wheel.namelist() if n.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


@pytest.mark.parametrize("pattern", DATA.values(), ids=DATA.keys())
def test_wheel_holds_data_files(wheel: ZipFile, pattern: str) -> None:
    wanted = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)}
    assert wanted, f"the source tree holds no {pattern}"
    assert wanted <= set(wheel.namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_holds_every_module(wheel: ZipFile, package: str) -> None:
    wanted = {p.relative_to(ROOT).as_posix() for p in ROOT.glob(f"{package}/**/*.py")}
    assert wanted
    assert wanted <= set(wheel.namelist())


def test_wheel_holds_nothing_else(wheel: ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    tests = [n for n in wheel.namelist() if "tests/" in n or "/test_" in n]
    assert not tests


def test_version_is_the_engines(wheel: ZipFile) -> None:
    source = (ROOT / "engine" / "__init__.py").read_text(encoding="utf-8")
    version = _metadata(wheel, "METADATA").split("\nVersion: ")[1].splitlines()[0]
    assert f'__version__ = "{version}"' in source


def test_console_script_is_scribble(wheel: ZipFile) -> None:
    assert "scribble = experiments.cli:main" in _metadata(wheel, "entry_points.txt")


def test_requirements_leave_omegaconf_and_pynvml_alone(wheel: ZipFile) -> None:
    lines = _metadata(wheel, "METADATA").splitlines()
    needs = [line.split(": ")[1] for line in lines if line.startswith("Requires-Dist")]
    assert needs
    assert not [need for need in needs if need.startswith(("omegaconf", "pynvml"))]

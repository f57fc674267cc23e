"""Import direction: each layer of the engine imports only layers above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAYERS = {
    "errors": 0,
    "constants": 0,
    "disk": 1,
    "intake": 0,
    "config": 1,
    "geometry": 1,
    "state": 1,
    "backends": 2,
    "drift": 2,
    "late": 2,
    "crystal": 3,
    "bridge": 3,
    "monitor": 3,
    "tunnel": 4,
    "wanda": 4,
    "load": 4,
    "forecast": 5,
    "observation": 5,
    "recording": 5,
    "rollout": 5,
    "system": 6,
    "verification": 7,
}
FORBIDDEN = ("experiments", "hydra", "omegaconf")
HEAVY = (
    *("cupy", "numba", "hydra", "pynvml", "prometheus_client", "mpi4py"),
    *("matplotlib", "xarray", "zarr"),
)


def _base(node: ast.ImportFrom, package: list[str]) -> str:
    """Return the absolute module that a `from ... import` names."""
    if node.level == 0:
        return node.module or ""
    parents = package[: len(package) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _is_late_import(node: ast.AST) -> bool:
    """Tell whether a call is `import_module("...")` or `__import__("...")`."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    called = ast.unparse(node.func).split(".")[-1]
    first = node.args[0]
    return (
        called in ("import_module", "__import__")
        and isinstance(first, ast.Constant)
        and isinstance(first.value, str)
    )


def _imports(tree: ast.Module, package: list[str]) -> Iterator[tuple[int, str]]:
    """Yield line and absolute dotted name of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _is_late_import(node):
            name = ast.literal_eval(node.args[0])
            is_relative = name.startswith(".")
            yield node.lineno, ".".join(package) + name if is_relative else name


def _complaint(room: str, name: str) -> str | None:
    """Say what is wrong with `room` importing `name`, or None."""
    top, _, rest = name.partition(".")
    if top in FORBIDDEN:
        return f"imports {name}, which only experiments/ may"
    if top != "engine" or room == "__init__":
        return None
    target = rest.partition(".")[0]
    if target in (room, "__version__"):
        return None
    if target not in LAYERS:
        return f"imports {name}; import it from the room that defines it"
    if LAYERS[target] >= LAYERS[room]:
        return (
            f"(layer {LAYERS[room]}) imports {name} (layer {LAYERS[target]}); "
            "only layers above it in the table are allowed"
        )
    return None


def layer_violations(engine: Path) -> list[str]:
    """Return one sentence for each import that breaks the layer table."""
    found = []
    for path in sorted(engine.rglob("*.py")):
        parts = path.relative_to(engine.parent).with_suffix("").parts
        where = path.relative_to(engine.parent).as_posix()
        room = parts[1]
        if room != "__init__" and room not in LAYERS:
            found.append(f"{where}: room {room!r} is not in the layer table; add it.")
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for line, name in _imports(tree, list(parts[:-1])):
            complaint = _complaint(room, name)
            if complaint:
                found.append(f"{where}:{line} {complaint}.")
    return found


def test_engine_holds_the_layer_table() -> None:
    violations = layer_violations(ROOT / "engine")
    assert not violations, "\n".join(violations)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Write a small engine that breaks no rule."""
    files = {
        "__init__.py": "from engine.system import ScribbleSystem\n",
        "errors.py": "import math\n",
        "backends/__init__.py": "from .cpu import step\nfrom ..errors import E\n",
        "backends/cpu.py": "from engine.backends import registry\n",
        "monitor/__init__.py": "from engine import __version__, errors\n",
        "tunnel/__init__.py": "import engine.monitor\nfrom engine import bridge\n",
        "system.py": "from engine.tunnel.metrics import TunnelMetrics\n",
    }
    root = tmp_path / "engine"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_clean_engine_passes(engine: Path) -> None:
    assert layer_violations(engine) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.py", "from engine.backends import cpu", "layer 2"),
        ("config.py", "import engine.system as s", "layer 6"),
        ("config.py", "def f():\n    from engine import crystal", "layer 3"),
        ("crystal.py", "from engine.bridge import BridgeNetwork", "layer 3"),
        ("errors.py", "from engine.constants import PHI", "layer 0"),
        ("monitor/gpu.py", "from ..tunnel.schedule import ladder", "layer 4"),
        ("monitor/gpu.py", "from .. import system", "layer 6"),
        ("backends/late.py", "import_module('engine.wanda')", "layer 4"),
        ("backends/cpu.py", "from engine import ScribbleSystem", "that defines it"),
        ("backends/cpu.py", "import engine", "that defines it"),
        ("system.py", "import hydra.utils", "only experiments/"),
        ("__init__.py", "from omegaconf import OmegaConf", "only experiments/"),
        ("recording.py", "from experiments import cli", "only experiments/"),
        ("helpers.py", "", "not in the layer table"),
        ("extras/deep/thing.py", "", "not in the layer table"),
        (
            "geometry.py",
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from engine.crystal import CrystalLattice",
            "layer 3",
        ),
    ],
)
def test_planted_violation_is_found(
    engine: Path, name: str, text: str, words: str
) -> None:
    path = engine / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    violations = layer_violations(engine)
    assert len(violations) == 1
    assert violations[0].startswith(f"engine/{name}")
    assert words in violations[0]


def test_import_engine_loads_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import engine; "
        f"print(*sorted((set(sys.modules) - before) & set({HEAVY!r})))"
    )
    fresh = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert fresh.returncode == 0, fresh.stderr
    assert fresh.stdout.split() == []

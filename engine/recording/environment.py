"""What a run ran on: versions, processor, git state. Read once, never guessed."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from engine import __version__

PACKAGES = (
    "numpy", "numba", "scipy", "rustworkx", "psutil", "nvidia-ml-py", "pyarrow",
    "prometheus-client", "rich", "hydra-core", "cupy-cuda12x", "cupy-cuda13x",
)  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Return the commit of the engine's own checkout, or None outside one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=5.0,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def describe_environment(backend: str, device: str) -> dict[str, Any]:
    """Collect what one needs to know to repeat a run.

    Args:
        backend: Name of the back end.
        device: The processor in words.

    Returns:
        Plain values, ready for JSON; None where something is absent.
    """
    return {
        "scribble": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "logical_cores": os.cpu_count(),
        "backend": backend,
        "device": device,
        "git_commit": _git_commit(),
        "packages": {package: _version(package) for package in PACKAGES},
    }

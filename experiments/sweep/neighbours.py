"""Jobs share a machine: its load, and its ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.config import MetricsConfig
from engine.errors import ConfigError
from engine.tunnel.metrics import check_endpoint

REAL: Final = "real"
"""The kind of load that reaches other jobs on the same machine."""
MAX_PORT: Final = 65535
"""Highest port there is."""
JOBS_AT_A_TIME: Final[Mapping[str, str]] = {
    "JoblibLauncher": "n_jobs",
    "RayLauncher": "workers",
    "SlurmLauncher": "array_parallelism",
    "LocalLauncher": "",
}
"""Setting of a launcher that says how many jobs run at a time, by its class; empty:
there is none. Launchers that are not named here run one job after another, or are the
user's own affair."""


def refuse_neighbours(launcher: Mapping[str, Any]) -> None:
    """Refuse a launcher under which jobs of a real load would run side by side.

    Slurm is trusted where it is to give every job a node of its own.

    Args:
        launcher: Its settings, ``hydra.launcher``.

    Raises:
        ConfigError: It runs several jobs at a time.
    """
    if not _runs_side_by_side(launcher):
        return
    key = JOBS_AT_A_TIME[_name_launcher(launcher)]
    cure = f"set hydra.launcher.{key}=1 or leave" if key else "leave"
    raise ConfigError(
        "Jobs of load=real may not run side by side, for each would be loaded by the "
        f"others too; {cure} hydra/launcher out, or take load=synthetic."
    )


def _name_launcher(launcher: Mapping[str, Any]) -> str:
    return str(launcher.get("_target_", "")).rpartition(".")[2]


def _runs_side_by_side(launcher: Mapping[str, Any]) -> bool:
    """Tell whether a launcher runs several jobs at a time on one machine."""
    name = _name_launcher(launcher)
    if name not in JOBS_AT_A_TIME:
        return False
    key = JOBS_AT_A_TIME[name]
    has_own_node = (launcher.get("additional_parameters") or {}).get("exclusive")
    return not has_own_node and not (key and launcher.get(key) == 1)


def refuse_ports(
    endpoints: Iterable[MetricsConfig], job_count: int, launcher: Mapping[str, Any]
) -> None:
    """Refuse ports that jobs would find taken, by one another or by somebody else.

    Jobs of Slurm run elsewhere, so only they will know.

    Args:
        endpoints: Where jobs serve their metrics, those that differ.
        job_count: Number of jobs; 0 where it is not known.
        launcher: Settings of the launcher, ``hydra.launcher``.

    Raises:
        ConfigError: A port is taken, or several jobs at a time want the same.
    """
    found = set(endpoints)
    is_elsewhere = _name_launcher(launcher) == "SlurmLauncher"
    if is_elsewhere or not any(endpoint.http for endpoint in found):
        return
    is_fixed = all(endpoint.http and endpoint.port for endpoint in found)
    if is_fixed and job_count > len(found) and _runs_side_by_side(launcher):
        port = next(iter(found)).port
        raise ConfigError(
            f"metrics.port is {port} for jobs that run side by side, and only one of "
            "them can have it; set metrics.port=0, and scribble watch finds them."
        )
    for endpoint in found:
        if 0 <= endpoint.port <= MAX_PORT:  # others fail their own jobs
            check_endpoint(endpoint)

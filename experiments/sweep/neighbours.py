"""Jobs that load the machine for real want it to themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.errors import ConfigError

REAL: Final = "real"
"""The kind of load that reaches other jobs on the same machine."""
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
    name = str(launcher.get("_target_", "")).rpartition(".")[2]
    if name not in JOBS_AT_A_TIME:
        return
    key = JOBS_AT_A_TIME[name]
    has_own_node = (launcher.get("additional_parameters") or {}).get("exclusive")
    if has_own_node or (key and launcher.get(key) == 1):
        return
    cure = f"set hydra.launcher.{key}=1 or leave" if key else "leave"
    raise ConfigError(
        "Jobs of load=real may not run side by side, for each would be loaded by the "
        f"others too; {cure} hydra/launcher out, or take load=synthetic."
    )

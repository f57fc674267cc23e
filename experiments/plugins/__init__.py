"""Scribble's own sweepers and launchers, as Hydra's configuration sees them.

Hydra takes plugins under the name ``hydra_plugins`` only, and a package of that name is
seen by every program that uses Hydra. So the classes stay in this room and are made
known by that name within this program only: others keep their own ``basic``.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_ROOM: Final = "hydra_plugins.scribble"
_PROVIDER: Final = "scribble"


@dataclass
class GridSweeperSettings:
    """``hydra/sweeper=basic``: every combination of lists and pairs."""

    _target_: str = f"{_ROOM}.GridSweeper"
    params: dict[str, Any] | None = None
    """Lists of values by key, for a sweep in YAML."""
    pairs: list[Any] = field(default_factory=list)
    """Groups of keys that move together, each a mapping from key to list."""
    max_batch_size: int | None = None
    """Most jobs that the launcher gets at once."""
    only: str = "unfinished"
    """Which jobs to start; set by --resume and --retry-failed."""


@dataclass
class OptunaSweeperSettings:
    """``hydra/sweeper=optuna``: look for the values that optimise a figure."""

    _target_: str = f"{_ROOM}.OptunaSweeper"
    params: dict[str, Any] | None = None
    """Search space by key, for a sweep in YAML."""
    objective: str = "tunnels.attempted"
    """Key of summary.json to optimise."""
    direction: str = "minimize"
    """``minimize`` or ``maximize``."""
    constraints: list[str] = field(
        default_factory=lambda: ["coherence.violation_fraction<=0.01"]
    )
    """What must hold, each KEY<=VALUE or KEY>=VALUE of summary.json."""
    trials: int = 20
    """Jobs in all."""
    batch: int = 1
    """Jobs that the launcher gets at once."""
    seed: int = 0
    """Of the sampler."""
    only: str = "unfinished"
    """As for ``basic``."""


@dataclass
class JoblibLauncherSettings:
    """``hydra/launcher=joblib``: several jobs at a time on this machine."""

    _target_: str = f"{_ROOM}.JoblibLauncher"
    n_jobs: int = -1
    """Jobs at a time; -1: one per core, -2: one less, as joblib counts."""


@dataclass
class RayLauncherSettings:
    """``hydra/launcher=ray``: a Ray cluster, or one made on this machine."""

    _target_: str = f"{_ROOM}.RayLauncher"
    address: str | None = None
    """Address of a cluster, ``auto`` to find it; null makes one here."""
    workers: int | None = None
    """Jobs at a time on a cluster made here; null: one per core."""
    cpus_per_job: float = 1.0
    """Cores that Ray sets aside for a job."""
    gpus_per_job: float = 0.0
    """GPUs likewise."""
    memory_per_job_gib: float | None = None
    """Memory likewise [GiB]."""


SWEEPERS: Final[Mapping[str, str]] = types.MappingProxyType(
    {
        GridSweeperSettings._target_: "grid",
        OptunaSweeperSettings._target_: "optuna",
    }
)
"""Kind of sweeper by the class that Hydra would build."""


def register_plugins() -> None:
    """Give ``basic``, ``optuna``, ``joblib`` and ``ray`` to Scribble's own plugins."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    from experiments.plugins.launchers import JoblibLauncher, RayLauncher
    from experiments.plugins.sweepers import GridSweeper, OptunaSweeper

    known = Plugins.instance().class_name_to_class
    known[GridSweeperSettings._target_] = GridSweeper
    known[OptunaSweeperSettings._target_] = OptunaSweeper
    known[JoblibLauncherSettings._target_] = JoblibLauncher
    known[RayLauncherSettings._target_] = RayLauncher
    store = ConfigStore.instance().store
    for group, name, node in (
        ("hydra/sweeper", "basic", GridSweeperSettings),
        ("hydra/sweeper", "optuna", OptunaSweeperSettings),
        ("hydra/launcher", "joblib", JoblibLauncherSettings),
        ("hydra/launcher", "ray", RayLauncherSettings),
    ):
        store(group=group, name=name, node=node, provider=_PROVIDER)

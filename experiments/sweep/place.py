"""Where a new sweep may be laid: a folder that holds nothing of anybody else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import ConfigError
from engine.recording.folder import RUN_FILES
from experiments.hydra_errors import translate_error
from experiments.sweep.plan import MAX_NUMBER, PLAN_FILE, SweepPlan
from experiments.sweep.status import read_statuses

if TYPE_CHECKING:
    from omegaconf import DictConfig

SWEEP_KEY: Final = "hydra.sweep.dir"
"""Hydra's own key for the folder of a sweep."""


def read_place(node: DictConfig) -> Path:
    """Read the folder of a sweep.

    Args:
        node: Composed configuration, with Hydra's own.

    Returns:
        The folder, absolute.

    Raises:
        ConfigError: None is named, or it refers to a key that is not there.
    """
    from omegaconf.errors import OmegaConfBaseException

    try:
        named = node.hydra.sweep.dir
    except OmegaConfBaseException as error:
        raise translate_error(error) from error
    if named is None or not str(named).strip():
        raise ConfigError(
            f"{SWEEP_KEY} names no folder; name one, or leave it out for a folder "
            "named after the time."
        )
    return Path(str(named)).absolute()


def refuse_place(folder: Path, plan: SweepPlan) -> None:
    """Refuse a folder whose content a new sweep would mix with.

    Args:
        folder: Folder of the sweep, which need not exist.
        plan: Its jobs; where they are not known ahead, every number may be one.

    Raises:
        ConfigError: It holds a sweep, a run or files where a job is to be recorded, or
            lies in another sweep.
    """
    _refuse_sweep(folder)
    outer = next(
        (p for p in folder.resolve().parents if (p / PLAN_FILE).exists()), None
    )
    if outer is not None:
        raise ConfigError(
            f"{SWEEP_KEY} is {folder}, which lies in the sweep {outer}; name a folder "
            "outside of it."
        )
    if not folder.is_dir():
        return
    names = sorted(entry.name for entry in folder.iterdir())
    own = [name for name in names if name in RUN_FILES]
    if own:
        raise ConfigError(
            f"{SWEEP_KEY} is {folder}, which holds {own[0]} of a run; name a "
            "new folder."
        )
    count = len(plan.jobs) or MAX_NUMBER
    taken = _find_taken(folder, names, count)
    if taken is not None:
        raise ConfigError(
            f"{SWEEP_KEY} is {folder}, but {taken}, where a job is to be recorded, "
            "exists and is not an empty folder; name a new folder."
        )


def _refuse_sweep(folder: Path) -> None:
    if (folder / PLAN_FILE).exists() or read_statuses(folder):
        raise ConfigError(
            f"{SWEEP_KEY} is {folder}, which holds another sweep; name a new folder, "
            "or go on with it by --resume."
        )


def _find_taken(folder: Path, names: Sequence[str], count: int) -> Path | None:
    """Find what lies where a job would be recorded."""
    for name in names:
        place = folder / name
        is_job = name.isdecimal() and str(int(name)) == name and int(name) < count
        is_folder = place.is_dir() and not place.is_symlink()
        if is_job and not (is_folder and not any(place.iterdir())):
            return place
    return None

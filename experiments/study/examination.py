"""How a sweep's folder becomes a study."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from engine.errors import ConfigError, quote
from experiments.report.jobs import SweepRecord, read_sweep
from experiments.report.study import STUDY_FILE
from experiments.study import STUDIES
from experiments.study.base import Study, write_json


def examine_sweep(name: str, record: SweepRecord) -> Study:
    """Let a study say what the jobs of a sweep found, finished or not.

    Args:
        name: A key of `STUDIES`.
        record: The sweep's folder.

    Returns:
        The study.

    Raises:
        ConfigError: There is no such study.
    """
    if name not in STUDIES:
        raise ConfigError(
            f"{quote(name)} is no study; choose one of: {', '.join(sorted(STUDIES))}."
        )
    module = import_module(f"experiments.study.{STUDIES[name]}")
    return cast("Callable[[SweepRecord], Study]", module.examine)(record)


def complete_sweep(name: str, folder: Path, tell: Callable[[str], None]) -> None:
    """Let a study compute what its jobs do not carry; most have nothing to compute.

    Args:
        name: A key of `STUDIES`.
        folder: Folder of a sweep whose jobs have ended.
        tell: Takes a sentence on what is being computed.

    Raises:
        RecordError: The folder cannot be written.
    """
    module = import_module(f"experiments.study.{STUDIES[name]}")
    complete = getattr(module, "complete", None)
    if complete is not None:
        complete(read_sweep(folder), tell)


def write_study(name: str, folder: Path) -> dict[str, Any]:
    """Examine a sweep and keep the answer as ``study.json`` in its folder.

    Args:
        name: A key of `STUDIES`.
        folder: Folder of the sweep.

    Returns:
        What was written.

    Raises:
        ConfigError: There is no such study.
        RecordError: The folder cannot be written.
    """
    values = examine_sweep(name, read_sweep(folder)).to_dict()
    write_json(folder / STUDY_FILE, values)
    return values

"""Tracking: what of a run is told to a tracker, and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.recording import RunSummary
from engine.recording.mlflow_sink import MEMO_FILE, MlflowSink, require_mlflow
from engine.recording.tracker import (
    POINTS_PER_RUN,
    RunCard,
    RunEnding,
    RunTracker,
    flatten_numbers,
    list_changes,
)

NAMELESS = "scribble"
"""Name of a run without a folder."""
COMMIT_TAG = "mlflow.source.git.commit"
"""The tag under which MLflow shows a commit."""


def check_tracker(config: RunConfig) -> None:
    """Make sure that what `record.tracker` names is installed.

    Raises:
        ConfigError: It is not.
    """
    if config.record.tracker == "mlflow":
        require_mlflow()


def build_tracker(
    config: RunConfig,
    environment: Mapping[str, Any],
    on_failure: Callable[[], None],
) -> RunTracker | None:
    """Build the tracker of a run, not started.

    Args:
        config: The run.
        environment: What it runs on.
        on_failure: Called once if it fails.

    Returns:
        The tracker; None if none is asked for.
    """
    if config.record.tracker is None:
        return None
    told = {
        "scribble.version": environment["scribble"],
        "backend": environment["backend"],
        "device": environment["device"],
        COMMIT_TAG: environment["git_commit"],
    }
    tags = {name: str(text) for name, text in told.items() if text is not None}
    folder = config.record.folder
    name = Path(folder).name if folder is not None else NAMELESS
    memo = Path(folder) / MEMO_FILE if folder is not None else None
    card = RunCard(name, list_changes(config), tags, memo)
    return RunTracker(MlflowSink(), card, on_failure)


def count_tracker_periods(config: RunConfig) -> int:
    """Count the control periods from one told point to the next, >= 1."""
    periods = config.dynamics.step_count / config.controller.period_steps
    return max(math.ceil(periods / POINTS_PER_RUN), 1)


def describe_ending(summary: RunSummary) -> RunEnding:
    """Put a summary into what a tracker tells."""
    values = summary.to_dict()
    return RunEnding(
        status=summary.status,
        figures=flatten_numbers(values, "summary."),
        tags={
            "state_digest": summary.state_digest,
            "controller_state": summary.controller_state,
        },
        folder=Path(summary.folder) if summary.folder is not None else None,
    )

"""MlflowSink: a run in MLflow; the package is imported when the run begins."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.recording.tracker import Point, RunCard, RunEnding

URI_VARIABLE, EXPERIMENT_VARIABLE = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
"""MLflow's own settings for where to track, and under what heading."""
DEFAULT_EXPERIMENT = "scribble"
DATABASE_FILE = "mlflow.db"
"""Where runs are tracked, under the current folder, if nothing else is set."""
_STATUSES = {"done": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_SQLITE = "sqlite:///"
_LOUD_PACKAGES = ("mlflow", "alembic")


def require_mlflow() -> None:
    """Make sure that MLflow can be imported.

    Raises:
        ConfigError: It is not installed.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigError(
            "record.tracker is 'mlflow', but the package mlflow is not installed; run: "
            "pip install 'scribble-engine[mlflow]', or set record.tracker=null."
        )


def find_tracking_uri() -> str:
    """Find where to track: what MLflow's variable says, or a local database."""
    local = f"{_SQLITE}{Path.cwd() / DATABASE_FILE}"
    return os.environ.get(URI_VARIABLE) or local


@contextmanager
def lock_database(uri: str) -> Iterator[None]:
    """Let one process after another make or open a local database.

    MLflow makes its tables step by step without a lock of its own, so that jobs which
    start together would stumble over each other.

    Args:
        uri: Where to track; only an SQLite database has a lock, a file beside it.
    """
    if not uri.startswith(_SQLITE):
        yield
        return
    with Path(f"{uri.removeprefix(_SQLITE)}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class MlflowSink:
    """Writes one MLflow run; safe beside others, for it uses no active run."""

    def __init__(self) -> None:
        """Find out where to write; nothing is opened yet."""
        self.uri = find_tracking_uri()
        self._experiment = os.environ.get(EXPERIMENT_VARIABLE) or DEFAULT_EXPERIMENT
        self._client: Any = None
        self._run_id = ""

    def open(self, card: RunCard) -> None:
        """Create the run with its parameters and tags."""
        import mlflow
        from mlflow.entities import Param

        for package in _LOUD_PACKAGES:
            logging.getLogger(package).setLevel(logging.WARNING)
        with lock_database(self.uri):
            self._client = mlflow.MlflowClient(tracking_uri=self.uri)
            experiment = self._find_experiment()
        run = self._client.create_run(
            experiment, run_name=card.name, tags=dict(card.tags)
        )
        self._run_id = run.info.run_id
        params = [Param(key, value) for key, value in card.params.items()]
        self._client.log_batch(self._run_id, params=params)

    def _find_experiment(self) -> str:
        """Return the id of the experiment; another process may be making it now."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            try:
                return str(self._client.create_experiment(self._experiment))
            except MlflowException:
                found = self._client.get_experiment_by_name(self._experiment)
                if found is None:
                    raise
        return str(found.experiment_id)

    def write(self, points: list[Point]) -> None:
        """Add points to the metrics of the run."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, point.time_ms, point.step)
            for point in points
            for name, value in point.figures.items()
        ]
        self._client.log_batch(self._run_id, metrics=metrics)

    def close(self, ending: RunEnding) -> None:
        """Add summary, tags and the files of the run folder; end the run."""
        for name, value in ending.figures.items():
            self._client.log_metric(self._run_id, name, value)
        for name, text in ending.tags.items():
            self._client.set_tag(self._run_id, name, text)
        if ending.folder is not None:
            self._client.log_artifacts(self._run_id, str(ending.folder))
        self._client.set_terminated(self._run_id, _STATUSES[ending.status])

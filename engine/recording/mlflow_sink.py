"""MlflowSink: a run in MLflow; the package is imported when the run begins."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.disk import DRAFT_SUFFIX, write_text
from engine.errors import ConfigError
from engine.intake import read_json
from engine.recording.endpoint import ENDPOINT_FILE
from engine.recording.lock import LOCK_FILE
from engine.recording.tracker import Point, RunCard, RunEnding

logger = logging.getLogger(__name__)

URI_VARIABLE, EXPERIMENT_VARIABLE = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
"""MLflow's own settings for where to track, and under what heading."""
DEFAULT_EXPERIMENT = "scribble"
DATABASE_FILE = "mlflow.db"
"""Where runs are tracked, under the current folder, if nothing else is set."""
MEMO_FILE = "mlflow.json"
"""Names the MLflow run of a run folder."""
RUN_ID = "run_id"
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


def write_memo(path: Path, run_id: str) -> None:
    """Keep the id of a run, whole or not at all.

    Args:
        path: File to make.
        run_id: As MLflow gave it.

    Raises:
        WriteError: The disk takes no more.
    """
    write_text(path, json.dumps({RUN_ID: run_id}) + "\n")


def read_memo(path: Path) -> str | None:
    """Read the id of a run; None where a file holds none.

    Args:
        path: The file, which need not be there.
    """
    try:
        found = read_json(path)[RUN_ID]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, str) and found else None


def list_artifacts(folder: Path) -> list[Path]:
    """List the files of a run folder that are worth keeping elsewhere.

    Checkpoints are not: they are large, and useless but in their folder.

    Args:
        folder: Run folder.
    """
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and path.name not in (LOCK_FILE, ENDPOINT_FILE)
        and not path.name.endswith(DRAFT_SUFFIX)
    )


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
    """Writes one MLflow run; safe beside others, for it uses no active run.

    A run that was cut off goes on in the MLflow run that its folder names, and tells
    no step twice.
    """

    def __init__(self) -> None:
        """Find out where to write; nothing is opened yet."""
        self.uri = find_tracking_uri()
        self._experiment = os.environ.get(EXPERIMENT_VARIABLE) or DEFAULT_EXPERIMENT
        self._client: Any = None
        self._run_id = ""
        self._told_step = -1

    def open(self, card: RunCard) -> None:
        """Create the run with its parameters and tags, or go on in it."""
        import mlflow

        for package in _LOUD_PACKAGES:
            logging.getLogger(package).setLevel(logging.WARNING)
        with lock_database(self.uri):
            self._client = mlflow.MlflowClient(tracking_uri=self.uri)
            found = self._find_run(card.memo)
            experiment = self._find_experiment() if found is None else ""
        if found is None:
            self._create(card, experiment)
        else:
            self._reopen(card, found)

    def _create(self, card: RunCard, experiment: str) -> None:
        from mlflow.entities import Param

        run = self._client.create_run(
            experiment, run_name=card.name, tags=dict(card.tags)
        )
        self._run_id = run.info.run_id
        if card.memo is not None:
            write_memo(card.memo, self._run_id)
        params = [Param(key, value) for key, value in card.params.items()]
        self._client.log_batch(self._run_id, params=params)

    def _reopen(self, card: RunCard, run: Any) -> None:
        """Go on in a run; its parameters stand, for a run that goes on is the same."""
        self._run_id = run.info.run_id
        self._told_step = int(run.data.metrics.get("step", -1))
        self._client.update_run(self._run_id, status="RUNNING")
        for name, text in card.tags.items():
            self._client.set_tag(self._run_id, name, text)

    def _find_run(self, memo: Path | None) -> Any | None:
        """Return the run that a folder names, if it is there and did not finish."""
        from mlflow.exceptions import MlflowException

        run_id = read_memo(memo) if memo is not None else None
        if run_id is None:
            return None
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            logger.warning("a new MLflow run is begun, for %s is lost: %s", memo, error)
            return None
        is_open = run.info.lifecycle_stage == "active"
        return run if is_open and run.info.status != _STATUSES["done"] else None

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
            if point.step > self._told_step
            for name, value in point.figures.items()
        ]
        if metrics:
            self._client.log_batch(self._run_id, metrics=metrics)

    def close(self, ending: RunEnding) -> None:
        """Add summary, tags and the files of the run folder; end the run."""
        for name, value in ending.figures.items():
            self._client.log_metric(self._run_id, name, value)
        for name, text in ending.tags.items():
            self._client.set_tag(self._run_id, name, text)
        if ending.folder is not None:
            for path in list_artifacts(ending.folder):
                self._client.log_artifact(self._run_id, str(path))
        self._client.set_terminated(self._run_id, _STATUSES[ending.status])

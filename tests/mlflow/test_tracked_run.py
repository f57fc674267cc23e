"""A run in a real MLflow, on a local database; `make test-mlflow` brings the package.

`SCRIBBLE_REQUIRE_MLFLOW=1` turns "skipped, not installed" into a failure.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.config import RunConfig
from engine.recording import RunSummary
from engine.recording.mlflow_sink import find_tracking_uri
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]
ROOT = Path(__file__).parents[2]
# Those of MLflow, its database layer and its web framework are not ours.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    if importlib.util.find_spec("mlflow") is None:
        if os.environ.get("SCRIBBLE_REQUIRE_MLFLOW") == "1":
            pytest.fail("SCRIBBLE_REQUIRE_MLFLOW=1, but mlflow is not installed")
        pytest.skip("mlflow is not installed")
    import mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "trial")
    return mlflow


def track(config: RunConfig) -> RunSummary:
    with ScribbleSystem(config) as system:
        return system.run()


def test_run_can_be_read_back(
    mlflow: Any, build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "mine"
    record = {"folder": str(folder), "tracker": "mlflow"}
    summary = track(build_config(seed=5, record=record))
    assert summary.notes == ()
    client = mlflow.MlflowClient(tracking_uri=find_tracking_uri())
    experiment = client.get_experiment_by_name("trial")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "mine"
    assert run.info.status == "FINISHED"
    assert run.data.params["lattice.shape"] == "(16, 16)"
    assert run.data.params["seed"] == "5"
    assert run.data.tags["state_digest"] == summary.state_digest
    assert run.data.metrics["summary.steps"] == 200.0
    history = client.get_metric_history(run.info.run_id, "coherence")
    assert [point.step for point in history] == [40, 80, 120, 160, 200]
    assert history[-1].value == summary.coherence["final"]
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names == {path.name for path in folder.iterdir()}


def test_jobs_that_start_together_share_a_new_database(
    mlflow: Any, tmp_path: Path
) -> None:
    code = (
        "from engine.recording.mlflow_sink import MlflowSink\n"
        "from engine.recording.tracker import RunCard\n"
        "MlflowSink().open(RunCard('job', {'seed': '0'}, {}))\n"
    )
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "ignore", "-c", code]
    environment = {**os.environ, "PYTHONPATH": path}
    jobs = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [job.wait(60) for job in jobs] == [0, 0, 0]
    client = mlflow.MlflowClient(tracking_uri=find_tracking_uri())
    experiment = client.get_experiment_by_name("trial")
    assert len(client.search_runs([experiment.experiment_id])) == 3


def test_unreachable_server_costs_only_a_note(
    mlflow: Any, build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Port 9 of the loopback, discard, is served by nobody.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    summary = track(build_config(record={"tracker": "mlflow"}))
    assert summary.status == "done"
    [note] = summary.notes
    assert note.startswith("record.tracker failed (MlflowException: ")


def test_resumed_run_is_one_run(
    mlflow: Any, build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "mine"
    record = {"folder": str(folder), "tracker": "mlflow"}
    with ScribbleSystem(build_config(record=record)) as system:
        system.run(lambda _: system.request_stop())
    client = mlflow.MlflowClient(tracking_uri=find_tracking_uri())
    experiment = client.get_experiment_by_name("trial")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert "checkpoints" in {path.name for path in folder.iterdir()} - names
    with ScribbleSystem.resume(folder) as system:
        summary = system.run()
    assert (summary.status, summary.notes) == ("done", ())
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["state_digest"] == summary.state_digest
    history = client.get_metric_history(run.info.run_id, "coherence")
    assert [point.step for point in history] == [40, 80, 120, 160, 200]

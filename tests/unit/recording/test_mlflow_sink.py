"""One MLflow run for a run in legs, told to a client that keeps what it is told.

The client is a fake with the calls of `MlflowClient`; `make test-mlflow` has the real
one (tests/mlflow).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from engine.config import RunConfig
from engine.recording.mlflow_sink import MEMO_FILE, list_artifacts, read_memo
from engine.system import ScribbleSystem
from engine.system import tracking as room

BuildConfig = Callable[..., RunConfig]


class MlflowError(Exception):
    """As `mlflow.exceptions.MlflowException`."""


@dataclass
class KeptRun:
    """A run as the server has it."""

    run_id: str
    tags: dict[str, str]
    status: str = "RUNNING"
    stage: str = "active"
    points: list[tuple[str, float, int]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    param_count: int = 0

    @property
    def steps(self) -> list[int]:
        return [step for name, _, step in self.points if name == "coherence"]


class KeepingClient:
    """What `MlflowClient` is asked for here; all clients share one server."""

    server: list[KeptRun]

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1")

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
        self.server.append(KeptRun(f"run{len(self.server)}", tags))
        return self.get_run(self.server[-1].run_id)

    def find(self, run_id: str) -> KeptRun:
        for run in self.server:
            if run.run_id == run_id:
                return run
        raise MlflowError(f"Run with id={run_id} not found")

    def get_run(self, run_id: str) -> Any:
        run = self.find(run_id)
        # The newest by step, as a server gives it.
        newest = {
            name: value for name, value, _ in sorted(run.points, key=lambda p: p[2])
        }
        info = SimpleNamespace(
            run_id=run_id, status=run.status, lifecycle_stage=run.stage
        )
        return SimpleNamespace(info=info, data=SimpleNamespace(metrics=newest))

    def update_run(self, run_id: str, status: str) -> None:
        self.find(run_id).status = status

    def log_batch(self, run_id: str, params: Any = (), metrics: Any = ()) -> None:
        run = self.find(run_id)
        run.param_count += len(params)
        run.points += [(m.key, m.value, m.step) for m in metrics]

    def log_metric(self, run_id: str, name: str, value: float) -> None:
        self.find(run_id)

    def set_tag(self, run_id: str, name: str, text: str) -> None:
        self.find(run_id).tags[name] = text

    def log_artifact(self, run_id: str, path: str) -> None:
        assert Path(path).is_file()
        self.find(run_id).files.append(Path(path).name)

    def set_terminated(self, run_id: str, status: str) -> None:
        self.find(run_id).status = status


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[KeptRun]:
    kept: list[KeptRun] = []
    client = type("Client", (KeepingClient,), {"server": kept})
    entities = ModuleType("mlflow.entities")
    entities.Param = lambda key, value: SimpleNamespace(key=key, value=value)  # type: ignore[attr-defined]
    entities.Metric = lambda key, value, time_ms, step: SimpleNamespace(  # type: ignore[attr-defined]
        key=key, value=value, step=step
    )
    exceptions = ModuleType("mlflow.exceptions")
    exceptions.MlflowException = MlflowError  # type: ignore[attr-defined]
    package = ModuleType("mlflow")
    package.MlflowClient = client  # type: ignore[attr-defined]
    modules = {"": package, ".entities": entities, ".exceptions": exceptions}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, f"mlflow{name}", module)
    monkeypatch.setattr(room, "require_mlflow", lambda: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return kept


def build(build_config: BuildConfig, folder: Path) -> RunConfig:
    record = {"folder": str(folder), "tracker": "mlflow", "forecast": False}
    return build_config(dynamics={"duration_s": 0.1}, record=record)


def cut_at(system: ScribbleSystem, step: int) -> str:
    def stop(_: object) -> None:
        if system.step >= step:
            system.request_stop()

    return system.run(stop).status


def test_resumed_run_goes_on_in_its_mlflow_run(
    server: list[KeptRun], build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    with ScribbleSystem(build(build_config, folder)) as system:
        assert cut_at(system, 120) == "interrupted"
    [run] = server
    assert run.status == "KILLED"
    param_count = run.param_count
    assert read_memo(folder / MEMO_FILE) == run.run_id
    # Checkpoints lie in the folder, and nowhere else.
    assert list((folder / "checkpoints").iterdir())
    files = {path.name for path in folder.iterdir()} - {"checkpoints"}
    assert set(run.files) == files >= {"summary.json", "trace.parquet", MEMO_FILE}
    with ScribbleSystem.resume(folder) as system:
        assert system.run().notes == ()
    assert server == [run]
    assert run.status == "FINISHED"
    assert run.steps == list(range(40, 401, 40))
    assert run.tags["state_digest"] == system.state_digest()
    assert run.param_count == param_count > 0


def test_steps_that_were_told_are_not_told_again(
    server: list[KeptRun], build_config: BuildConfig, tmp_path: Path
) -> None:
    """A run that is killed has told more than its last checkpoint knows of."""
    folder = tmp_path / "mine"
    with ScribbleSystem(build(build_config, folder)) as system:
        assert cut_at(system, 200) == "interrupted"
    newest = max((folder / "checkpoints").glob("*.ckpt"))
    newest.unlink()
    with ScribbleSystem.resume(folder) as system:
        assert system.step == 0
        system.run()
    [run] = server
    assert run.steps == list(range(40, 401, 40))


@pytest.mark.parametrize("loss", ["forgotten", "deleted", "finished", "damaged"])
def test_lost_mlflow_run_is_begun_anew(
    loss: str, server: list[KeptRun], build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    with ScribbleSystem(build(build_config, folder)) as system:
        cut_at(system, 120)
    [run] = server
    if loss == "forgotten":
        server.clear()
        server.append(KeptRun("another", {}))
    elif loss == "deleted":
        run.stage = "deleted"
    elif loss == "finished":  # by a copy of this folder
        run.status = "FINISHED"
    else:
        (folder / MEMO_FILE).write_text("[]", "utf-8")
    with ScribbleSystem.resume(folder) as system:
        assert system.run().notes == ()
    assert len(server) == 2
    assert server[1].steps == list(range(160, 401, 40))
    assert read_memo(folder / MEMO_FILE) == server[1].run_id


def test_new_run_in_an_old_folder_is_another_mlflow_run(
    server: list[KeptRun], build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build(build_config, tmp_path / "mine")
    with ScribbleSystem(config) as system:
        cut_at(system, 120)
    again = build_config(
        dynamics={"duration_s": 0.1}, record={**vars(config.record), "overwrite": True}
    )
    with ScribbleSystem(again) as system:
        system.run()
    assert [run.status for run in server] == ["KILLED", "FINISHED"]


def test_artifacts_are_whole_files(tmp_path: Path) -> None:
    for name in ("summary.json", "run.lock", "metrics.json", "trace.parquet.part"):
        (tmp_path / name).write_text(json.dumps(None), "utf-8")
    (tmp_path / "checkpoints").mkdir()
    assert [path.name for path in list_artifacts(tmp_path)] == ["summary.json"]

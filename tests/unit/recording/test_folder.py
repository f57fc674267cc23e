"""The run folder: what is in it, what it refuses, and that it can be read back."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet

import engine
from engine.config import LoadConfig, RunConfig
from engine.errors import RecordError
from engine.monitor import ResourceMetrics
from engine.recording import RunRecorder, RunSummary, check_folder, to_yaml
from engine.recording.checkpoint import name_checkpoint
from engine.recording.folder import JOB_FILES, tidy_folder
from engine.recording.lock import LOCK_FILE, FolderLock, find_holder
from engine.recording.recorder import TIMESERIES_COLUMNS, TRACE_COLUMNS
from engine.recording.tables import TableWriter
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]
FILES = {
    "config.yaml",
    "environment.json",
    "timeseries.parquet",
    "trace.parquet",
    "summary.json",
}


def record(config: RunConfig) -> RunSummary:
    with ScribbleSystem(config) as system:
        return system.run()


@pytest.fixture(scope="module")
def recorded(
    tmp_path_factory: pytest.TempPathFactory, build_config: BuildConfig
) -> tuple[Path, RunSummary]:
    """One recorded run: 5 control periods, every second one in the time series."""
    folder = tmp_path_factory.mktemp("runs") / "deep" / "run"
    config = build_config(
        record={"folder": str(folder), "every_periods": 2}, load={"level": 0.25}
    )
    return folder, record(config)


def test_contents(recorded: tuple[Path, RunSummary]) -> None:
    assert {path.name for path in recorded[0].iterdir()} == FILES


def test_summary_holds_every_key_of_the_design(
    recorded: tuple[Path, RunSummary],
) -> None:
    found = json.loads((recorded[0] / "summary.json").read_text(encoding="utf-8"))
    # design.md, section 6
    assert set(found) >= {
        "status", "backend", "device", "seed", "nodes", "bridges", "steps",
        "simulated_seconds", "wall_seconds", "stage_seconds",
        "node_steps_per_second", "tunnels", "average_frequency_hz", "coherence",
        "controller_state", "events_saved_factor", "energy_joules", "state_digest",
    }  # fmt: skip
    assert set(found["stage_seconds"]) == {"lattice", "tunnel", "control", "record"}
    assert set(found["tunnels"]) == {"attempted", "successful", "failed"}
    assert set(found["coherence"]) >= {
        "final", "mean", "minimum_after_settling", "floor", "violation_fraction",
    }  # fmt: skip
    assert found == json.loads(json.dumps(recorded[1].to_dict()))


def test_summary_adds_up(recorded: tuple[Path, RunSummary]) -> None:
    summary = recorded[1]
    assert (summary.status, summary.backend) == ("done", "cpu")
    assert (summary.nodes, summary.bridges, summary.steps) == (256, 512, 200)
    assert summary.simulated_seconds == pytest.approx(0.05)
    tunnels = summary.tunnels
    assert tunnels["attempted"] == tunnels["successful"] + tunnels["failed"]
    assert summary.average_frequency_hz * 512 * 0.05 == pytest.approx(
        tunnels["attempted"]
    )
    assert summary.events_saved_factor == pytest.approx(
        200 * 512 / tunnels["attempted"]
    )
    # The stages are parts of the loop's wall time; what is between them is little.
    assert sum(summary.stage_seconds.values()) <= summary.wall_seconds * 1.001
    assert all(seconds >= 0.0 for seconds in summary.stage_seconds.values())
    assert summary.node_steps_per_second * summary.wall_seconds == pytest.approx(
        256 * 200
    )
    assert summary.energy_joules is None  # no GPU was used
    assert len(bytes.fromhex(summary.state_digest)) == 32


def test_time_series(recorded: tuple[Path, RunSummary]) -> None:
    table = parquet.read_table(recorded[0] / "timeseries.parquet")
    assert table.column_names == list(TIMESERIES_COLUMNS)
    rows = table.to_pydict()
    assert rows["step"] == [80, 160]
    assert rows["simulated_s"] == pytest.approx([0.02, 0.04])
    for column in ("attempts", "successes", "wall_s"):
        assert 0 < rows[column][0] < rows[column][1] * 1.0000001
    assert rows["availability"] == pytest.approx([0.75, 0.75])
    assert all(-3.15 < phase < 3.15 for phase in rows["mean_phase_rad"])


def test_trace_has_every_decision(recorded: tuple[Path, RunSummary]) -> None:
    table = parquet.read_table(recorded[0] / "trace.parquet")
    assert table.column_names == list(TRACE_COLUMNS)
    rows = table.to_pydict()
    assert rows["simulated_s"] == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.04])
    for chosen, offered, required in zip(
        rows["frequency_hz"], rows["offered_hz"], rows["required_hz"], strict=True
    ):
        assert chosen == max(offered, required)
    for text, availability in zip(rows["metrics"], rows["availability"], strict=True):
        metrics = ResourceMetrics.from_dict(json.loads(text))
        assert metrics.availability == availability == 0.75


def test_environment(recorded: tuple[Path, RunSummary]) -> None:
    text = (recorded[0] / "environment.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert found["scribble"] == engine.__version__
    assert found["backend"] == "cpu"
    assert found["packages"]["numpy"]
    assert found["metrics_port"] is None
    assert {"python", "platform", "device", "git_commit"} <= set(found)


def test_configuration_reads_back_equal(recorded: tuple[Path, RunSummary]) -> None:
    found = yaml.safe_load((recorded[0] / "config.yaml").read_text(encoding="utf-8"))
    assert found["load"] == asdict(LoadConfig(kind="synthetic", level=0.25))
    assert found["lattice"]["shape"] == [16, 16]
    assert set(found) == {entry.name for entry in fields(RunConfig)}


@pytest.mark.parametrize(
    "value",
    [
        0, -3, 1.0, 0.1, 1e-5, 1e16, 1e22, -2.5e-300, 2**31, True, False, None,
        "", "plain", "yes", "null", "1e5", "0x10", "- a", "a: b # c", "don't",
        'say "x"', "two\nlines", "tab\t", "back\\slash", "Grüße", "日本", "😀", "~",
        [], [1, 2.5, "a", None, True], (True,), [1e-7, "x, y"],
    ],
    ids=repr,
)  # fmt: skip
def test_yaml_keeps_value_and_type(value: Any) -> None:
    text = to_yaml({"group": {"key": value}, "other": 1})
    expected = list(value) if isinstance(value, tuple) else value
    found = yaml.safe_load(text)
    assert found == {"group": {"key": expected}, "other": 1}
    assert type(found["group"]["key"]) is type(expected)


def test_default_configuration_as_yaml() -> None:
    config = asdict(RunConfig())
    found = yaml.safe_load(to_yaml(config))
    assert found == json.loads(json.dumps(config))


@pytest.fixture
def old_run(tmp_path: Path, build_config: BuildConfig) -> Path:
    folder = tmp_path / "run"
    record(build_config(record={"folder": str(folder)}))
    return folder


def test_existing_run_is_not_touched(old_run: Path, build_config: BuildConfig) -> None:
    before = {path: path.read_bytes() for path in old_run.iterdir()}
    with pytest.raises(RecordError, match=r"record\.overwrite=true"):
        ScribbleSystem(build_config(seed=1, record={"folder": str(old_run)}))
    assert {path: path.read_bytes() for path in old_run.iterdir()} == before


def test_overwrite_replaces_a_run_completely(
    old_run: Path, build_config: BuildConfig
) -> None:
    (old_run / "status.json").write_text("old", encoding="utf-8")
    again = {"folder": str(old_run), "overwrite": True}
    summary = record(build_config(seed=1, record=again))
    assert {path.name for path in old_run.iterdir()} == FILES
    assert (
        json.loads((old_run / "summary.json").read_text())["seed"] == summary.seed == 1
    )


def test_overwrite_spares_folders_that_no_run_wrote(
    tmp_path: Path, build_config: BuildConfig
) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work", encoding="utf-8")
    again = {"folder": str(tmp_path), "overwrite": True}
    with pytest.raises(RecordError, match="what no run has written such as thesis"):
        ScribbleSystem(build_config(record=again))
    assert precious.read_text(encoding="utf-8") == "years of work"


def test_overwrite_spares_files_beside_those_of_a_run(
    old_run: Path, build_config: BuildConfig
) -> None:
    precious = old_run / "thesis.tex"
    precious.write_text("years of work", encoding="utf-8")
    before = sorted(old_run.iterdir())
    again = {"folder": str(old_run), "overwrite": True}
    with pytest.raises(RecordError, match="what no run has written such as thesis"):
        ScribbleSystem(build_config(record=again))
    assert sorted(old_run.iterdir()) == before


def test_overwrite_spares_a_folder_with_only_a_configuration(
    tmp_path: Path, build_config: BuildConfig
) -> None:
    (tmp_path / "config.yaml").write_text("mine", encoding="utf-8")
    again = {"folder": str(tmp_path), "overwrite": True}
    with pytest.raises(RecordError, match="does not apply"):
        ScribbleSystem(build_config(record=again))
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == "mine"


def test_name_that_no_file_system_takes(build_config: BuildConfig) -> None:
    with pytest.raises(RecordError, match="cannot be written"):
        ScribbleSystem(build_config(record={"folder": "x" * 300}))


def test_full_disk_leaves_a_summary(
    tmp_path: Path, build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(writer: TableWriter) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TableWriter, "_flush", fill_up)
    folder = tmp_path / "run"
    config = build_config(
        record={"folder": str(folder)}, metrics={"http": True}, dynamics={}
    )
    with ScribbleSystem(config) as system:
        with pytest.raises(RecordError, match="No space left on device"):
            system.run()
        assert system.metrics._endpoint is None
    assert json.loads((folder / "summary.json").read_text())["steps"] > 0


def test_empty_folder_is_taken(tmp_path: Path, build_config: BuildConfig) -> None:
    record(build_config(record={"folder": str(tmp_path)}))
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_file_instead_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(RecordError, match="is a file; choose another folder"):
            check_folder(path, overwrite)


def test_parent_that_is_a_file(tmp_path: Path, build_config: BuildConfig) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    config = build_config(record={"folder": str(tmp_path / "file" / "run")})
    with pytest.raises(RecordError, match="cannot be written"):
        record(config)


def refuse(*_: Any, **__: Any) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("method", ["mkdir", "write_text"])
def test_folder_that_may_not_be_written(
    method: str,
    tmp_path: Path,
    build_config: BuildConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Permissions do not stop root, so the refusal is played.
    folder = tmp_path / "run"
    if method == "write_text":
        folder.mkdir()
    with ScribbleSystem(build_config(record={"folder": str(folder)})) as system:
        monkeypatch.setattr(Path, method, refuse)
        with pytest.raises(RecordError, match=r"cannot be written \(Permission"):
            system.run()


def test_tables_are_written_in_batches(
    tmp_path: Path, build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.recording.tables.ROWS_PER_WRITE", 2)
    record(build_config(record={"folder": str(tmp_path / "run")}))
    table = parquet.read_table(tmp_path / "run" / "timeseries.parquet")
    assert table.column("step").to_pylist() == [40, 80, 120, 160, 200]


def test_recorder_makes_the_folder_only_when_it_is_built(
    tmp_path: Path, build_config: BuildConfig
) -> None:
    folder = tmp_path / "a" / "b"
    config = build_config(record={"folder": str(folder)})
    with ScribbleSystem(config) as system:
        assert not (tmp_path / "a").exists()
        recorder = RunRecorder(config, folder, {})
        assert folder.is_dir()
        recorder.finish(system.summarise())
        assert find_holder(folder) is not None
        recorder.release()
    assert find_holder(folder) is None


@pytest.mark.parametrize("is_allowed", [False, True])
def test_files_of_a_sweep_are_left_alone(
    is_allowed: bool, tmp_path: Path, build_config: BuildConfig
) -> None:
    for name in JOB_FILES:
        (tmp_path / name).write_text("of the sweep", encoding="utf-8")
    config = build_config(record={"folder": str(tmp_path), "overwrite": is_allowed})
    record(config)
    assert {path.name for path in tmp_path.iterdir()} == FILES | JOB_FILES
    assert all((tmp_path / name).read_text() == "of the sweep" for name in JOB_FILES)


def test_folder_stays_locked_while_a_failed_beginning_is_cleared(
    tmp_path: Path, build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, refused = tmp_path / "run", []
    withdraw = RunRecorder._withdraw

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def look(recorder: RunRecorder) -> None:
        withdraw(recorder)
        with pytest.raises(RecordError, match="in use"):
            FolderLock(folder)
        refused.append(folder)

    monkeypatch.setattr(RunRecorder, "_open", fail)
    monkeypatch.setattr(RunRecorder, "_withdraw", look)
    with pytest.raises(RecordError, match="No space left"):
        RunRecorder(build_config(), folder, {})
    assert refused == [folder]
    assert list(tmp_path.iterdir()) == []


def test_names_change_for_what_is_on_the_disk(
    tmp_path: Path, build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of power at any moment leaves what a run can go on from, or its end."""
    folder, synced, events = tmp_path / "new" / "run", set[str](), []
    sync, move, remove = os.fsync, Path.replace, Path.unlink

    def note_sync(descriptor: int) -> None:
        sync(descriptor)
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))

    def note_move(path: Path, target: Path) -> Path:
        assert str(path) in synced, path
        synced.discard(str(target.parent))
        events.append(target.name)
        return move(path, target)

    def note_removal(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".ckpt":
            assert str(path.parent) in synced  # the newer one has its name
            events.append(f"no {path.name}")
        if path.suffix == ".ckpt" and "summary.json" in events:
            lasting = {str(folder / name) for name in FILES if name[-4:] == "quet"}
            assert {str(folder), *lasting, f"{folder / 'summary.json.part'}"} <= synced
        remove(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_move)
    monkeypatch.setattr(Path, "unlink", note_removal)
    record(
        build_config(record={"folder": str(folder), "checkpoint_every_s": 0.01,
                             "checkpoints_kept": 1})
    )  # fmt: skip
    assert {str(tmp_path), str(folder.parent)} <= synced
    assert "config.yaml" in events
    after = events[events.index("summary.json") :]
    assert len([name for name in events if name.startswith("no ")]) > 3
    assert "no 000000000000.ckpt" in after


def test_checkpoint_written_by_hand_after_the_end_stays(
    tmp_path: Path, build_config: BuildConfig
) -> None:
    folder = tmp_path / "run"
    with ScribbleSystem(build_config(record={"folder": str(folder)})) as system:
        steps = system.run().steps
        system.advance(0.01)
        later = system.write_checkpoint(folder)
    left = name_checkpoint(folder, steps)
    left.touch()
    (folder / LOCK_FILE).touch()
    tidy_folder(folder)
    assert list(later.parent.iterdir()) == [later]
    assert not (folder / LOCK_FILE).exists()
    (folder / "summary.json").write_text("{}", encoding="utf-8")
    tidy_folder(folder)
    assert later.exists()

"""What a run goes on from: damaged, foreign, lost or taken, and how it says so."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from engine.config import BackendConfig, RunConfig
from engine.errors import CheckpointError, ConfigError, RecordError, WriteError
from engine.observation import open_snapshots
from engine.recording.checkpoint import (
    Checkpoint,
    list_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from engine.system import Progress, ScribbleSystem
from tests.cut_runs import build, cut_at, record
from tests.file_limits import no_more_files

BuildConfig = Callable[..., RunConfig]


@pytest.fixture
def cut(build_config: BuildConfig, tmp_path: Path) -> Path:
    """A folder with checkpoints of the steps 200, 160 and 0."""
    folder = tmp_path / "run"
    config = record(build(build_config, {}), folder, checkpoint_every_s=0.04)
    with ScribbleSystem(config) as system:
        cut_at(system, 200)
    steps = [int(path.stem) for path in list_checkpoints(folder)]
    assert steps == [200, 160, 0]
    return folder


@pytest.fixture
def digest(build_config: BuildConfig) -> str:
    with ScribbleSystem(build(build_config, {})) as system:
        return system.run().state_digest


@pytest.mark.parametrize(("damaged", "step"), [(1, 160), (2, 0)])
def test_damaged_newest_falls_back_and_says_so(
    damaged: int,
    step: int,
    cut: Path,
    digest: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for path in list_checkpoints(cut)[:damaged]:
        content = bytearray(path.read_bytes())
        content[300] ^= 4
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING), ScribbleSystem.resume(cut) as system:
        assert system.step == step
        assert system.run().state_digest == digest
    said = [text for text in caplog.messages if "Going on from the one before" in text]
    assert len(said) == damaged
    assert "was altered" in said[0]
    rows = parquet.read_table(cut / "timeseries.parquet")["step"].to_pylist()
    assert rows == list(range(40, 401, 40))


@pytest.mark.parametrize("table", ["timeseries", "trace"])
@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "flipped"])
def test_checkpoint_whose_rows_are_lost_is_damaged(
    is_lost: bool, table: str, cut: Path, digest: str
) -> None:
    part = max((cut / "checkpoints").glob(f"{table}-*.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 4] ^= 4
    part.unlink()
    if not is_lost:
        part.write_bytes(content)
    with ScribbleSystem.resume(cut) as system:
        assert system.step == 160
        assert system.run().state_digest == digest
    rows = parquet.read_table(cut / "timeseries.parquet")["step"].to_pylist()
    assert rows == list(range(40, 401, 40))


def test_file_that_cannot_be_read_just_now_is_kept(
    cut: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses a file for a moment: nothing is lost by asking again."""
    before = sorted(cut.rglob("*"))
    with no_more_files(), pytest.raises(RecordError, match="Too many open files"):
        ScribbleSystem.resume(cut)

    def fail(path: Path) -> Checkpoint:
        with no_more_files():
            return read_checkpoint(path)

    with monkeypatch.context() as full:
        full.setattr("engine.system.resumption.read_checkpoint", fail)
        with pytest.raises(RecordError, match="Too many open files"):
            ScribbleSystem.resume(cut)
    assert sorted(cut.rglob("*")) == before
    with ScribbleSystem.resume(cut) as system:
        assert system.step == 200
        assert system.run().state_digest == digest


def test_snapshots_that_cannot_be_read_just_now_are_not_called_damaged(
    build_config: BuildConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"observe": {"snapshot_every_s": 0.02}}
    config = record(build(build_config, changes), tmp_path / "run")
    with ScribbleSystem(config) as system:
        cut_at(system, 200)

    def fail(path: Path) -> None:
        with no_more_files():
            open_snapshots(path)

    monkeypatch.setattr("engine.system.resumption.open_snapshots", fail)
    with pytest.raises(RecordError, match=r"cannot be read .*Too many.* Try again"):
        ScribbleSystem.resume(tmp_path / "run")


@pytest.mark.parametrize("content", [b"", b"\0" * 4096])
def test_configuration_that_a_loss_of_power_emptied_is_restored(
    content: bytes, cut: Path, digest: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = cut / "config.yaml"
    before = path.read_bytes()
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING), ScribbleSystem.resume(cut) as system:
        assert path.read_bytes() == content  # nothing is written before the run begins
        assert system.run().state_digest == digest
    assert any("config.yaml is empty; it is written anew" in t for t in caplog.messages)
    assert path.read_bytes() == before


def test_drafts_of_a_killed_run_are_removed_when_it_goes_on(cut: Path) -> None:
    draft = cut / "checkpoints" / "000000000190.ckpt.part"
    draft.write_bytes(b"x")
    with ScribbleSystem.resume(cut) as system:
        cut_at(system, 240)
    assert not draft.exists()
    assert list_checkpoints(cut)


def test_checkpoint_whose_snapshots_are_lost_is_damaged(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    changes = {"observe": {"snapshot_every_s": 0.02}}
    config = record(build(build_config, changes), folder, checkpoint_every_s=0.04)
    with ScribbleSystem(config) as system:
        cut_at(system, 200)
    (folder / "snapshots.arrow").write_bytes(b"")
    with ScribbleSystem.resume(folder) as system:
        assert system.step == 0
        assert system.run().observation == {
            "snapshots": 6,
            "frequency": None,
            "locking": None,
        }


def test_tables_that_cannot_be_put_together_can_be_later(
    cut: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the very end costs neither the rows nor the checkpoints."""

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full, ScribbleSystem.resume(cut) as system:
        full.setattr("engine.recording.tables.TableWriter._join", refuse)
        with pytest.raises(RecordError, match="No space left"):
            system.run()
    assert json.loads((cut / "summary.json").read_text("utf-8"))["status"] == "failed"
    with ScribbleSystem.resume(cut) as system:
        assert system.run().state_digest == digest
    rows = parquet.read_table(cut / "timeseries.parquet")["step"].to_pylist()
    assert rows == list(range(40, 401, 40))


def test_all_damaged_is_refused(cut: Path) -> None:
    for path in list_checkpoints(cut):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        ScribbleSystem.resume(cut)


def test_other_configuration_is_refused(cut: Path) -> None:
    path = cut / "config.yaml"
    path.write_text(path.read_text("utf-8").replace("seed: 0", "seed: 1"), "utf-8")
    with pytest.raises(CheckpointError, match="'seed: 0' against 'seed: 1'"):
        ScribbleSystem.resume(cut)


def change_newest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    found = read_checkpoint(list_checkpoints(folder)[0])
    assert found.state is not None
    change(found.state)
    draft = folder / "other"
    write_checkpoint(draft, found.card, found.state)
    draft.replace(found.path)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("account"),
        lambda state: state["account"].update(step="many"),
        lambda state: state["account"].update(order=[1.0]),
        lambda state: state["controller"].update(decision={"state": "nominal"}),
        lambda state: state["network"].update(inputs="other"),
        lambda state: state["network"].update(rungs=state["network"]["last_ticks"]),
        lambda state: state["network"].update(requests=[[10**6, 0]]),
        lambda state: state["network"].update(requests=[[0, 77]]),
        lambda state: state["lattice"].update(phases=None),
        lambda state: state["lattice"].update(inputs="other"),
        lambda state: state["lattice"].update(phases=state["network"]["attempts"]),
        lambda state: state["schedule"].update(cursors=state["schedule"]["groups"]),
        lambda state: state["account"]["visits"].update(sums=[[1]]),
        lambda state: state["observer"].pop("step"),
        lambda state: state["course"].update(last_step=1.5, deeds=None),
    ],
)
def test_state_that_does_not_fit_is_one_sentence(
    change: Callable[[dict[str, Any]], object], cut: Path
) -> None:
    change_newest(cut, change)
    with pytest.raises(CheckpointError, match=r"000000000200\.ckpt"):
        ScribbleSystem.resume(cut)


def test_cursor_outside_its_group_is_refused(cut: Path) -> None:
    def push(state: dict[str, Any]) -> None:
        cursors = state["schedule"]["cursors"]
        values = cursors.load("cursors", np.int64, cursors.shape)
        values[0] = 2**62
        state["schedule"]["cursors"] = replace(cursors, read=lambda: iter([values]))

    change_newest(cut, push)
    with pytest.raises(CheckpointError, match="cursor lies outside"):
        ScribbleSystem.resume(cut)


def test_nothing_to_resume_says_why(build_config: BuildConfig, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no run folder"):
        ScribbleSystem.resume(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        ScribbleSystem.resume(tmp_path)
    with ScribbleSystem(record(build(build_config, {}), tmp_path / "run")) as system:
        system.run()
    with pytest.raises(CheckpointError, match="is finished"):
        ScribbleSystem.resume(tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_no_checkpoints_where_none_are_wanted(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = record(build(build_config, {}), tmp_path / "run", checkpoints_kept=0)
    with ScribbleSystem(config) as system:
        assert cut_at(system, 80).notes == ()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_checkpoints_by_the_clock_cost_at_most_their_share(
    build_config: BuildConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes a second of a clock that only checkpoints move: so one per 100 s."""
    clock = {"now": 0.0}
    written: list[float] = []

    def take(*words: Any) -> None:
        clock["now"] += 1.0
        written.append(clock["now"])
        write_checkpoint(*words)

    monkeypatch.setattr("engine.system.keeper.time.perf_counter", lambda: clock["now"])
    monkeypatch.setattr("engine.system.keeper.write_checkpoint", take)
    config = record(build(build_config, {}), tmp_path / "run", checkpoint_wall_s=30.0)
    config = replace(config, dynamics=replace(config.dynamics, duration_s=0.3))

    def pass_time(_: Progress) -> None:
        clock["now"] += 10.0

    with ScribbleSystem(config) as system:
        system.run(pass_time)
    # The start at 1 s is no measure; the first comes after 30 s, the next 100 s later.
    assert written == [1.0, 32.0, 133.0, 234.0]


def test_run_stops_where_a_checkpoint_cannot_be_written(
    build_config: BuildConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    digest: str,
) -> None:
    folder = tmp_path / "run"
    config = record(build(build_config, {}), folder, checkpoint_every_s=0.01)
    attempts = []

    def refuse(path: Path, *_: Any) -> None:
        attempts.append(path)
        raise WriteError("the disk is full")

    with ScribbleSystem(config) as system:
        start = system._keeper.begin  # what follows the start alone shall fail

        def begin(**words: Any) -> None:
            start(**words)
            monkeypatch.setattr("engine.system.keeper.write_checkpoint", refuse)

        monkeypatch.setattr(system._keeper, "begin", begin)
        with pytest.raises(WriteError, match="the disk is full"):
            system.run()
    assert len(attempts) == 1
    notes = json.loads((folder / "summary.json").read_text("utf-8"))["notes"]
    expected = ["WriteError: the disk is full", "scribble resume goes on from step 0"]
    assert notes == expected
    monkeypatch.undo()
    with ScribbleSystem.resume(folder) as system:
        assert system.run().state_digest == digest


def test_two_runs_in_one_folder(cut: Path, build_config: BuildConfig) -> None:
    config = record(build(build_config, {}), cut, overwrite=True)
    with ScribbleSystem.resume(cut) as first:
        refusals: list[str] = []

        def intrude(_: Progress) -> None:
            for attempt in (
                lambda: ScribbleSystem.resume(cut),
                lambda: ScribbleSystem(config),
            ):
                with pytest.raises(RecordError, match="is in use") as caught:
                    attempt()
                refusals.append(str(caught.value))

        assert first.run(intrude).status == "done"
    assert refusals


def test_second_of_two_resumptions_finds_the_folder_taken(cut: Path) -> None:
    with ScribbleSystem.resume(cut) as first, ScribbleSystem.resume(cut) as second:
        assert first.run().status == "done"
        with pytest.raises(CheckpointError, match="gone on"):
            second.run()
    summary = json.loads((cut / "summary.json").read_text("utf-8"))
    assert summary["status"] == "done"


def test_checkpoint_by_hand_needs_a_folder(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = record(build(build_config, {}), tmp_path / "run")
    with ScribbleSystem(config) as system:
        with pytest.raises(ConfigError, match="name a folder"):
            system.write_checkpoint()
        paths = []

        def keep(_: Progress) -> None:
            paths.append(system.write_checkpoint())
            with pytest.raises(ConfigError, match="can only go on there"):
                system.write_checkpoint(tmp_path / "elsewhere")
            system.request_stop()

        system.run(keep)
    assert paths[0].parent == tmp_path / "run" / "checkpoints"


def test_settings_of_the_first_leg_stay_in_later_checkpoints(cut: Path) -> None:
    first = read_checkpoint(list_checkpoints(cut)[0])
    with ScribbleSystem.resume(cut, backend=BackendConfig("cpu", threads=1)) as system:
        cut_at(system, 300)
    later: Checkpoint = read_checkpoint(list_checkpoints(cut)[0])
    assert later.card.step > first.card.step
    assert later.card.config == first.card.config


def test_leap_of_the_clock_makes_one_checkpoint_due(
    build_config: BuildConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stood still for an hour does not write sixty of them."""
    clock, written = {"now": 0.0}, []

    def take(path: Path, *words: Any) -> None:
        written.append(int(path.stem))
        write_checkpoint(path, *words)

    monkeypatch.setattr("engine.system.keeper.time.perf_counter", lambda: clock["now"])
    monkeypatch.setattr("engine.system.keeper.write_checkpoint", take)
    config = record(build(build_config, {}), tmp_path / "run", checkpoint_wall_s=60.0)

    def stand_still(progress: Progress) -> None:
        clock["now"] += 3600.0 if progress.step == 160 else 0.0

    with ScribbleSystem(config) as system:
        system.run(stand_still)
    assert written == [0, 160]

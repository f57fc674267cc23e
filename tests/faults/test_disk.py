"""Disks that fill up, limits on files, folders that turn read-only: real ones.

A limit on the size of files (RLIMIT_FSIZE) of 0 makes the kernel refuse every write of
this process from a chosen moment on; tmpfs disks of a few pages do the same to others.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from engine.config import RunConfig
from engine.disk import DRAFT_SUFFIX
from engine.errors import RecordError, WriteError
from engine.observation import Observer, open_snapshots
from engine.observation.locking import Locking
from engine.observation.snapshots import SnapshotWriter
from engine.recording import EndpointRecord, RunRecorder
from engine.recording.checkpoint import list_checkpoints, read_checkpoint
from engine.recording.tables import TableWriter
from engine.system import ScribbleSystem
from engine.system.keeper import Keeper
from experiments.cli import main
from experiments.overrides import compose_run_config
from tests.faults.harness import SETTINGS, Ledger, build_environment, read_summary
from tests.faults.small_disk import SmallDisk
from tests.faults.test_signals import GIVE_UP_S, WORDS, run_alone
from tests.resumed_runs import assert_same_run

SMALL = (
    *("lattice.shape=[8,8]", "backend=reference", "dynamics.duration_s=0.06"),
    *("record.checkpoint_every_s=0.02", *SETTINGS),
)
OBSERVED = (
    *("observe.snapshot_every_s=0.01", "observe.frequency_window_s=0.03"),
    *("observe.probe_count=4", "metrics.http=true"),
)
HARD = resource.getrlimit(resource.RLIMIT_FSIZE)[1]


def allow(size_bytes: int) -> None:
    """Let files of this process grow to a size; what they hold already stays."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, HARD))


@pytest.fixture(autouse=True)
def unlimited() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def build_config(folder: Path, *words: str) -> RunConfig:
    return compose_run_config([f"record.folder={folder}", *SMALL, *words])


def run(config: RunConfig) -> str:
    with ScribbleSystem(config) as system:
        return system.run().state_digest


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(build_config(folder, *OBSERVED))
    return folder


@contextmanager
def full_disk(
    patch: pytest.MonkeyPatch, owner: type, method: str, count: int, *, is_brief: bool
) -> Iterator[None]:
    """Fill the disk when a method is called for the `count`-th time.

    Args:
        patch: Undone at the end.
        owner: Class of the method.
        method: Its name.
        count: Calls until then, this one included.
        is_brief: Whether there is room again once the method has failed.
    """
    original: Callable[..., Any] = getattr(owner, method)
    calls = 0

    def call(*values: Any, **words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != count:
            return original(*values, **words)
        allow(0)
        try:
            return original(*values, **words)
        finally:
            if is_brief:
                allow(HARD)

    with patch.context() as inside:
        inside.setattr(owner, method, call)
        try:
            yield
        finally:
            allow(HARD)
    assert calls >= count


def assert_nothing_half(folder: Path) -> None:
    """Check that whatever a fault has left is whole."""
    drafts = [path for path in folder.rglob("*") if path.name.endswith(DRAFT_SUFFIX)]
    assert drafts == []
    for path in folder.rglob("*.parquet"):
        parquet.read_metadata(path)
    for path in folder.glob("*.json"):
        json.loads(path.read_text("utf-8"))
    if (folder / "snapshots.arrow").exists():
        open_snapshots(folder)
    found = list_checkpoints(folder)
    assert [read_checkpoint(path).path for path in found] == found
    assert found


def go_on(folder: Path, whole: Path) -> None:
    """Resume a run, and hold it against the one that nobody disturbed."""
    with ScribbleSystem.resume(folder) as system:
        system.run()
    assert_same_run(folder, whole)


MOMENTS = [
    (Keeper, "_write", 1, r"checkpoints/0+\.ckpt"),  # at the start
    (EndpointRecord, "write", 1, "metrics.json"),
    (TableWriter, "seal", 3, "timeseries.parquet"),
    (TableWriter, "seal", 6, "trace.parquet"),
    (Keeper, "_write", 3, r"checkpoints/0+160\.ckpt"),
    (SnapshotWriter, "add", 4, "snapshots.arrow"),
    (Observer, "finish", 1, "nodes.parquet"),
    (Locking, "save", 1, "locking.npz"),
    (SnapshotWriter, "close", 1, "snapshots.arrow"),
    (TableWriter, "close", 1, "timeseries.parquet"),
    (TableWriter, "_join", 2, "trace.parquet"),
    (RunRecorder, "_write_summary", 1, "summary.json"),
]


@pytest.mark.parametrize(
    "is_brief",
    [True, pytest.param(False, marks=pytest.mark.faults)],
    ids=["brief", "lasting"],
)
@pytest.mark.parametrize(("owner", "method", "count", "file"), MOMENTS)
def test_disk_full_at_any_moment(
    owner: type,
    method: str,
    count: int,
    file: str,
    is_brief: bool,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ledger: Ledger,
) -> None:
    folder = tmp_path / "run"
    config = build_config(folder, *OBSERVED)
    sentence = rf"{file} cannot be written \(File too large: .* are free\); raise the"
    with (
        full_disk(monkeypatch, owner, method, count, is_brief=is_brief),
        ScribbleSystem(config) as system,
        pytest.raises(WriteError, match=sentence),
    ):
        system.run()
    ledger.disks += 1
    if (owner, count) == (Keeper, 1) or owner is EndpointRecord:
        # Before the first checkpoint nothing is lost but the start.
        assert not list_checkpoints(folder)
        config = replace(config, record=replace(config.record, overwrite=True))
        assert run(config) == read_summary(whole)["state_digest"]
        return
    assert_nothing_half(folder)
    if is_brief and method != "_write_summary":
        summary = read_summary(folder)
        assert summary["status"] == "failed"
        step = int(list_checkpoints(folder)[0].stem)
        assert f"scribble resume goes on from step {step}" in summary["notes"]
        assert "File too large" in " ".join(summary["notes"])
    else:
        assert not (folder / "summary.json").exists()
    go_on(folder, whole)


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "new"])
def test_disk_full_before_the_start(
    is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    folder = tmp_path / "run"
    if is_kept:
        folder.mkdir()
    for count in (1, 2):  # the tables, one after the other
        with (
            full_disk(monkeypatch, RunRecorder, "_open", count, is_brief=False),
            ScribbleSystem(build_config(folder)) as system,
            pytest.raises(RecordError, match=r"record\.folder .*File too") as caught,
        ):
            system.run()
        assert not isinstance(caught.value, WriteError)  # nothing had begun: exit 2
        assert folder.exists() == is_kept
        assert not is_kept or not list(folder.iterdir())
        ledger.disks += 1


def test_full_disk_at_a_row_group_of_a_run_without_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    monkeypatch.setattr("engine.recording.tables.ROWS_PER_WRITE", 2)
    folder = tmp_path / "run"
    config = build_config(folder, "record.checkpoints_kept=0")
    with (
        full_disk(monkeypatch, TableWriter, "_flush", 3, is_brief=True),
        ScribbleSystem(config) as system,
        pytest.raises(WriteError, match="cannot be written"),
    ):
        system.run()
    # Parquet writes its index last, so that a table without it is of no use.
    summary = read_summary(folder)
    assert summary["status"] == "failed"
    assert "File too large" in summary["notes"][0]
    tables = {path.name for path in folder.glob("*.parquet*")}
    assert tables <= {"timeseries.parquet", "trace.parquet"} and len(tables) < 2
    ledger.disks += 1


def test_disk_that_is_still_full_when_the_run_is_resumed(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    folder = tmp_path / "run"
    with (
        full_disk(monkeypatch, Keeper, "_write", 3, is_brief=True),
        ScribbleSystem(build_config(folder, *OBSERVED)) as system,
        pytest.raises(WriteError),
    ):
        system.run()
    before = read_summary(folder)
    for _ in range(2):
        with (
            full_disk(monkeypatch, RunRecorder, "_open", 1, is_brief=False),
            ScribbleSystem.resume(folder) as system,
            pytest.raises(RecordError, match="cannot be written"),
        ):
            system.run()
        ledger.disks += 1
    assert read_summary(folder) == before
    go_on(folder, whole)


WAY = ("run", "-q", "record.folder=run", *SMALL)


def survive(disk: SmallDisk, digest: str) -> bool:
    """Run on a disk that is too small, make room and go on.

    Returns:
        Whether the run had begun before the disk was full.
    """
    code, trouble = disk.scribble(*WAY)
    folder = disk.root / "run"
    if code == 0:
        assert read_summary(folder)["state_digest"] == digest
        return True
    assert trouble.count("\n") == 1, trouble
    assert "cannot be written (No space left on device: " in trouble
    assert " are free)" in trouble
    if code == 2:
        assert not folder.exists()
        return False
    assert code == 1
    has_checkpoint = bool(list_checkpoints(folder))
    words = ("resume", "-q", "run")
    if has_checkpoint:
        assert "Then go on by: scribble resume run\n" in trouble
        assert_nothing_half(folder)
    else:
        words = (*WAY, "record.overwrite=true")
    disk.resize("64m")
    assert disk.scribble(*words) == (0, "")
    assert read_summary(folder)["state_digest"] == digest
    return True


def digest_of_undisturbed(seed: int = 0) -> str:
    config = compose_run_config([*SMALL, f"seed={seed}"])
    with ScribbleSystem(config) as system:
        return system.run().state_digest


def test_disk_that_fills_up(tmp_path: Path, ledger: Ledger) -> None:
    with SmallDisk(tmp_path / "disk", "60k") as disk:
        assert survive(disk, digest_of_undisturbed())
        ledger.disks += 1
        before = sorted(disk.root.rglob("*"))
        assert disk.run("dd", "if=/dev/zero", "of=filler", "bs=4k")[0] == 1
        code, trouble = disk.scribble("report", "run")
        assert code == 1
        assert "report.html cannot be written (No space left on device: 0 B" in trouble
        assert trouble.count("\n") == 1
        assert sorted(disk.root.rglob("*")) == [disk.root / "filler", *before]
        ledger.disks += 1


@pytest.mark.faults
def test_disks_of_every_size(tmp_path: Path, ledger: Ledger) -> None:
    digest = digest_of_undisturbed()
    begun = []
    for pages in range(2, 42, 2):
        with SmallDisk(tmp_path / f"disk{pages}", f"{4 * pages}k") as disk:
            begun.append(survive(disk, digest))
            ledger.disks += 1
    assert begun == sorted(begun)  # from some size on all runs begin
    assert not begun[0] and begun[-1]


@pytest.mark.faults
def test_sweep_on_a_disk_that_fills_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], ledger: Ledger
) -> None:
    with SmallDisk(tmp_path / "disk", "80k") as disk:
        words = ("run", "-m", "-q", "hydra.sweep.dir=sweep", "seed=1,2", *SMALL)
        code, trouble = disk.scribble(*words)
        assert code == 1
        assert trouble.count("\n") == 1, trouble
        assert "cannot be written (No space left on device: " in trouble
        assert "of 2 jobs" in trouble
        assert f"Then go on by: scribble run --resume {disk.place}/sweep" in trouble
        disk.resize("64m")
        assert disk.scribble("run", "-q", "--resume", "sweep") == (0, "")
        sweep = disk.root / "sweep"
        assert read_summary(sweep / "0")["state_digest"] == digest_of_undisturbed(1)
        assert read_summary(sweep / "1")["state_digest"] == digest_of_undisturbed(2)
        disk.close_folder("sweep")
        assert main(["sweep", str(sweep)]) == 2
        shown, trouble = capfd.readouterr()
        assert shown.count("done") == 2
        assert "sweep.parquet cannot be written (Read-only file system)" in trouble
    ledger.disks += 2


def test_folder_that_turns_read_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ledger: Ledger
) -> None:
    with SmallDisk(tmp_path / "disk", "64m") as disk:
        words = ("run", "-q", "record.folder=cut", *WORDS)
        every = "record.checkpoint_every_s=0.02"
        process = disk.start(sys.executable, "-m", "experiments", *words, every)
        cut = disk.root / "cut"
        deadline_s = time.monotonic() + GIVE_UP_S
        while len(list_checkpoints(cut)) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline_s
        disk.close_folder("cut")
        _, trouble = process.communicate(timeout=GIVE_UP_S)
        assert process.returncode == 1
        assert "cannot be written (Read-only file system); make the folder" in trouble
        assert "Then go on by: scribble resume cut\n" in trouble
        assert trouble.count("\n") == 1
        assert main(["resume", "-q", str(cut)]) == 2
        trouble = capsys.readouterr().err
        assert "cannot be written (Read-only file system); copy it" in trouble
        assert trouble.count("\n") == 1
        disk.open_folder("cut")
        assert_nothing_half(cut)
        with ScribbleSystem.resume(cut) as system:
            step, digest = system.step, system.state_digest()
        assert step > 0
        assert digest == run_alone(step)
        ledger.disks += 2


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-q", "record.folder={}/closed/new", *SMALL),
        ("run", "-q", "record.folder={}/closed", *SMALL),
        ("run", "-q", "record.folder={}/closed/old", "record.overwrite=true", *SMALL),
        ("run", "-m", "hydra.sweep.dir={}/closed/sweep", "seed=1,2", *SMALL),
        ("report", "{}/closed/old"),
        ("compare", "{0}/closed/old", "{0}/closed/old", "--to", "{0}/closed/page.html"),
        ("load", "--folder", "{}/closed/load", "duration_s=0.1"),
    ],
    ids=["parent", "folder", "overwrite", "sweep", "report", "compare", "load"],
)
def test_read_only_places_are_refused(
    words: tuple[str, ...],
    read_only: SmallDisk,
    capsys: pytest.CaptureFixture[str],
    ledger: Ledger,
) -> None:
    before = sorted(read_only.root.rglob("*"))
    assert main([word.format(read_only.root) for word in words]) == 2
    trouble = capsys.readouterr().err
    assert trouble.startswith("scribble: error: ") and trouble.count("\n") == 1
    assert "Read-only file system" in trouble
    assert sorted(read_only.root.rglob("*")) == before
    ledger.disks += 1


@pytest.fixture(scope="module")
def read_only(
    tmp_path_factory: pytest.TempPathFactory, whole: Path
) -> Iterator[SmallDisk]:
    """A disk with a read-only folder that holds a run."""
    with SmallDisk(tmp_path_factory.mktemp("disks") / "disk", "16m") as disk:
        assert disk.run("mkdir", "closed") == (0, "")
        assert disk.run("cp", "-r", str(whole), "closed/old") == (0, "")
        disk.close_folder("closed")
        yield disk


def test_output_on_a_full_disk() -> None:
    """What is shown may go to a full disk too; that ends in a sentence as well."""
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [sys.executable, "-m", "experiments", "doctor"],
            env=build_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1, process.stderr
    assert "No space left on device; make room on the disk" in process.stderr

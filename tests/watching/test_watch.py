"""`scribble watch`: runs that go on become targets, others do not."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from engine.recording.endpoint import EndpointRecord, read_endpoint
from experiments import watch
from experiments.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def open_run(folder: Path, port: int, **changes: object) -> None:
    folder.mkdir(parents=True)
    values = {
        "address": "127.0.0.1",
        "port": port,
        "pid": os.getpid(),
        "host": platform.node(),
    }
    EndpointRecord(**{**values, **changes}).write(folder)  # type: ignore[arg-type]


def find_free_pid() -> int:
    """Return the number of a process that has ended and was waited for."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


def test_runs_that_go_on_are_targets(runs: Path, capsys: Capture) -> None:
    open_run(runs / "sweep" / "1", 4001, address="0.0.0.0")
    open_run(runs / "sweep" / "0", 4000)
    open_run(runs / "killed", 4002, pid=find_free_pid())
    open_run(runs / "elsewhere", 4003, pid=find_free_pid(), host="another", address="n")
    open_run(runs / "ipv6", 4004, address="::1")
    (runs / "broken").mkdir()
    (runs / "broken" / "metrics.json").write_text('{"port": 1}', "utf-8")
    assert main(["watch", str(runs), "--json"]) == 0
    found = {
        group["labels"]["run"]: group["targets"]
        for group in json.loads(capsys.readouterr().out)
    }
    assert found == {
        "elsewhere": ["n:4003"],
        "ipv6": ["[::1]:4004"],
        "sweep/0": ["127.0.0.1:4000"],
        "sweep/1": ["127.0.0.1:4001"],
    }


def test_a_run_folder_itself_is_named(runs: Path) -> None:
    open_run(runs / "mine", 4000)
    [group] = watch.list_targets(runs / "mine")
    assert group["labels"] == {"run": "mine"}


def test_folder_for_prometheus(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    open_run(runs / "mine", 4000)
    target = tmp_path / "deep" / "watch"
    assert main(["watch", str(runs), "--to", str(target), "--once"]) == 0
    assert {path.name for path in target.iterdir()} == {
        "prometheus.yml",
        "scribble.json",
        "targets.json",
    }
    [group] = json.loads((target / "targets.json").read_text("utf-8"))
    assert group == {"targets": ["127.0.0.1:4000"], "labels": {"run": "mine"}}
    assert capsys.readouterr().out == "1 run to watch:\n  127.0.0.1:4000  mine\n"


def test_targets_follow_the_runs_until_interrupted(
    runs: Path, tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / "watch"
    counts: list[int] = []

    def wait(span_s: float) -> None:
        assert span_s == watch.LOOK_PERIOD_S
        counts.append(len(json.loads((target / "targets.json").read_text("utf-8"))))
        if len(counts) == 1:
            open_run(runs / "mine", 4000)
        if len(counts) == 3:
            (runs / "mine" / "metrics.json").unlink()
        if len(counts) == 4:
            raise KeyboardInterrupt

    assert watch.watch_runs(runs, target, wait=wait) == 0
    assert counts == [0, 1, 1, 0]
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["0 runs to watch", "1 run to watch:", "  127.0.0.1:4000  mine",
                     "0 runs to watch"]  # fmt: skip
    assert json.loads((target / "targets.json").read_text("utf-8")) == []


@pytest.mark.parametrize("option", ["--json", "--once"])
def test_missing_folder_is_bad_input(
    runs: Path, tmp_path: Path, capsys: Capture, option: str
) -> None:
    target = tmp_path / "watch"
    assert main(["watch", str(runs), "--to", str(target), option]) == 2
    assert f"{runs} is not a folder" in capsys.readouterr().err
    assert not target.exists()


def test_target_that_cannot_be_made_is_bad_input(
    runs: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    target = tmp_path / "file" / "watch"
    assert main(["watch", str(runs), "--to", str(target)]) == 2
    assert "cannot be made" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "[]", '{"address": "a", "port": 0, "pid": 1, "host": "h"}', "nonsense"]
)
def test_unreadable_port_file_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text, "utf-8")
    assert read_endpoint(path) is None
    assert read_endpoint(tmp_path / "absent.json") is None

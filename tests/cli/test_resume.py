"""The command ``resume``: what it says and how it exits; the runs are real, but small."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from engine.recording.checkpoint import list_checkpoints
from experiments import outcome
from experiments.cli import main

WORDS = [
    *("lattice.shape=[16,16]", "backend=reference", "dynamics.duration_s=0.05"),
    *("load=synthetic", "record.forecast=false", "record.folder=cut"),
]


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was warned before its first step had ended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "engine.system.loop.ScribbleSystem._run_until",
        warn(monkeypatch),
    )
    assert main(["run", "-q", *WORDS]) == outcome.INTERRUPTED
    return tmp_path / "cut"


def warn(monkeypatch: pytest.MonkeyPatch) -> object:
    from engine.system.loop import ScribbleSystem

    run_until = ScribbleSystem._run_until

    def run_warned(*arguments: object) -> None:
        monkeypatch.setattr(ScribbleSystem, "_run_until", run_until)
        signal.raise_signal(signal.SIGUSR1)
        run_until(*arguments)  # type: ignore[arg-type]

    return run_warned


def test_resumed_run_ends_and_is_finished(
    cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["resume", "cut", "--threads", "1"]) == outcome.DONE
    assert "status: done" in capsys.readouterr().out
    assert main(["resume", "cut"]) == outcome.DONE
    assert capsys.readouterr().out == "cut is finished; there is nothing to resume.\n"


def test_fallback_is_shown_also_when_quiet(
    cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = list_checkpoints(cut)[0]
    whole.with_name("000000000040.ckpt").write_bytes(whole.read_bytes()[:-1])
    capsys.readouterr()
    assert main(["resume", "-q", "cut"]) == outcome.DONE
    told = " ".join(capsys.readouterr().err.split())
    assert "000000000040.ckpt was cut off. Going on from the one before." in told


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["absent"], "absent is no run folder"),
        (["cut", "--backend", "cup"], "backend.name is 'cup'; choose one of: cpu"),
        (["cut", "--threads", "0"], "backend.threads is 0; it must lie in [1, 4096]"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], reason: str, cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in cut.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["resume", *words]) == outcome.BAD_INPUT
    told = capsys.readouterr().err
    assert told.startswith("scribble: error: ")
    assert told.count("\n") == 1
    assert reason in told
    after = {path: path.read_bytes() for path in cut.rglob("*") if path.is_file()}
    assert after == before

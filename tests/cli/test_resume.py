"""The command ``resume``: what it says and how it exits; small runs, but real."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.config import RunConfig
from engine.recording.checkpoint import list_checkpoints
from engine.system import ScribbleSystem
from experiments import outcome
from experiments.cli import main

WORDS = [
    *("lattice.shape=[16,16]", "backend=reference", "dynamics.duration_s=0.05"),
    *("load=synthetic", "record.forecast=false", "record.folder=cut"),
]


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was warned before its first control period."""
    monkeypatch.chdir(tmp_path)
    warn_next_run(monkeypatch, period=0)
    assert main(["run", "-q", *WORDS]) == outcome.INTERRUPTED
    return tmp_path / "cut"


def warn_next_run(monkeypatch: pytest.MonkeyPatch, period: int) -> None:
    """Let Slurm's warning come in the next run alone, before a control period."""
    run_until, advance = ScribbleSystem._run_until, ScribbleSystem._advance_period
    count = 0

    def run_warned(*arguments: Any) -> None:
        monkeypatch.setattr(ScribbleSystem, "_run_until", run_until)
        if not period:
            signal.raise_signal(signal.SIGUSR1)
        run_until(*arguments)

    def advance_warned(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == period:
            monkeypatch.setattr(ScribbleSystem, "_advance_period", advance)
            signal.raise_signal(signal.SIGUSR1)
        return advance(*arguments)

    monkeypatch.setattr(ScribbleSystem, "_run_until", run_warned)
    monkeypatch.setattr(ScribbleSystem, "_advance_period", advance_warned)


def read_summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    return summary


def test_interrupted_run_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*WORDS[:-1], "record.folder='my run'"]
    warn_next_run(monkeypatch, period=1)
    assert main(["run", *words]) == outcome.INTERRUPTED
    assert capsys.readouterr().out.endswith("go on: scribble resume 'my run'\n")
    warn_next_run(monkeypatch, period=1)
    words = [*WORDS[:-1], "record.folder=other", "record.checkpoints_kept=0"]
    assert main(["run", *words]) == outcome.INTERRUPTED
    assert "go on" not in capsys.readouterr().out


def test_resumed_run_ends_and_is_finished(
    cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["resume", "cut", "--threads", "1"]) == outcome.DONE
    assert "status: done" in capsys.readouterr().out
    assert main(["resume", "cut"]) == outcome.DONE
    assert capsys.readouterr().out == "cut is finished; there is nothing to resume.\n"


def test_run_that_was_killed_after_its_summary_is_tidied(cut: Path) -> None:
    assert main(["resume", "-q", "cut"]) == outcome.DONE
    names = {path.name for path in cut.iterdir()}
    (cut / "run.lock").touch()
    (cut / "checkpoints").mkdir()
    (cut / "checkpoints" / "000000000040.ckpt").touch()
    (cut / "checkpoints" / "trace-000001.parquet").touch()
    assert main(["resume", "-q", "cut"]) == outcome.DONE
    assert {path.name for path in cut.iterdir()} == names


def test_fallback_is_shown_also_when_quiet(
    cut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = list_checkpoints(cut)[0]
    whole.with_name("000000000040.ckpt").write_bytes(whole.read_bytes()[:-1])
    capsys.readouterr()
    assert main(["resume", "-q", "cut"]) == outcome.DONE
    told = " ".join(capsys.readouterr().err.split())
    assert "000000000040.ckpt was cut off. Going on from the one before." in told


def test_record_metrics_and_back_end_may_change(
    cut: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[RunConfig] = []
    build = ScribbleSystem.__init__

    def note(system: ScribbleSystem, config: RunConfig, **others: Any) -> None:
        begun.append(config)
        build(system, config, **others)

    monkeypatch.setattr(ScribbleSystem, "__init__", note)
    words = ["record.checkpoints_kept=7", "backend.threads=1", "metrics=http"]
    assert main(["resume", "cut", *words, "metrics.port=0"]) == outcome.DONE
    [config] = begun
    assert (config.record.checkpoints_kept, config.backend.threads) == (7, 1)
    assert (config.metrics.http, config.metrics.port) == (True, 0)
    # What was not named stays as the run was begun.
    assert (config.backend.name, config.record.forecast) == ("reference", False)
    assert config.record.folder == "cut"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["absent"], "absent is no run folder"),
        (["cut", "--backend", "cup"], "backend.name is 'cup'; choose one of: cpu"),
        (["cut", "--threads", "0"], "backend.threads is 0; it must lie in [1, 4096]"),
        (["cut", "seed=3"], "seed cannot be set when a run is resumed"),
        (["cut", "lattice=chain"], "lattice cannot be set when a run is resumed"),
        (["cut", "record.folder=b"], "record.folder cannot be set when a run is"),
        (["cut", "record.overwrite=true"], "for it goes on in its own folder"),
        (["cut", "record.checkpoints_kept=-1"], "record.checkpoints_kept is -1"),
        (["cut", "record.colour=red"], "record.colour"),
        (["cut", "metrics=htp"], "metrics is 'htp'"),
        (["cut", "threads"], "'threads' is not a setting"),
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


def test_job_of_a_sweep_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*WORDS[:-1], "hydra.sweep.dir=sweep", "seed=1,2"]
    warn_next_run(monkeypatch, period=1)
    assert main(["run", "-q", "-m", "--in-process", *words]) == outcome.INTERRUPTED
    assert read_summary(tmp_path / "sweep" / "0")["status"] == "interrupted"
    assert main(["run", "-q", "--resume", "sweep"]) == outcome.DONE
    first, second = (read_summary(tmp_path / "sweep" / name) for name in "01")
    assert [leg["step"] for leg in first["resumed"]] == [40]
    assert (first["status"], second["status"]) == ("done", "done")
    assert second["resumed"] is None

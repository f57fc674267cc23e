"""`scribble run` and `scribble replay` around a pretended system."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from omegaconf import OmegaConf

from engine.errors import (
    BackendUnavailableError,
    NumericalError,
    RecordError,
    ResourceError,
    ShapeError,
)
from experiments.cli import main

if TYPE_CHECKING:
    from conftest import Stage

Capture = pytest.CaptureFixture[str]


def test_run_folder_is_named_after_the_time(stage: Stage, folder: Path) -> None:
    assert main(["run"]) == 0
    named = stage.configs[0].record.folder
    assert named is not None
    assert re.fullmatch(r"runs/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", named)


def test_two_runs_in_one_second_get_two_folders(stage: Stage, folder: Path) -> None:
    for _ in range(3):
        assert main(["run", "-q"]) == 0
    assert len({config.record.folder for config in stage.configs}) == 3


def test_folder_of_the_user_wins(stage: Stage, folder: Path) -> None:
    assert main(["run", "record.folder=mine"]) == 0
    assert stage.configs[0].record.folder == "mine"


def test_no_record(stage: Stage, folder: Path) -> None:
    assert main(["run", "record.folder=mine", "--no-record"]) == 0
    assert stage.configs[0].record.folder is None
    assert list(folder.iterdir()) == []


def test_options_and_settings_in_any_order(stage: Stage, folder: Path) -> None:
    assert main(["run", "seed=1", "--no-record", "dynamics.duration_s=2", "-q"]) == 0
    assert stage.configs[0].seed == 1
    assert stage.configs[0].dynamics.duration_s == 2.0


def test_quiet_prints_one_line_with_the_folder_last(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main(["run", "--quiet", "record.folder=mine"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.startswith("done: coherence 0.950 (floor 0.870)")
    assert out.endswith(", mine\n")


def test_closing_lines_hold_every_figure(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main(["run", "record.folder=mine"]) == 0
    out = capsys.readouterr().out
    for text in ("status: done", "least after settling 0.910", "432 Hz on average",
                 "9.3 times fewer events", "40 k steps/s", "tunnel 50.0%",
                 "0123456789abcdef", "folder: mine"):  # fmt: skip
        assert text in out


@pytest.mark.parametrize(
    ("status", "code"), [("done", 0), ("interrupted", 130), ("failed", 1)]
)
def test_exit_code_of_a_status(
    status: str, code: int, stage: Stage, folder: Path
) -> None:
    stage.endings[0] = status
    assert main(["run", "-q"]) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ShapeError("Bridge 3 joins node 5 to itself."), 2),
        (BackendUnavailableError("CUDA is not usable."), 2),
        (ResourceError("This needs 1 TiB."), 2),
        (RecordError("mine exists."), 2),
        (NumericalError("A phase is not finite."), 1),
    ],
)
def test_engine_error_is_one_sentence(
    error: Exception, code: int, stage: Stage, folder: Path, capsys: Capture
) -> None:
    stage.endings[0] = error
    assert main(["run", "-q"]) == code
    assert capsys.readouterr().err == f"scribble: error: {error}\n"


def test_unexpected_error_hides_its_traceback_unless_asked(
    stage: Stage, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.endings = {0: KeyError("x"), 1: KeyError("x")}
    assert main(["run", "-q"]) == 1
    err = capsys.readouterr().err
    assert "unexpected KeyError" in err
    assert "SCRIBBLE_TRACEBACK=1" in err
    assert err.count("\n") == 1
    monkeypatch.setenv("SCRIBBLE_TRACEBACK", "1")
    assert main(["run", "-q"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_cfg_prints_what_would_run(stage: Stage, folder: Path, capsys: Capture) -> None:
    assert main(["run", "--cfg", "lattice=chain", "seed=3"]) == 0
    printed = OmegaConf.create(capsys.readouterr().out)
    assert printed.seed == 3
    assert printed.lattice.shape == [65536]
    assert stage.configs == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("argv", [["run"], ["run", "-m", "seed=1,2"], ["replay", "x"]])
def test_missing_hydra_names_the_package(
    argv: list[str], folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hydra", None)
    assert main(argv) == 1
    assert "pip install 'hydra-core" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_replay_takes_the_recorded_configuration_and_trace(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    words = ["seed=5", "lattice=chain", "tunnel=development", "record.folder=first"]
    assert main(["run", "-q", *words]) == 0
    assert main(["replay", "first", "-q"]) == 0
    first, second = stage.configs
    assert second.lattice == first.lattice
    assert second.tunnel == first.tunnel
    assert (second.load.kind, second.load.trace) == ("replay", "first")
    assert second.record.folder != "first"
    assert "state_digest is equal" in capsys.readouterr().out


def test_replay_does_not_repeat_a_fault_that_the_trace_holds(
    stage: Stage, folder: Path
) -> None:
    assert main(["run", "-q", "fault=vanish", "record.folder=first"]) == 0
    assert main(["replay", "first", "-q"]) == 0
    assert main(["replay", "first", "-q", "--no-record", "fault=freeze"]) == 0
    kinds = [config.fault.kind for config in stage.configs]
    assert kinds == ["vanish", "none", "freeze"]


def change_digest(path: Path, **changes: object) -> None:
    summary = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**summary, **changes}), encoding="utf-8")


def test_replay_with_another_digest_fails_unless_something_was_changed(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    main(["run", "-q", "record.folder=first"])
    change_digest(folder / "first" / "summary.json", state_digest="other")
    assert main(["replay", "first", "-q"]) == 1
    assert "state_digest differs, recorded other" in capsys.readouterr().out
    words = ["backend=reference", "tunnel.rungs=5", "lattice.shape=[8,8]"]
    assert main(["replay", "first", "-q", "--no-record", *words]) == 0
    config = stage.configs[-1]
    assert config.backend.name == "reference"
    assert config.tunnel.rungs == 5
    assert config.lattice.shape == (8, 8)


def test_replay_says_why_a_run_cannot_be_replayed(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    main(["run", "-q", "record.folder=first"])
    note = "not replayable: bridges were pinned by hand."
    notes = {"notes": ["Something else.", note]}
    change_digest(folder / "first" / "summary.json", state_digest="other", **notes)
    assert main(["replay", "first", "-q"]) == 1
    assert capsys.readouterr().out.endswith(f"replay: {note}\n")
    change_digest(folder / "first" / "summary.json", notes=["Something else."])
    assert main(["replay", "first", "-q"]) == 1
    assert "not replayable" not in capsys.readouterr().out


def test_replay_of_a_run_without_a_step_is_refused(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    main(["run", "-q", "record.folder=first"])
    changes = {"status": "failed", "simulated_seconds": 0.0}
    change_digest(folder / "first" / "summary.json", **changes)
    assert main(["replay", "first", "-q"]) == 2
    assert "ended before its first step" in capsys.readouterr().err
    assert len(stage.configs) == 1


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_replay_of_a_shorter_run_stops_where_it_stopped(
    status: str, stage: Stage, folder: Path
) -> None:
    stage.endings[0] = status
    main(["run", "-q", "record.folder=first", "controller.error_windows=3"])
    assert main(["replay", "first", "-q"]) == 0
    assert stage.configs[-1].dynamics.duration_s == 4.0
    assert stage.configs[-1].controller.error_windows == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "is not a complete run folder: summary.json"),
        (["load=none"], "contradicts a replay"),
        (["+experiment=demo"], "would replace what was recorded"),
        (["latice=chain"], "latice is not a configuration key"),
        (["seed=x"], "seed is 'x'; it must be a whole number."),
    ],
)
def test_replay_refuses(
    words: list[str], expected: str, stage: Stage, folder: Path, capsys: Capture
) -> None:
    main(["run", "-q", "record.folder=first"])
    named = "first" if words else "elsewhere"
    capsys.readouterr()
    assert main(["replay", named, *words]) == 2
    assert expected in capsys.readouterr().err


SPOILT = [
    "",
    "[]",
    "{}",
    '{"state_digest": null}',
    '{"state_digest": 3, "simulated_seconds": 1.0, "notes": []}',
    '{"state_digest": "a", "simulated_seconds": NaN, "notes": []}',
    '{"state_digest": "a", "simulated_seconds": 1.0, "notes": 7}',
]


@pytest.mark.parametrize("text", SPOILT)
def test_replay_refuses_a_spoilt_summary(
    text: str, stage: Stage, folder: Path, capsys: Capture
) -> None:
    main(["run", "-q", "record.folder=first"])
    (folder / "first" / "summary.json").write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert main(["replay", "first"]) == 2
    assert "summary.json is missing or unreadable" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["seed: [", "seed: x", "- 1", "7", "colour: red"])
def test_replay_refuses_a_spoilt_configuration(
    text: str, stage: Stage, folder: Path, capsys: Capture
) -> None:
    main(["run", "-q", "record.folder=first"])
    (folder / "first" / "config.yaml").write_text(text, encoding="utf-8")
    assert main(["replay", "first"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_replay_with_a_change_compares_and_keeps_the_comparison(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    main(["run", "-q", "record.folder=first"])
    words = ["tunnel.min_coherence=0.8", "record.folder=second"]
    assert main(["replay", "first", *words]) == 0
    out = capsys.readouterr().out
    assert "floor: recorded 0.870; replayed 0.800" in out
    assert "controller: recorded nominal; replayed nominal" in out
    kept = json.loads((folder / "second" / "summary.json").read_text("utf-8"))["replay"]
    assert (kept["of"], kept["overrides"], kept["held_s"]) == ("first", words, 0.0)
    assert kept["recorded"]["floor"] == 0.87
    assert kept["replayed"]["floor"] == 0.8
    # Another floor is another policy: it shall judge the recorded samples itself.
    assert stage.configs[-1].load.judge_anew
    assert main(["replay", "first", "-q", "backend=reference"]) == 0
    assert not stage.configs[-1].load.judge_anew
    assert "recorded 0.870" not in capsys.readouterr().out


def test_replay_with_a_change_compares_what_a_damaged_summary_still_holds(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    main(["run", "-q", "record.folder=first"])
    changes = {"coherence": {"mean": "0.9"}, "tunnels": None, "controller_state": 3}
    change_digest(folder / "first" / "summary.json", **changes)
    assert main(["replay", "first", "tunnel.min_coherence=0.8"]) == 0
    out = capsys.readouterr().out
    assert "coherence mean: recorded unknown; replayed 0." in out
    assert "tunnel attempts: recorded unknown; replayed " in out


def test_replay_beyond_the_trace_says_so(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    main(["run", "-q", "record.folder=first"])
    changes = {"simulated_seconds": 1.5}
    change_digest(folder / "first" / "summary.json", **changes)
    assert main(["replay", "first", "-q", "dynamics.duration_s=4"]) == 0
    assert (
        "replay: the trace ends at 1.5 s of simulated time; for the remaining 2.5 s "
        "its last sample was held\n"
    ) in capsys.readouterr().out

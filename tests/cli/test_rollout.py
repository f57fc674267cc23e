"""`rollout=...` from the command line to the closing lines, and again by replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from experiments.views.summary import describe_rollout

Capture = pytest.CaptureFixture[str]
# Aligned phases are above the floor at once: a whole rollout takes 80 ms.
WORDS = [
    "rollout=alpha", "rollout.policy=production", "lattice.shape=[16,16]",
    "lattice.initial_phases=aligned", "load=synthetic", "load.level=0", "backend=cpu",
    "controller=floor", "controller.period_steps=4", "rollout.start_s=0.02",
    "rollout.settle_s=0.02", "rollout.window_s=0.02", "dynamics.duration_s=0.1",
    "record.forecast=false", "record.folder=first",
]  # fmt: skip


@pytest.fixture
def recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *WORDS]) == 0
    return read_summary(tmp_path / "first")


def read_summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    return summary


def test_rollout_is_shown_and_written(
    recorded: dict[str, Any], capsys: Capture
) -> None:
    shown = capsys.readouterr().out
    assert "rollout: stage alpha begins, 10% of the bridges" in shown
    assert "rollout: passed, 10% of the bridges follow the new policy" in shown
    assert (
        "rollout: passed in stage alpha, 10% of the bridges under the new "
        "policy (tunnel.linewidth_hz 432.0 to 1728.0)\n"
    ) in shown
    assert recorded["rollout"]["verdict"] == "passed"
    assert [stage["name"] for stage in recorded["rollout"]["stages"]] == [
        "baseline",
        "alpha",
    ]


def test_replay_repeats_a_rollout(recorded: dict[str, Any], capsys: Capture) -> None:
    assert main(["replay", "first", "-q", "record.folder=again"]) == 0
    assert "state_digest is equal" in capsys.readouterr().out
    assert read_summary(Path("again"))["rollout"] == recorded["rollout"]


@pytest.mark.parametrize(
    ("word", "linewidth_hz"),
    [("rollout.policy=development", 108.0), ("rollout.target=alpha", 1728.0)],
)
def test_replay_may_ask_for_another_policy(
    recorded: dict[str, Any], word: str, linewidth_hz: float
) -> None:
    words = ["replay", "first", "-q", word, "record.folder=again"]
    assert main(words) == 0
    changes = read_summary(Path("again"))["rollout"]["changes"]
    assert changes["tunnel.linewidth_hz"] == [432.0, linewidth_hz]


def test_replay_may_leave_the_rollout_out(recorded: dict[str, Any]) -> None:
    assert main(["replay", "first", "-q", "rollout=none", "record.folder=again"]) == 0
    again = read_summary(Path("again"))
    assert again["rollout"] is None
    assert again["state_digest"] != recorded["state_digest"]


def test_interrupted_rollout_is_replayed_as_far_as_it_came(
    recorded: dict[str, Any],
) -> None:
    summary = {**recorded, "status": "interrupted", "simulated_seconds": 0.05}
    Path("first/summary.json").write_text(json.dumps(summary), encoding="utf-8")
    words = ["replay", "first", "-q", "record.folder=again", "rollout.windows=2"]
    assert main(words) == 0
    again = read_summary(Path("again"))
    assert again["steps"] == 200
    assert again["rollout"]["verdict"] == "unfinished"


def test_closing_line_names_the_gate_that_failed() -> None:
    rollout = {
        "verdict": "rolled back",
        "share": 0.0,
        "reason": "gate cost failed in stage alpha",
        "changes": {
            "tunnel.rungs": [14, 8],
            "controller.objective": ["floor", "headroom"],
        },
        "stages": [{"name": "baseline"}, {"name": "alpha"}],
    }
    assert describe_rollout(rollout) == (
        "rolled back in stage alpha, 0% of the bridges under the new policy "
        "(tunnel.rungs 14 to 8, controller.objective floor to headroom): "
        "gate cost failed in stage alpha"
    )

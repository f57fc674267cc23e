"""The race is fair: equal results first, times second, nobody silently left out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import contestants as ways
from benchmarks import peers
from benchmarks.contestants import Contestant, Problem, Stepper, build_problem, repeat
from benchmarks.gpu_contestants import list_gpu_contestants

SIDE = 8
TESTED = ("numpy", "numba", "scipy")
"""Packages of the test environment."""


def list_installed() -> list[Contestant]:
    everybody = peers.list_contestants(2, has_gpu=False)
    return [one for one in everybody if one.package in TESTED and one.role != "floor"]


def build_wrong(problem: Problem) -> Stepper:
    """Forget the coupling."""
    omega = problem.to_omega(np.float64)
    return Stepper(
        problem.to_theta(np.float64), repeat(lambda theta: theta + ways.DT_S * omega)
    )


ROLL = Contestant("np.roll", partial(ways.build_roll, np.float64))


@pytest.mark.parametrize("contestant", list_installed(), ids=lambda one: one.name)
def test_installed_contestants_agree_with_the_reference(contestant: Contestant) -> None:
    entry = peers.enter_contestant(contestant, SIDE, peers.Truth())
    assert entry.status == "timed", entry.note
    is_exact = "float64" in contestant.name
    assert entry.error_rad < (1e-12 if is_exact else peers.TOLERANCE_RAD)


@pytest.mark.parametrize("contestant", ways.list_floors(2), ids=lambda one: one.name)
def test_floors_move_every_node(contestant: Contestant) -> None:
    problem = build_problem(SIDE)
    stepper = contestant.build(problem)
    stepper.advance(1)
    expected = problem.phases.ravel()
    if contestant.package == "numba":
        expected = expected + problem.detunings_hz.ravel().view(np.uint32)
    np.testing.assert_array_equal(stepper.read_phases(), expected.astype(np.float64))


def test_who_disagrees_is_listed_and_not_timed() -> None:
    wrong = Contestant("wrong", build_wrong)
    result = peers.compare([ROLL, wrong], SIDE, repeats=2, steps=1)
    right_row, wrong_row = result["rows"]
    assert right_row["ns_per_node_step"] > 0.0
    assert wrong_row["status"] == "wrong"
    assert wrong_row["ns_per_node_step"] is None
    assert "wrong by" in peers.format_table(result)


def test_results_that_are_no_numbers_are_wrong() -> None:
    phases = np.array([np.nan, 0.0])
    assert peers.largest_error_rad(phases, np.zeros(2)) == float("inf")


def test_missing_package_is_listed_with_its_pip_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("jax", "torch", "kuramoto", "jitcode"):
        monkeypatch.setitem(sys.modules, module, None)
    others = [
        one
        for one in [*ways.list_cpu_peers(1), *list_gpu_contestants(1)]
        if one.package.startswith(("jax", "torch", "kuramoto", "jitcode"))
    ]
    result = peers.compare([ROLL, *others], SIDE, repeats=1, steps=1)
    missing = result["rows"][1:]
    assert len(missing) == 10
    assert {row["status"] for row in missing} == {"not installed"}
    table = peers.format_table(result)
    for line in ("jax", "jax[cuda12]", "torch", "kuramoto", "jitcode"):
        assert f"not installed: pip install {line}" in table


class FakeCupy(ModuleType):
    """NumPy under the names that the GPU contestants use of CuPy."""

    cuda = SimpleNamespace(Device=lambda: SimpleNamespace(synchronize=lambda: None))
    asnumpy = staticmethod(np.asarray)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def fuse() -> Callable[[Any], Any]:
        return lambda function: function


@pytest.mark.parametrize(
    "contestant",
    [one for one in list_gpu_contestants(1) if one.name.startswith(("CuPy", "cupy."))],
    ids=lambda one: one.name,
)
def test_cupy_contestants_agree_with_the_reference_on_numpy(
    contestant: Contestant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy("cupy"))
    entry = peers.enter_contestant(contestant, SIDE, peers.Truth())
    assert entry.status == "timed", entry.note
    assert entry.stepper is not None
    assert entry.stepper.state.dtype.name in contestant.name


def test_broken_peer_is_listed_with_its_error() -> None:
    def build(_: Problem) -> Stepper:
        raise SystemExit("no compiler")

    entry = peers.enter_contestant(Contestant("broken", build), SIDE, peers.Truth())
    assert (entry.status, entry.note) == ("failed", "SystemExit: no compiler")


def test_who_cannot_do_the_size_runs_smaller_and_is_flagged() -> None:
    small = Contestant("small", ROLL.build, largest_side=4)
    result = peers.compare([ROLL, small], SIDE, repeats=1, steps=1)
    row = result["rows"][1]
    assert (row["side"], row["is_full_size"], row["note"]) == (4, False, "at 4 x 4")
    assert peers.find_fastest(result["rows"], "peer", "cpu")["name"] == "np.roll"


def build_row(name: str, role: str, threads: int, ns: float) -> dict[str, Any]:
    return {
        "name": name, "role": role, "device": "cpu", "threads": threads,
        "status": "timed", "is_full_size": True, "ns_per_node_step": ns,
    }  # fmt: skip


def test_verdict_takes_the_best_peer_and_the_copy_of_equal_threads() -> None:
    verdict = peers.judge(
        [
            build_row("one", "engine", 1, 1.0),
            build_row("two", "engine", 2, 0.5),
            build_row("slow", "peer", 1, 60.0),
            build_row("fast", "peer", 1, 4.0),
            build_row("copy of one", "floor", 1, 0.2),
            build_row("copy of two", "floor", 2, 0.1),
        ],
        "cpu",
    )
    assert verdict is not None
    assert (verdict["best_peer"], verdict["times_faster_than_best_peer"]) == ("fast", 8)
    assert (verdict["copy"], verdict["speed_against_copy"]) == ("copy of two", 0.2)
    assert "8.00 times as fast as the best peer" in peers.format_verdict(verdict)


def test_copies_are_scaled_to_twelve_bytes() -> None:
    copy = Contestant("copy", ways.build_numpy_copy, "floor", moved_bytes=8)
    entry = peers.Entry(copy, side=10, turns_s=[1e-7])
    assert entry.ns_per_node_step == pytest.approx(1.5)


def test_order_changes_from_round_to_round() -> None:
    turns: list[str] = []
    entries = [
        peers.Entry(Contestant(name, build_wrong), SIDE, stepper=Stepper(
            name, lambda state, _: turns.append(state) or state))
        for name in "abcd"
    ]  # fmt: skip
    peers.measure_in_turn(entries, repeats=4, steps=3)
    rounds = [tuple(turns[start : start + 4]) for start in range(0, 16, 4)]
    assert all(sorted(names) == list("abcd") for names in rounds)
    assert len(set(rounds)) > 1


def test_command_writes_figures_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [*ways.list_engines(1), ROLL, *ways.list_floors(1)]
    monkeypatch.setattr(peers, "list_contestants", lambda cores, has_gpu: few)
    path = tmp_path / "peers.json"
    words = ["--side", "8", "--repeats", "2", "--steps", "2", "--save", str(path)]
    assert peers.main(words) == 0
    result = json.loads(path.read_text(encoding="utf-8"))
    assert {"machine", "side", "repeats", "steps_per_turn", "versions", "rows",
            "verdicts", "gpu", "dt_s", "coupling_rad_s"} <= set(result)  # fmt: skip
    row = result["rows"][0]
    assert {"name", "role", "threads", "side", "status", "ns_per_node_step",
            "quartiles_ns", "largest_error_rad", "start_s"} <= set(row)  # fmt: skip
    for theme in ("light", "dark"):
        picture = ElementTree.parse(path.with_name(f"peers-{theme}.svg"))
        assert picture.getroot().tag.endswith("svg")
    assert "Scribble cpu" in capsys.readouterr().out


def test_without_matplotlib_only_the_picture_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(peers, "list_contestants", lambda cores, has_gpu: [ROLL])
    path = tmp_path / "peers.json"
    assert peers.main(["--side", "8", "--repeats", "1", "--save", str(path)]) == 0
    assert "pip install matplotlib" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["peers.json"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--side", "2"], "--side is 2; it must lie in [3, 16384]."),
        (["--repeats", "0"], "--repeats is 0; it must lie in [1, 100000]."),
        (["--save", "peers.txt"], "--save is peers.txt; it must end in .json."),
        (["--save", "absent/peers.json"], "make its folder first."),
        (["--side", "large"], "argument --side: invalid int value: 'large'"),
        (["--sides", "8"], "unrecognized arguments: --sides 8"),
    ],
)
def test_wrong_words_are_answered_by_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = peers.main(words)
    except SystemExit as end:
        code = end.code
    assert code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("scribble: error: ")
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""

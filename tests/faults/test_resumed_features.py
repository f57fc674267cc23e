"""A resumed run is the run that was not interrupted, for every feature of a run."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.backends import _BUILDERS
from engine.backends.cuda import CudaBackend
from engine.config import BackendConfig, RunConfig
from engine.recording.checkpoint import list_checkpoints
from engine.system import ScribbleSystem
from tests.faults.harness import Ledger
from tests.host_cuda.emulated_cupy import EmulatedCupy
from tests.resumed_runs import (
    FEATURES,
    PERIODS,
    assert_is_on,
    assert_same_run,
    build_config,
    record,
    stop_at,
    write_inputs,
)

DRAWS = 2
"""Runs of the full form that are cut off, for each feature and back end."""
LONGEST = 10**6
"""Periods of a leg that nobody cuts off."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


def run_whole(config: RunConfig, name: str, folder: Path) -> Path:
    """Run a feature undisturbed, and make sure that it was on."""
    with ScribbleSystem(record(config, folder)) as system:
        assert system.run().status == "done"
    assert_is_on(name, folder)
    return folder


def draw_cuts(dice: random.Random, leg_count: int) -> list[int]:
    """Draw the periods of each leg; the first ends within the run."""
    longest = 2 * PERIODS // (leg_count + 1)
    return [dice.randint(1, min(longest, PERIODS - 1)) for _ in range(leg_count)]


def run_in_legs(
    config: RunConfig,
    folder: Path,
    cuts: list[int],
    backends: tuple[BackendConfig, ...] = (),
) -> int:
    """Cut a run off again and again; return how often.

    Args:
        config: The run.
        folder: Its folder.
        cuts: Control periods of each leg.
        backends: What to compute the later legs on, in turn; as before if empty.
    """
    with ScribbleSystem(record(config, folder)) as system:
        assert stop_at(system, cuts[0]) == "interrupted"
    for count, periods in enumerate([*cuts[1:], LONGEST], start=1):
        backend = backends[count % len(backends)] if backends else None
        with ScribbleSystem.resume(folder, backend=backend) as system:
            if stop_at(system, periods) == "done":
                return count
    raise AssertionError("the last leg does not end")


@pytest.mark.parametrize("name", FEATURES)
def test_cut_and_resumed_is_uncut(
    name: str, inputs: Path, tmp_path: Path, ledger: Ledger
) -> None:
    config = build_config(name, inputs)
    whole = run_whole(config, name, tmp_path / "whole")
    cuts = draw_cuts(random.Random(name), 2)
    ledger.cuts += run_in_legs(config, tmp_path / "cut", cuts)
    assert_same_run(tmp_path / "cut", whole)
    ledger.resumed_alike += 1


@pytest.fixture
def emulated(
    monkeypatch: pytest.MonkeyPatch,
    kernels: tuple[Path, dict[str, object]],
) -> BackendConfig:
    """The CUDA back end on a host emulation."""
    monkeypatch.setitem(sys.modules, "cupy", EmulatedCupy(*kernels))
    monkeypatch.setitem(_BUILDERS, "emulated", lambda config: CudaBackend())
    return BackendConfig("emulated")


@pytest.fixture(scope="module")
def kernels(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, object]]:
    return tmp_path_factory.mktemp("kernels"), {}


@pytest.mark.faults
@pytest.mark.parametrize("name", FEATURES)
def test_legs_on_other_back_ends_are_uncut(
    name: str, inputs: Path, tmp_path: Path, ledger: Ledger, emulated: BackendConfig
) -> None:
    """Legs on one thread, on two, and on CUDA as the host emulates it."""
    config = build_config(name, inputs, backend={"threads": 2})
    whole = run_whole(config, name, tmp_path / "whole")
    dice = random.Random(f"{name}, elsewhere")
    others = BackendConfig("cpu", threads=1), emulated, config.backend
    for draw in range(DRAWS):
        folder = tmp_path / str(draw)
        cuts = draw_cuts(dice, 3)
        ledger.cuts += run_in_legs(config, folder, cuts, others)
        assert_same_run(folder, whole, ignoring=("device", "backend"))
        ledger.resumed_alike += 1


@pytest.mark.faults
@pytest.mark.parametrize("name", FEATURES)
def test_reference_goes_on_in_radians(
    name: str, inputs: Path, tmp_path: Path, ledger: Ledger
) -> None:
    config = build_config(name, inputs, backend={"name": "reference"})
    whole = run_whole(config, name, tmp_path / "whole")
    dice = random.Random(f"{name}, in radians")
    for draw in range(DRAWS):
        folder = tmp_path / str(draw)
        ledger.cuts += run_in_legs(config, folder, draw_cuts(dice, 3))
        assert_same_run(folder, whole)
        ledger.resumed_alike += 1


@pytest.mark.faults
@pytest.mark.parametrize("name", FEATURES)
def test_damaged_newest_checkpoint_costs_steps_alone(
    name: str, inputs: Path, tmp_path: Path, ledger: Ledger
) -> None:
    """Cut, resumed, cut, the newest checkpoint damaged, resumed from the one before."""
    config = build_config(name, inputs)
    whole = run_whole(config, name, tmp_path / "whole")
    cut, dice = tmp_path / "cut", random.Random(f"{name}, damaged")
    often = replace(config.record, checkpoint_every_s=7e-3, checkpoints_kept=3)
    config = replace(config, record=often)
    cuts = draw_cuts(dice, 2)
    with ScribbleSystem(record(config, cut)) as system:
        assert stop_at(system, cuts[0]) == "interrupted"
    with ScribbleSystem.resume(cut) as system:
        status = stop_at(system, cuts[1])
    while status != "done":
        damage(list_checkpoints(cut)[0], dice)
        ledger.cuts += 1
        with ScribbleSystem.resume(cut) as system:
            status = stop_at(system, LONGEST if dice.random() < 0.5 else 3)
    assert_same_run(cut, whole)
    ledger.resumed_alike += 1


def damage(path: Path, dice: random.Random) -> None:
    """Cut a file short, or turn a bit of it; one of the start is left alone."""
    if int(path.stem) == 0:
        return
    content = bytearray(path.read_bytes())
    if dice.random() < 0.5:
        content = content[: dice.randrange(len(content))]
    else:
        # Padding between two arrays is of no account, so that the index is hit.
        content[len(content) - 60 - dice.randrange(64)] ^= 1 << dice.randrange(8)
    path.write_bytes(content)

"""A resumed run is the run that was not interrupted, for every feature of a run."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import BackendConfig, RunConfig
from engine.recording.checkpoint import list_checkpoints
from engine.system import ScribbleSystem
from tests.faults.harness import Ledger
from tests.resumed_runs import (
    FEATURES,
    PERIODS,
    assert_same_run,
    build_config,
    record,
    stop_at,
    write_inputs,
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


def run_whole(config: RunConfig, folder: Path) -> None:
    with ScribbleSystem(record(config, folder)) as system:
        assert system.run().status == "done"


def run_in_legs(
    config: RunConfig, folder: Path, cuts: list[int], backend: BackendConfig | None
) -> int:
    """Cut a run off after some periods each; return how often it was.

    Args:
        config: The run.
        folder: Its folder.
        cuts: Periods of each leg.
        backend: What to compute the later legs on instead.
    """
    with ScribbleSystem(record(config, folder)) as system:
        assert stop_at(system, cuts[0]) == "interrupted"
    for count, periods in enumerate([*cuts[1:], 10**6], start=1):
        with ScribbleSystem.resume(folder, backend=backend) as system:
            if stop_at(system, periods) == "done":
                return count
    raise AssertionError("the run has no end")


def compare(
    config: RunConfig,
    folder: Path,
    dice: random.Random,
    ledger: Ledger,
    *,
    leg_count: int = 2,
    backend: BackendConfig | None = None,
) -> None:
    """Cut a run off at drawn periods and compare it with the undisturbed one."""
    whole, cut = folder / "whole", folder / "cut"
    if not whole.exists():
        run_whole(config, whole)
    longest = 2 * PERIODS // (leg_count + 1)
    cuts = [dice.randint(1, longest) for _ in range(leg_count)]
    cuts[0] = min(cuts[0], PERIODS - 1)
    ledger.cuts += run_in_legs(config, cut, cuts, backend)
    assert_same_run(cut, whole, ignoring=("device",) if backend else ())
    ledger.resumed_alike += 1


@pytest.mark.parametrize("name", FEATURES)
def test_cut_and_resumed_is_uncut(
    name: str, inputs: Path, tmp_path: Path, ledger: Ledger
) -> None:
    dice = random.Random(name)
    compare(build_config(name, inputs), tmp_path, dice, ledger)

"""The scaling study finds a power that is known, and says what it has not measured."""

from __future__ import annotations

import json

import pytest

from engine.config import BackendConfig, BridgesConfig
from experiments.report.jobs import read_sweep
from experiments.study.base import Study
from experiments.study.scaling import build_curves, examine
from tests.study_folders import SweepFolder

SIDES = (64, 256, 512, 1024)


def add(
    sweep: SweepFolder, side: int, *, power: float = 1.0, ends: int = 4, **more: object
) -> None:
    """Write a job that takes (nodes / 2^20)^power seconds, beside 1 s below 2^16."""
    nodes = side * side
    wall_s = (nodes / 2**20) ** power + (1.0 if nodes < 2**16 else 0.0)
    threads = more.pop("threads", None)
    memory = more.pop("memory", 3 * 2**20 + 100 * nodes)
    summary = {
        "nodes": nodes, "bridges": nodes * ends // 2, "steps": 4000,
        "stage_seconds": {"lattice": 1e-9 * nodes * 4000, "tunnel": 0.5},
        "tunnels": {"attempted": 50_000_000, "successful": 1, "failed": 0},
        "node_steps_per_second": nodes * 4000 / wall_s, "events_saved_factor": 39.2,
    }  # fmt: skip
    words = [
        f"lattice.shape=[{side},{side}]",
        f"bridges.per_node={ends}",
        *([f"backend.threads={threads}"] if threads else []),
        f"seed={more.get('seed', 0)}",
    ]
    config = {
        "backend": BackendConfig("cpu", threads=threads),
        "bridges": BridgesConfig(per_node=ends),
    }
    sweep.add(words, config=config, memory=memory, wall_s=wall_s, summary=summary)


def study(sweep: SweepFolder) -> Study:
    found = examine(read_sweep(sweep.folder))
    json.dumps(found.to_dict(), allow_nan=False)
    return found


@pytest.mark.parametrize(("power", "answer"), [(1.0, "yes"), (1.5, "no")])
def test_known_power_is_found_where_kernels_outweigh_the_loop(
    sweep: SweepFolder, power: float, answer: str
) -> None:
    for side in SIDES:
        for seed in range(2):
            add(sweep, side, power=power, seed=seed)
    (curve,) = build_curves(read_sweep(sweep.folder))
    assert curve.fit is not None
    assert curve.fit.exponent == pytest.approx(power)
    assert (curve.fit.low, curve.fit.high, curve.fit.points) == (2**16, 2**20, 6)
    (verdict,) = study(sweep).verdicts
    assert verdict.answer == answer


def test_exponent_of_a_wide_interval_leaves_the_verdict_open(
    sweep: SweepFolder,
) -> None:
    # The middle size costs ten times as much as a power would have it.
    for side, power in zip(SIDES[1:], (0.5, 0.7, 0.5), strict=True):
        add(sweep, side, power=power)
    (verdict,) = study(sweep).verdicts
    assert verdict.answer == "open"


def test_costs_memory_and_savings_are_told(sweep: SweepFolder) -> None:
    for side in SIDES:
        add(sweep, side)
    text = " ".join(study(sweep).findings)
    # 0.5 s for 5e7 events, 1 ns per node step, 100 bytes per node beside 3 MiB.
    assert "a node step takes 1 ns and 1 ns, an event takes 10 ns and 10 ns" in text
    assert "holds 3 MiB and 100 bytes per node" in text
    assert "39.2 times fewer throughout" in text


def test_without_processes_memory_is_not_measured(sweep: SweepFolder) -> None:
    for side in SIDES:
        add(sweep, side, memory=None)
    found = study(sweep)
    assert any("Memory was not measured" in text for text in found.findings)
    assert [plot.title for plot in found.plots] == [
        "Wall time over nodes",
        "Costs over nodes",
    ]


def test_other_keys_split_the_curves_and_are_curves_themselves(
    sweep: SweepFolder,
) -> None:
    for side in SIDES[1:]:
        for ends in (1, 4):
            add(sweep, side, ends=ends)
    curves = build_curves(read_sweep(sweep.folder))
    found = {(curve.variable.name, curve.name): len(curve.sizes) for curve in curves}
    assert found == {
        ("nodes", "bridges.per_node=1"): 3,
        ("nodes", "bridges.per_node=4"): 3,
        **{
            ("bridge ends per node", f"lattice.shape=[{side},{side}]"): 2
            for side in SIDES[1:]
        },
    }
    texts = study(sweep).findings
    assert texts[0].startswith("With bridges.per_node=1: Wall time goes as nodes")
    assert len(texts) <= 6


def test_threads_are_a_size(sweep: SweepFolder) -> None:
    for threads in (1, 2, 4):
        add(sweep, 256, threads=threads)
    (curve,) = build_curves(read_sweep(sweep.folder))
    assert curve.variable.name == "threads"
    assert [size.value for size in curve.sizes] == [1, 2, 4]
    assert study(sweep).verdicts[0].answer == "open"


def test_few_jobs(sweep: SweepFolder) -> None:
    sweep.add(["lattice.shape=[64,64]"], status="failed")
    assert study(sweep).findings == ("Nothing can be told: of 1 job none is done.",)
    add(sweep, 64)
    found = study(sweep)
    assert found.findings[0].startswith("Only 1 of 2 jobs")
    assert "one size only" in found.findings[1]
    assert len(found.tables[0].rows) == 1
    add(sweep, 256)
    assert any("no exponent is fitted" in text for text in study(sweep).findings)

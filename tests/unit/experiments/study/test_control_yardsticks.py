"""Yardsticks: a plant is a run, and what is found on it is the cheapest there is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.config import (
    BackendConfig,
    BridgesConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    RecordConfig,
    RunConfig,
    TunnelConfig,
)
from engine.system import ScribbleSystem
from experiments.study.control_plant import Plant
from experiments.study.control_yardsticks import (
    LADDER_RATIO,
    Oracle,
    find_best_fixed,
    find_lowest,
)

BASE = RunConfig(
    lattice=LatticeConfig(shape=(16, 16)),
    dynamics=DynamicsConfig(duration_s=0.5),
    backend=BackendConfig("cpu", threads=1),
    controller=ControllerConfig("fixed", fixed_frequency_hz=60.0),
    load=LoadConfig("synthetic", level=0.0),
    record=RecordConfig(forecast=False),
)


@pytest.mark.parametrize("kind", ["euler", "inertial", "noisy", "failing"])
def test_plant_gives_the_bits_of_a_run(kind: str) -> None:
    config = {
        "euler": BASE,
        "inertial": replace(
            BASE,
            dynamics=DynamicsConfig(
                duration_s=0.5, integrator="leapfrog", inertia_s=0.01
            ),
        ),
        "noisy": replace(
            BASE, dynamics=DynamicsConfig(duration_s=0.5, diffusion_rad2_s=2.0)
        ),
        "failing": replace(BASE, tunnel=TunnelConfig(max_probability=0.5)),
    }[kind]
    with ScribbleSystem(config) as system:
        summary = system.run()
    plant = Plant(config)
    plant.advance(60.0)
    mark = plant.mark()
    for _ in range(3):
        plant.advance(699.0)
    plant.go_back(mark)
    while not plant.is_over:
        coherence = plant.advance(60.0)
    assert plant.digest() == summary.state_digest
    assert plant.attempts == summary.tunnels["attempted"]
    assert coherence == summary.coherence["final"]


@pytest.mark.parametrize("threshold", [1.5, 40.0, 99.9])
def test_bisection_finds_the_threshold(threshold: float) -> None:
    found = find_lowest(lambda hz: hz >= threshold, 1.0, 100.0, 12)
    assert found is not None
    # Twelve halvings of a factor of 100 leave 100^(2^-12), a thousandth.
    assert threshold <= found <= threshold * 1.0012


def test_bisection_knows_when_nothing_holds() -> None:
    assert find_lowest(lambda hz: False, 1.0, 100.0, 3) is None


@pytest.fixture(scope="module")
def study_run() -> RunConfig:
    lattice, dynamics = LatticeConfig(shape=(32, 32)), DynamicsConfig(duration_s=2.0)
    return replace(BASE, lattice=lattice, dynamics=dynamics)


def test_yardsticks_hold_the_floor_and_no_frequency_below_does(
    study_run: RunConfig,
) -> None:
    floor = study_run.tunnel.min_coherence
    best = find_best_fixed(study_run)
    assert best is not None
    assert best.least >= floor
    with ScribbleSystem(
        replace(
            study_run,
            controller=ControllerConfig("fixed", fixed_frequency_hz=best.late_hz),
        )
    ) as system:
        # The rotating windows give a frequency exactly, but for the last slot.
        hz = system.run().average_frequency_hz
    assert hz == pytest.approx(best.whole_hz, rel=1e-3)
    lower = Plant(study_run)
    values = []
    while not lower.is_over:
        # r falls by some 0.1 per unit of ln f (the frontier's slope near the floor), so
        # by 0.014 here: ten times what the best frequency leaves above the floor.
        values.append(lower.advance(best.late_hz / 1.15))
    assert min(values[len(values) // 2 :]) < floor
    oracle = Oracle(study_run, best.late_hz)
    schedule = oracle.run()
    assert schedule.violation_fraction == 0.0
    assert schedule.least >= floor
    assert schedule.late_hz < best.late_hz
    used = {hz for _, hz in schedule.schedule}
    assert used <= set(oracle.ladder)
    ratios = [b / a for a, b in zip(oracle.ladder, oracle.ladder[1:], strict=False)]
    assert ratios[:-1] == pytest.approx([LADDER_RATIO] * (len(ratios) - 1))


def test_floor_out_of_reach_has_no_yardstick(study_run: RunConfig) -> None:
    weak = replace(study_run, bridges=BridgesConfig(strength_rad_s=1.0))
    assert find_best_fixed(weak) is None

"""The offline search of frequencies, on networks of a moment."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.config import BridgesConfig, MeshConfig
from engine.errors import ConfigError
from engine.system import ScribbleSystem
from experiments.study.mesh_optimum import (
    SearchPlan,
    build_config,
    find_optimum,
    find_stored,
    learn,
    measure,
    search,
    share_out,
)

PLAN = SearchPlan(
    side=8, learn_s=0.8, settle_s=0.4, measure_s=0.4, generations=2, pairs=2
)
BRIDGES = 8 * 8 * 2


def test_bridges_take_the_rungs_nearest_to_what_is_asked() -> None:
    octaves = np.zeros(BRIDGES)
    octaves[:32] = 2.0
    with ScribbleSystem(build_config(PLAN, MeshConfig(), 20.0)) as system:
        share_out(system, octaves, PLAN.shares)
        system.advance(0.02)
        found = find_stored(system).frequencies_hz
    assert found.mean() == pytest.approx(20.0)
    # Three rungs of the golden ratio are 2.08 octaves, the nearest to 2.
    ratio = found[:32].mean() / found[32:].mean()
    assert math.log2(ratio) == pytest.approx(3.0 * math.log2(1.618034), abs=1e-3)


def test_computed_bridges_are_refused() -> None:
    config = build_config(PLAN, MeshConfig(), 20.0)
    config = replace(config, bridges=BridgesConfig(kind="procedural"))
    with (
        ScribbleSystem(config) as system,
        pytest.raises(ConfigError, match="use bridges=matchings"),
    ):
        share_out(system, np.zeros(BRIDGES), PLAN.shares)


def test_uneven_frequencies_that_help_are_told_from_those_that_do_not() -> None:
    learned = learn(PLAN, "plastic")
    assert learned.shape == (BRIDGES,)
    assert np.exp2(learned).mean() == pytest.approx(1.0)
    # What a rule has found serves better than the same frequencies on other bridges.
    assert measure(PLAN, learned) > measure(PLAN, np.roll(learned, BRIDGES // 3))


def test_search_never_ends_below_its_start_and_repeats_itself() -> None:
    start = np.zeros(BRIDGES)
    best, r = search(PLAN, start)
    assert r >= measure(PLAN, start)
    assert measure(PLAN, best) == r
    again, same = search(PLAN, start)
    assert (again == best).all()
    assert same == r


def test_optimum_compares_everybody_with_the_best_found() -> None:
    found = find_optimum(replace(PLAN, generations=1, pairs=1))
    assert list(found.coherence) == ["uniform", "plastic", "learned", "search"]
    assert found.evaluations == 1 + 3
    rules = max(found.coherence["plastic"], found.coherence["learned"])
    assert found.coherence["search"] >= rules > found.coherence["uniform"]
    if not math.isnan(found.events["search"]):
        assert found.events["search"] == 1.0
        assert found.events["uniform"] > found.events["plastic"] >= 1.0

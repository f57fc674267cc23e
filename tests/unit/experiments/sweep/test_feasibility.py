"""Which values of a sweep are refused before it starts, and which left to their job."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from engine.config import LatticeConfig, LoadConfig, MeshConfig, RunConfig
from engine.errors import ConfigError
from experiments.sweep.feasibility import refuse_impossible
from experiments.sweep.plan import Axis

LEVELS = [RunConfig(load=LoadConfig(level=level)) for level in (0.2, 1.5, -1.0)]
SEEDS = [replace(LEVELS[0], seed=seed) for seed in (0, 1)]


def make_axes(*sizes: int) -> list[Axis]:
    return [(f"axis{index}", [[]] * size) for index, size in enumerate(sizes)]


def test_values_that_suit_every_job_pass() -> None:
    refuse_impossible(make_axes(1, 2), [LEVELS[0], SEEDS[1]])
    refuse_impossible([], [LEVELS[0]])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_value_that_no_job_can_take_is_refused_wherever_it_stands(
    order: tuple[int, ...],
) -> None:
    levels = [LEVELS[index] for index in order]
    other = replace(levels[0], seed=1)
    wrong = next(config.load.level for config in levels if config is not LEVELS[0])
    with pytest.raises(ConfigError, match=f"load.level is {wrong:g}"):
        refuse_impossible(make_axes(3, 2), [*levels, other])


def test_value_that_some_other_value_makes_possible_is_left_to_its_job() -> None:
    chain = LatticeConfig("chain", shape=(64,))
    wide = LatticeConfig("chain", shape=(8, 8))
    square = LatticeConfig("square", shape=(64,))
    trials = [RunConfig(lattice=lattice) for lattice in (chain, square, wide)]
    # Of four jobs two are possible, and no trial but the first is one of them.
    refuse_impossible(make_axes(2, 2), trials)
    with pytest.raises(ConfigError, match=r"lattice\.shape"):
        refuse_impossible(make_axes(1, 2), [trials[0], trials[2]])


def test_value_that_names_a_missing_file_is_refused() -> None:
    policies = [None, "missing.json"]
    trials = [RunConfig(mesh=MeshConfig("learned", policy_path=p)) for p in policies]
    with pytest.raises(ConfigError, match=r"mesh\.policy_path is 'missing\.json'"):
        refuse_impossible(make_axes(2), trials)
    # It suits the jobs that do not read it.
    plastic = replace(trials[0], mesh=MeshConfig("plastic"))
    refuse_impossible(make_axes(2, 2), [trials[0], trials[1], plastic])

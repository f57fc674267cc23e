"""How far the rules of the mesh are from the best that a search finds.

python -m experiments.study.mesh_optimum FILE

On a small network every bridge gets a frequency of its own, found offline by evolution
strategies (evolution.py) on the engine itself: no rule, no features, only r at a fixed
budget. What the search finds is a lower bound of what can be had; the gap to it is
given in events, by how r answers to the budget.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.bridge import BridgeNetwork
from engine.config import LatticeConfig, MeshConfig, RunConfig
from engine.errors import ConfigError
from engine.system import ScribbleSystem
from experiments.evolution import F64, Descent
from experiments.offline_search import PERIOD, build_budget_run, measure_coherence

RULES: Final = ("plastic", "learned")
"""Rules that are compared; the better one is where the search starts."""
NUDGE: Final = 1.1
"""Budget over the plan's, with which the answer of r is measured [-]."""


@dataclass(frozen=True)
class SearchPlan:
    """What is searched, and how long."""

    side: int = 16
    """Nodes along an axis."""
    budget_hz: float = 14.0
    """Mean tunnel frequency [Hz]."""
    learn_s: float = 16.0
    """Simulated time in which a rule finds its frequencies [s]."""
    settle_s: float = 3.0
    """Simulated time before r is measured [s]."""
    measure_s: float = 3.0
    """Simulated time over which it is averaged [s]."""
    generations: int = 40
    """Steps of the search."""
    pairs: int = 8
    """Antithetic pairs of a step."""
    deviation: float = 0.4
    """Standard deviation of what is tried [octave]."""
    rate: float = 0.15
    """Length of a step, in Adam's sense [octave]."""
    shares: int = 14
    """Rungs that bridges may take."""
    seed: int = 0
    """Key of network and search."""


@dataclass(frozen=True)
class Optimum:
    """What rules and search reach at the same budget."""

    coherence: Mapping[str, float]
    """r of uniform, each rule, and the search [-]."""
    events: Mapping[str, float]
    """Events over those with which the best found would reach the same r [-], by the
    answer of that one; above 1 for whoever is worse."""
    evaluations: int
    """Networks that were run for the search."""


def build_config(plan: SearchPlan, mesh: MeshConfig, budget_hz: float) -> RunConfig:
    """Build a run at a fixed budget.

    Args:
        plan: Size and seed.
        mesh: Its rule.
        budget_hz: Mean tunnel frequency [Hz].
    """
    lattice = LatticeConfig(shape=(plan.side, plan.side), initial_phases="aligned")
    return build_budget_run(lattice, mesh, budget_hz, plan.seed)


def find_stored(system: ScribbleSystem) -> BridgeNetwork:
    """Return the bridges of a system, which may have frequencies of their own.

    Raises:
        ConfigError: Their ends are computed.
    """
    if not isinstance(system.network, BridgeNetwork):
        raise ConfigError(
            "Bridges of bridges=procedural all act alike; use bridges=matchings."
        )
    return system.network


def share_out(system: ScribbleSystem, octaves: F64, share_count: int) -> None:
    """Put every bridge on the rung nearest to its relative frequency.

    Args:
        system: Has stored bridges and no mesh.
        octaves: log2 of relative frequencies, shape (bridges,).
        share_count: Rungs.

    Raises:
        ConfigError: The ends of its bridges are computed.
    """
    network = find_stored(system)
    rung = math.log2(network.tunnel.phi_coefficient)
    above = octaves - math.log2(float(np.exp2(octaves).mean()))
    ranks = np.rint(above / rung) + (share_count // 2 - 1)
    network.share_budget(
        np.clip(ranks, 0, share_count - 1).astype(np.int8), share_count
    )


def measure(plan: SearchPlan, octaves: F64, budget_hz: float | None = None) -> float:
    """Return the mean r that relative frequencies reach [-].

    Args:
        plan: Size, seed and times.
        octaves: log2 of relative frequencies, shape (bridges,).
        budget_hz: Their mean [Hz]; the plan's if absent.
    """
    config = build_config(plan, MeshConfig(), budget_hz or plan.budget_hz)
    with ScribbleSystem(config) as system:
        share_out(system, octaves, plan.shares)
        return measure_coherence(system, plan.settle_s, plan.measure_s)


def learn(plan: SearchPlan, rule: str) -> F64:
    """Return the relative frequencies that a rule comes to [octave], (bridges,).

    Args:
        plan: Size, seed and time.
        rule: Of the mesh.
    """
    mesh = MeshConfig(rule, period=PERIOD, shares=plan.shares)
    with ScribbleSystem(build_config(plan, mesh, plan.budget_hz)) as system:
        system.advance(plan.learn_s)
        frequencies = find_stored(system).frequencies_hz
    octaves: F64 = np.log2(frequencies / plan.budget_hz)
    return octaves


def search(plan: SearchPlan, start: F64) -> tuple[F64, float]:
    """Improve relative frequencies step by step.

    Args:
        plan: How.
        start: log2 of relative frequencies to begin with, shape (bridges,).

    Returns:
        The best that was seen, and its r [-].
    """
    descent = Descent(
        start,
        deviation=plan.deviation,
        rate=plan.rate,
        pairs=plan.pairs,
        seed=plan.seed,
    )
    best, best_r = start, measure(plan, start)
    for _ in range(plan.generations):
        place = descent.step(lambda octaves, _: math.log1p(-measure(plan, octaves)))
        r = measure(plan, place)
        if r > best_r:
            best, best_r = place, r
    return best, best_r


def find_optimum(plan: SearchPlan) -> Optimum:
    """Compare uniform frequencies, the rules, and what a search finds.

    Args:
        plan: Network and search.
    """
    found = {rule: learn(plan, rule) for rule in RULES}
    r = {"uniform": measure(plan, np.zeros_like(found[RULES[0]]))}
    r |= {rule: measure(plan, octaves) for rule, octaves in found.items()}
    start = found[max(RULES, key=lambda rule: r[rule])]
    best, r["search"] = search(plan, start)
    more = measure(plan, best, NUDGE * plan.budget_hz)
    answer = (more - r["search"]) / math.log(NUDGE)
    events = {
        name: math.exp((r["search"] - value) / answer) if answer > 0.0 else math.nan
        for name, value in r.items()
    }
    evaluations = 1 + plan.generations * (2 * plan.pairs + 1)
    return Optimum(r, events, evaluations)


def main() -> None:
    """Search and write what was found as JSON."""
    parser = argparse.ArgumentParser(description="Search the best frequencies.")
    parser.add_argument("file", type=Path, help="JSON file to write")
    for name in ("side", "generations", "pairs", "seed"):
        default = getattr(SearchPlan(), name)
        parser.add_argument(f"--{name}", type=int, default=default)
    words = vars(parser.parse_args())
    file = words.pop("file")
    plan = replace(SearchPlan(), **words)
    values = {"plan": asdict(plan), **asdict(find_optimum(plan))}
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

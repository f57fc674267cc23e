"""Train the learned policy of the mesh: python -m experiments.mesh_training FILE.

Evolution strategies (evolution.py) on the engine itself. A policy is as good as the
coherence that small networks reach with it at a fixed budget, log(1 - r) averaged over
`LESSONS`, each drawn anew in every generation: no data but seeds. It starts from the
plastic rule, which the network can express, so that training can only say how far that
rule is from the best of its kind. What comes out is the mean of the last generations or
the start, whichever does better on networks that were not trained on.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.config import LatticeConfig, MeshConfig
from engine.system import ScribbleSystem
from engine.wanda.policy import FEATURES, Policy
from experiments.evolution import F64, Descent
from experiments.offline_search import PERIOD, build_budget_run, measure_coherence

UNITS: Final = 4
"""Hidden units."""
EXAM_SEED: Final = 1_000_000
"""Seeds from here on are for the comparison at the end."""


@dataclass(frozen=True)
class Lesson:
    """A kind of network and its budget."""

    distribution: str
    """Law of the natural frequencies."""
    spread_hz: float
    """Its spread [Hz]."""
    budget_hz: float
    """Mean tunnel frequency [Hz]."""


LESSONS: Final = (
    Lesson("gaussian", 34.4, 13.0),
    Lesson("gaussian", 34.4, 24.0),
    Lesson("lorentzian", 10.0, 20.0),
    Lesson("uniform", 59.6, 13.0),
)


@dataclass(frozen=True)
class Plan:
    """How training goes."""

    side: int = 48
    """Nodes along an axis."""
    duration_s: float = 5.0
    """Simulated time of a lesson [s]; its last quarter is marked."""
    generations: int = 10
    """Updates of the weights."""
    pairs: int = 4
    """Antithetic pairs of a generation."""
    deviation: float = 0.08
    """Standard deviation of the weights that are tried [-]."""
    rate: float = 0.3
    """Length of an update [-], in Adam's sense."""
    exams: int = 2
    """Unseen seeds of every lesson that decide at the end."""
    seed: int = 0
    """Key of it all."""


def build_start(config: MeshConfig) -> Policy:
    """Express the plastic rule as a policy with idle hidden units.

    Args:
        config: Gives exponent and gain.
    """
    direct = np.zeros(FEATURES)
    direct[:2] = config.gain * config.find_exponent("plastic"), -config.gain
    hidden = np.zeros((UNITS, FEATURES))
    hidden[np.arange(UNITS), np.arange(UNITS)] = 0.5
    return Policy(direct, hidden, np.zeros(UNITS), np.zeros(UNITS))


def run_lesson(mesh: MeshConfig, lesson: Lesson, seed: int, plan: Plan) -> float:
    """Run a network at its budget; return log(1 - r) over the last quarter [-].

    Args:
        mesh: The rule.
        lesson: The network.
        seed: Key of its random numbers.
        plan: Its size and duration.
    """
    lattice = LatticeConfig(
        shape=(plan.side, plan.side),
        distribution=lesson.distribution,
        spread_hz=lesson.spread_hz,
        cutoff_hz=300.0 if lesson.distribution == "lorentzian" else None,
    )
    spans_s = 0.75 * plan.duration_s, 0.25 * plan.duration_s
    config = build_budget_run(lattice, mesh, lesson.budget_hz, seed)
    with ScribbleSystem(config) as system:
        return math.log1p(-measure_coherence(system, *spans_s))


class School:
    """Marks policies on the same networks."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """Write policies into a folder, as the engine reads them."""
        self._plan = plan
        self._file = folder / "pupil.json"
        self.mesh = MeshConfig("learned", period=PERIOD, policy_path=str(self._file))

    def mark(self, policy: Policy, seed: int) -> float:
        """Return the mean of log(1 - r) over all lessons [-]; less is better."""
        self._file.write_text(encode_policy(policy, {}), encoding="utf-8")
        return self.mark_mesh(self.mesh, seed)

    def mark_mesh(self, mesh: MeshConfig, seed: int) -> float:
        """Return the same of any rule."""
        plan = self._plan
        marks = [run_lesson(mesh, lesson, seed, plan) for lesson in LESSONS]
        return float(np.mean(marks))


def encode_policy(policy: Policy, origin: Mapping[str, object]) -> str:
    """Return the text of a policy's file.

    Args:
        policy: Its weights.
        origin: How they were made.
    """
    weights = {name: np.round(part, 5).tolist() for name, part in vars(policy).items()}
    return json.dumps({"origin": origin, "weights": weights}, indent=1) + "\n"


def train(plan: Plan, start: Policy, school: School) -> Policy:
    """Improve a policy generation by generation.

    Args:
        plan: How.
        start: Weights to begin with.
        school: Marks what is tried.

    Returns:
        The mean of the weights over the last third of the generations.
    """
    descent = Descent(
        start.to_vector(),
        deviation=plan.deviation,
        rate=plan.rate * plan.deviation,
        pairs=plan.pairs,
        seed=plan.seed,
    )

    def mark(vector: F64, pair: int) -> float:
        return school.mark(Policy.from_vector(vector), 1 + pair)

    late: list[F64] = []
    for generation in range(plan.generations):
        vector = descent.step(mark)
        if 3 * generation >= 2 * plan.generations:
            late.append(vector)
    return Policy.from_vector(np.mean(late, axis=0))


def main() -> None:
    """Train and write the better of start and outcome, with the marks of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="policy.json to write")
    for name in ("generations", "pairs", "side", "seed"):
        default = getattr(Plan(), name)
        parser.add_argument(f"--{name}", type=int, default=default)
    words = vars(parser.parse_args())
    file = words.pop("file")
    plan = replace(Plan(), **words)
    plastic = MeshConfig("plastic", period=PERIOD)
    start = build_start(plastic)
    with tempfile.TemporaryDirectory() as folder:
        school = School(plan, Path(folder))
        trained = train(plan, start, school)
        seeds = range(EXAM_SEED, EXAM_SEED + plan.exams)
        exams = {
            "uniform": [school.mark_mesh(MeshConfig(), seed) for seed in seeds],
            "plastic": [school.mark_mesh(plastic, seed) for seed in seeds],
            "start": [school.mark(start, seed) for seed in seeds],
            "trained": [school.mark(trained, seed) for seed in seeds],
        }
    means = {name: float(np.mean(marks)) for name, marks in exams.items()}
    is_better = means["trained"] < means["start"]
    origin = {
        "script": "experiments/mesh_training.py",
        "plan": vars(plan),
        "start": {"exponent": plastic.exponent, "gain": plastic.gain},
        "lessons": [vars(lesson) for lesson in LESSONS],
        "exam_log_one_minus_r": means,
        "kept": "trained" if is_better else "start",
    }
    kept = trained if is_better else start
    file.write_text(encode_policy(kept, origin), encoding="utf-8")


if __name__ == "__main__":
    main()

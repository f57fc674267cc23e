"""Time a run that adapts against runs at fixed tunnel frequencies.

    python -m benchmarks.adaptive [--side 256] [--duration 24] [--save FILE]

Four ways to the same coherence: every bridge in every step, the best fixed frequency
that holds the floor (found by bisection, printed), the `floor` controller, which has to
find it while it runs, and the same with the mesh, which has to find who needs it most.
A way counts if its coherence, after settling, is never below the floor; all take turns
in one process, and medians are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.backends.cpu import count_allowed_cores, name_processor
from engine.config import (
    BackendConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    MeshConfig,
    RecordConfig,
    RunConfig,
)
from engine.errors import ConfigError
from engine.system import ScribbleSystem
from experiments import outcome
from experiments.study.control_yardsticks import LATE_SHARE, find_lowest

BISECTIONS = 7
"""Halvings of the search for the best fixed frequency; each takes a run."""
SEARCH_HZ = (20.0, 200.0)
"""Where the best fixed frequency is sought [Hz]."""
GOAL_AGAINST_EVERY_STEP = 8.0
GOAL_AGAINST_BEST_FIXED = 1.1


@dataclass(frozen=True)
class Trial:
    """One run."""

    wall_s: float
    """Wall time of the steps [s]."""
    coherence: float
    """Mean order parameter after settling [-]."""
    least_coherence: float
    """Least order parameter after settling [-]."""
    frequency_hz: float
    """Attempts per bridge and simulated second, over the whole run [Hz]."""
    attempts: int
    """Tunnel events [-]."""
    digest: str
    """Digest of the final state."""


def build_base(side: int, duration_s: float) -> RunConfig:
    """Describe the run that all ways share: the default network on all cores."""
    return RunConfig(
        lattice=LatticeConfig(shape=(side, side)),
        dynamics=DynamicsConfig(duration_s=duration_s),
        backend=BackendConfig(name="cpu", threads=count_allowed_cores()),
        load=LoadConfig(kind="synthetic", profile="constant", level=0.0),
        record=RecordConfig(forecast=False),
    )


def fix_frequency(base: RunConfig, frequency_hz: float) -> RunConfig:
    """Hold one tunnel frequency, with a ladder that reaches it."""
    top_hz = max(frequency_hz, base.tunnel.maximum_frequency_hz)
    tunnel = replace(base.tunnel, base_frequency=top_hz * base.tunnel.phi_coefficient)
    controller = replace(
        base.controller, objective="fixed", fixed_frequency_hz=frequency_hz
    )
    return replace(base, tunnel=tunnel, controller=controller)


def run_once(config: RunConfig) -> Trial:
    """Run a configuration and measure it.

    Args:
        config: What to run.

    Returns:
        Wall time, coherence after settling and cost.
    """
    values: list[float] = []
    with ScribbleSystem(config) as system:
        start_s = time.perf_counter()
        summary = system.run(lambda progress: values.append(progress.coherence))
        wall_s = time.perf_counter() - start_s
    settled = values[int(len(values) * LATE_SHARE) :]
    return Trial(
        wall_s=wall_s,
        coherence=statistics.fmean(settled),
        least_coherence=min(settled),
        frequency_hz=summary.average_frequency_hz or 0.0,
        attempts=int(summary.tunnels["attempted"]),
        digest=str(summary.state_digest),
    )


def find_best_fixed(base: RunConfig) -> float:
    """Find the lowest fixed frequency that holds the floor after settling [Hz].

    Raises:
        SystemExit: Even the upper end of the search does not hold it.
    """
    floor = base.tunnel.min_coherence

    def holds(frequency_hz: float) -> bool:
        trial = run_once(fix_frequency(base, frequency_hz))
        least = trial.least_coherence
        print(f"  {frequency_hz:6.1f} Hz: least r {least:.4f}", flush=True)
        return least >= floor

    best_hz = find_lowest(holds, *SEARCH_HZ, BISECTIONS)
    if best_hz is None:
        high = SEARCH_HZ[1]
        raise SystemExit(f"{high:g} Hz does not hold r >= {floor:g}: nothing to time")
    return best_hz


def compare(base: RunConfig, rounds: int) -> dict[str, object]:
    """Find the best fixed frequency, then time all ways in turn.

    Args:
        base: The run they share.
        rounds: Times that each is run.

    Returns:
        Machine, figures per way and the ratios.
    """
    print("Looking for the lowest fixed frequency that holds the floor:")
    best_hz = find_best_fixed(base)
    every_hz = 1.0 / base.dynamics.dt_s
    adaptive = replace(base, controller=replace(base.controller, objective="floor"))
    ways = {
        "every bridge, every step": fix_frequency(base, every_hz),
        f"best fixed, {best_hz:.1f} Hz": fix_frequency(base, best_hz),
        "adaptive, all alike": replace(adaptive, mesh=MeshConfig("none")),
        "adaptive, with the mesh": replace(adaptive, mesh=MeshConfig("plastic")),
    }
    trials: dict[str, list[Trial]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, config in ways.items():
            trials[name].append(run_once(config))
    rows = [summarise(name, runs) for name, runs in trials.items()]
    wall_s = [float(str(row["wall_s"])) for row in rows]
    return {
        "machine": f"{name_processor()}, {count_allowed_cores()} cores",
        "nodes": base.lattice.shape[0] ** 2,
        "simulated_seconds": base.dynamics.duration_s,
        "floor": base.tunnel.min_coherence,
        "best_fixed_hz": best_hz,
        "rows": rows,
        "times_faster_than_every_step": wall_s[0] / wall_s[2],
        "wall_time_against_best_fixed": wall_s[2] / wall_s[1],
        "times_faster_with_mesh": wall_s[0] / wall_s[3],
        "wall_time_with_mesh_against_best_fixed": wall_s[3] / wall_s[1],
    }


def summarise(name: str, trials: Sequence[Trial]) -> dict[str, object]:
    """Take the median wall time; results must repeat to the bit.

    Raises:
        SystemExit: Two runs of one configuration differ.
    """
    if len({trial.digest for trial in trials}) != 1:
        raise SystemExit(f"{name}: two runs end in different states; not timed")
    row = asdict(trials[0]) | {"name": name}
    row["wall_s"] = statistics.median(trial.wall_s for trial in trials)
    return row


def print_table(result: dict[str, object]) -> None:
    """Print one line per way and what it means."""
    rows = result["rows"]
    assert isinstance(rows, list)
    print(f"\n{result['machine']}; {result['nodes']} nodes, ", end="")
    print(f"{result['simulated_seconds']} simulated seconds")
    print(f"{'':28} {'wall [s]':>9} {'mean r':>8} {'least r':>8} {'Hz':>8} events")
    for row in rows:
        print(
            f"{row['name']:28} {row['wall_s']:9.2f} {row['coherence']:8.4f}"
            f" {row['least_coherence']:8.4f} {row['frequency_hz']:8.1f}"
            f" {row['attempts']:.3g}"
        )
    faster, ratio = (
        result["times_faster_than_every_step"],
        result["wall_time_against_best_fixed"],
    )
    print(
        f"Adapting is {faster:.1f} times faster than every bridge in every step "
        f"(goal {GOAL_AGAINST_EVERY_STEP:g}) and takes {ratio:.3f} of the best fixed "
        f"frequency's time (goal {GOAL_AGAINST_BEST_FIXED:g} at most)."
    )
    print(
        f"With the mesh it is {result['times_faster_with_mesh']:.1f} times faster than "
        "every bridge in every step, and takes "
        f"{result['wall_time_with_mesh_against_best_fixed']:.3f} of that time."
    )


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = outcome.SentenceParser(
        prog="python -m benchmarks.adaptive", description=str(__doc__).split("\n\n")[0]
    )
    parser.add_argument("--side", type=int, default=256, help="nodes along one axis")
    parser.add_argument(
        "--duration", type=float, default=24.0, help="simulated seconds of each run"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way")
    parser.add_argument("--save", type=Path, help="JSON file to write")
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare, print and write.

    Raises:
        EngineError: An option is out of range.
    """
    if options.rounds < 1:
        raise ConfigError(f"--rounds is {options.rounds}; it must be at least 1.")
    if options.save and not options.save.parent.is_dir():
        raise ConfigError(f"--save is {options.save}; make its folder first.")
    base = build_base(options.side, options.duration)
    base.validate()
    result = compare(base, options.rounds)
    print_table(result)
    if options.save:
        options.save.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return outcome.DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; return the exit code."""
    options = build_parser().parse_args(arguments)
    return outcome.close_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())

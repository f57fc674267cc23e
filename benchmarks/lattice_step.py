"""Time one lattice step side by side: `np.roll` against the `cpu` back end.

    python benchmarks/lattice_step.py [--side 1024] [--repeats 15] [--save FILE]

All contestants advance the same 1024 x 1024 lattice in one process, in turn, and are
checked against each other before anything is timed. Printed are medians and ratios,
with the machine named; times on shared machines vary, ratios vary less.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.backends.cpu import CpuBackend, count_allowed_cores, name_processor
from engine.backends.protocol import TABLEAUS
from engine.geometry import build_geometry

COUPLING_RAD_S, DT_S, SPREAD_HZ = 216.0, 0.00025, 34.4
TWO_PI = 2.0 * np.pi
STEPS_PER_TURN = 8
Step = Callable[[], np.ndarray]


def build_roll_step(phases: np.ndarray, detunings_hz: np.ndarray, kind: type) -> Step:
    """Write the step as a NumPy user would: four rolled copies, four sines."""
    theta = (phases * (TWO_PI / 2**32)).astype(kind)
    omega = (TWO_PI * detunings_hz).astype(kind)
    coupling, dt = kind(COUPLING_RAD_S), kind(DT_S)

    def step() -> np.ndarray:
        pull = np.sin(np.roll(theta, 1, 0) - theta)
        pull += np.sin(np.roll(theta, -1, 0) - theta)
        pull += np.sin(np.roll(theta, 1, 1) - theta)
        pull += np.sin(np.roll(theta, -1, 1) - theta)
        return theta + dt * (omega + coupling * pull)

    return step


def build_cpu_step(phases: np.ndarray, detunings_hz: np.ndarray, threads: int) -> Step:
    """Run the `cpu` back end from the same phases every time."""
    backend = CpuBackend(threads)
    geometry = build_geometry("square", phases.shape)
    lattice = backend.build_lattice(
        geometry, phases.ravel(), detunings_hz.ravel(), COUPLING_RAD_S
    )

    def step() -> np.ndarray:
        backend.step_lattice(lattice, TABLEAUS["euler"], DT_S)
        return lattice.phases

    return step


def largest_error_rad(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest phase difference [rad]."""
    gap = found.astype(np.float64).ravel() - expected.ravel()
    return float(np.abs((gap + np.pi) % TWO_PI - np.pi).max())


def time_in_turn(steps: dict[str, Step], repeats: int) -> dict[str, list[float]]:
    """Time every contestant in each round, so that all meet the same weather.

    A turn is several steps in a row, as in a run: each starts from the caches that the
    step before it left, not from those of another contestant.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(STEPS_PER_TURN):
                step()
            seconds[name].append((time.perf_counter() - start) / STEPS_PER_TURN)
    return seconds


def compare(side: int, repeats: int) -> dict[str, object]:
    """Check and time every way to step a side x side lattice."""
    rng = np.random.default_rng(0)
    phases = rng.integers(0, 2**32, (side, side), dtype=np.uint32)
    detunings_hz = (SPREAD_HZ * rng.standard_normal((side, side))).astype(np.float32)
    cores = count_allowed_cores()
    steps: dict[str, Step] = {
        "np.roll float64": build_roll_step(phases, detunings_hz, np.float64),
        "np.roll float32": build_roll_step(phases, detunings_hz, np.float32),
    }
    for threads in sorted({1, cores}):
        name = f"cpu, {threads} thread{'s' if threads > 1 else ''}"
        steps[name] = build_cpu_step(phases, detunings_hz, threads)
    truth = steps["np.roll float64"]()
    errors = {}
    for name, step in steps.items():
        found = step()
        radians = found * (TWO_PI / 2**32) if found.dtype == np.uint32 else found
        errors[name] = largest_error_rad(radians, truth)
        # float32 keeps 24 bits of an angle below 2 pi; a step adds a few roundings.
        if errors[name] > 4e-6:
            raise SystemExit(f"{name} is wrong by {errors[name]:.2g} rad: not timed")
    buffer, copy = np.empty_like(phases), phases.copy()
    steps["copy of the same bytes"] = lambda: np.copyto(buffer, copy) or buffer
    medians = {
        name: statistics.median(values) / side**2 * 1e9
        for name, values in time_in_turn(steps, repeats).items()
    }
    # A copy moves 8 bytes per node; a step reads phase and detuning, writes phase: 12.
    medians["copy of the same bytes"] *= 12 / 8
    baseline = medians["np.roll float64"]
    return {
        "machine": f"{name_processor()}, {cores} cores, {platform.system()}",
        "side": side,
        "repeats": repeats,
        "rows": [
            {
                "name": name,
                "ns_per_node": round(value, 3),
                "times_faster": round(baseline / value, 2),
                "largest_error_rad": errors.get(name),
            }
            for name, value in medians.items()
        ],
    }


def main() -> None:
    """Print the table; optionally write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1024, help="nodes along one axis")
    parser.add_argument("--repeats", type=int, default=15, help="rounds to time")
    parser.add_argument("--save", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    result = compare(options.side, options.repeats)
    print(f"{result['machine']}; {options.side} x {options.side} nodes, Euler")
    print(f"{'':24} {'ns per node':>12} {'faster than roll':>17} {'error [rad]':>12}")
    for row in result["rows"]:
        error = row["largest_error_rad"]
        shown = "" if error is None else f"{error:.1e}"
        print(
            f"{row['name']:24} {row['ns_per_node']:12.3f} {row['times_faster']:16.1f}x"
            f" {shown:>12}"
        )
    if options.save:
        options.save.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Time the `cuda` back end on the GPU at hand; every figure beside a check of its bits.

    python -m benchmarks.gpu [--quick] [--save FILE]

Measured are the bandwidth of a device copy, lattice steps by size and lattice, as many
per launch as the plan prefers and one per launch, whole periods of small and large
networks, and tunnel events. Before a case is timed, a small number of its steps is
compared with the `cpu` back end to the bit; a case that does not fit is listed with the
reason. Results go to benchmarks/results/gpu_DEVICE.json. Needs CuPy and a device, not
Hydra; exit code 2 says that there is none.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.backends.cpu import CpuBackend
from engine.backends.cuda import CudaBackend
from engine.backends.philox import draw_words
from engine.backends.protocol import TABLEAUS, BridgeArrays, Period
from engine.bridge import BridgeNetwork, build_matchings
from engine.config import BridgesConfig
from engine.errors import ConfigError, NumericalError
from engine.geometry import build_geometry
from engine.tunnel import TunnelSchedule
from experiments import outcome
from experiments.wording import format_bytes

COUPLING_RAD_S, DT_S, SPREAD_HZ = 216.0, 0.00025, 34.4
BYTES_PER_NODE_STEP = 12
"""A plain Euler step: phase and detuning read, phase written [byte]."""
ROUNDS = 7
WARM_PERIODS = 3
CHECKED_NODES = 2**22
"""Larger lattices are checked in a smaller box of the same kind [-]."""
EMPTY = np.zeros((0, 2), np.int64)

LATTICES = [
    ("square", (256, 256)),
    ("square", (1024, 1024)),
    ("square", (4096, 4096)),
    ("square", (16384, 16384)),
    ("square", (32768, 32768)),
    ("chain", (2**24,)),
    ("triangular", (4096, 4096)),
    ("cubic", (256, 256, 256)),
    ("bcc", (256, 256, 256)),
    ("fcc", (256, 256, 256)),
]


def draw_lattice(kind: str, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Draw geometry, phases, detunings [Hz] and coupling [rad/s]."""
    geometry = build_geometry(kind, shape)
    block = min(geometry.node_count, 2**20)
    phases = draw_words(1, 1, block)[0]
    detunings = np.random.default_rng(2).normal(0.0, SPREAD_HZ, block)
    repeats = -(-geometry.node_count // block)
    phases = np.tile(phases, repeats)[: geometry.node_count]
    detunings = np.tile(detunings.astype(np.float32), repeats)[: geometry.node_count]
    return geometry, phases, detunings, COUPLING_RAD_S


def plan_free_period(steps: int, tableau: str = "euler") -> Period:
    """Plan a period in which no bridge is due."""
    bounds = np.zeros(steps + 1, np.int64)
    return Period(steps, DT_S, TABLEAUS[tableau], 1, EMPTY, bounds, (0, 4))


def build_nothing(backend: Any) -> BridgeArrays:
    """Build a network without bridges."""
    integers = [np.zeros(0, np.uint32) for _ in range(7)]
    reals = [np.zeros(0, np.float32) for _ in range(3)]
    columns = (*integers[:3], reals[0], *integers[3:], *reals[1:])
    return backend.build_bridges(BridgeArrays(*columns))


def shrink(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Halve the first axes until a check is cheap."""
    cells = list(shape)
    while math.prod(cells) > CHECKED_NODES:
        cells[cells.index(max(cells))] //= 2
    return tuple(cells)


def check_steps(cuda: Any, kind: str, shape: tuple[int, ...], tableau: str) -> bool:
    """Compare some steps with `cpu` to the bit."""
    case = draw_lattice(kind, shrink(shape))
    found = []
    for backend in (cuda, CpuBackend()):
        lattice = backend.build_lattice(*case)
        for count in (1, 8, 3):
            backend.step_lattice(lattice, TABLEAUS[tableau], DT_S, count)
        found.append(backend.read_phases(lattice))
    if not np.array_equal(*found):
        raise NumericalError(f"{kind} {shape} {tableau}: wrong bits, not timed.")
    return True


def time_periods(cuda: Any, lattice: Any, bridges: Any, plans: list[Period]) -> float:
    """Return the median wall time of a period [s]; its first uses are not timed."""
    seconds = []
    for plan in plans:
        start = time.perf_counter()
        cuda.advance(lattice, bridges, plan)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[WARM_PERIODS:]))


def time_single_steps(cuda: Any, lattice: Any, tableau: str, steps: int) -> float:
    """Return the median wall time of so many steps, a launch each [s]."""
    seconds = []
    for _ in range(WARM_PERIODS + ROUNDS):
        start = time.perf_counter()
        for _ in range(steps):
            cuda.step_lattice(lattice, TABLEAUS[tableau], DT_S, 1)
        cuda._device.stream.synchronize()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[WARM_PERIODS:]))


def measure_copy(cuda: Any) -> float:
    """Return bytes read and written per second by a copy on the device [byte/s]."""
    cupy = sys.modules["cupy"]
    with cuda._device.working():
        source = cupy.zeros(2**28, dtype=np.uint32)
        target = cupy.empty_like(source)
        rates = []
        for _ in range(ROUNDS):
            first, last = cupy.cuda.Event(), cupy.cuda.Event()
            first.record()
            for _ in range(10):
                cupy.copyto(target, source)
            last.record()
            last.synchronize()
            elapsed_s = 1e-3 * cupy.cuda.get_elapsed_time(first, last)
            rates.append(20 * source.nbytes / elapsed_s)
    return float(np.median(rates))


def measure_lattice(
    cuda: Any, kind: str, shape: tuple[int, ...], tableau: str, copy_rate: float
) -> dict[str, Any]:
    """Check and time the lattice alone, in whole periods and one step per launch."""
    nodes = math.prod(shape)
    case = {"lattice": kind, "shape": shape, "integrator": tableau}
    need, free = 1.3 * BYTES_PER_NODE_STEP * nodes, cuda.memory_free_bytes()
    if free < need:
        reason = f"needs {format_bytes(need)}, and {format_bytes(free)} are free"
        return case | {"left_out": reason}
    is_checked = check_steps(cuda, kind, shape, tableau)
    lattice = cuda.build_lattice(*draw_lattice(kind, shape))
    steps = int(min(4096, max(8, 2**34 // nodes)))
    plans = [plan_free_period(steps, tableau)] * (WARM_PERIODS + ROUNDS)
    period_s = time_periods(cuda, lattice, build_nothing(cuda), plans)
    rate = nodes * steps / period_s
    few = min(steps, 64)
    single_s = time_single_steps(cuda, lattice, tableau, few)
    return case | {
        "is_equal_to_cpu": is_checked,
        "steps": steps,
        "steps_per_second": steps / period_s,
        "node_steps_per_second": rate,
        "share_of_copy_bandwidth": rate * BYTES_PER_NODE_STEP / copy_rate,
        "node_steps_per_second_one_per_launch": nodes * few / single_s,
    }


def measure_network(
    cuda: Any, shape: tuple[int, ...], frequency_hz: float, slice_steps: int
) -> dict[str, Any]:
    """Check and time whole periods with two bridges per node."""
    case, steps = draw_lattice("square", shape), 256
    edges = build_matchings(case[0].node_count, BridgesConfig(per_node=4), 1)
    found, attempts = [], 0
    timed = math.nan
    for backend in (cuda, CpuBackend()):
        network = BridgeNetwork(edges, np.ones(len(edges)), backend)
        network.follow(frequency_hz)
        schedule = TunnelSchedule(network, DT_S, 3, slice_steps=slice_steps)
        lattice = backend.build_lattice(*case)
        for _ in range(3):
            period, _ = schedule.plan_period(32, TABLEAUS["euler"])
            backend.advance(lattice, network.arrays, period)
        found.append(backend.read_phases(lattice))
        if backend is cuda:
            plans = []
            for _ in range(WARM_PERIODS + ROUNDS):
                period, attempts = schedule.plan_period(steps, TABLEAUS["euler"])
                plans.append(period)
            timed = time_periods(cuda, lattice, network.arrays, plans)
    if not np.array_equal(*found):
        raise NumericalError(
            f"network {shape} at {frequency_hz} Hz: wrong bits, not timed."
        )
    return {
        "shape": shape,
        "bridges": len(edges),
        "frequency_hz": frequency_hz,
        "slice_steps": slice_steps,
        "is_equal_to_cpu": True,
        "steps_per_second": steps / timed,
        "events_per_second": attempts / timed,
    }


def describe_lattice(row: dict[str, Any]) -> str:
    """Write the outcome of a lattice case in a line."""
    name = f"{row['lattice']} {row['shape']} {row['integrator']}"
    if "left_out" in row:
        return f"{name}: left out, it {row['left_out']}"
    return (
        f"{name}: {row['node_steps_per_second']:.3g} node steps/s, "
        f"{row['node_steps_per_second_one_per_launch']:.3g} with one step per launch"
    )


def measure(is_quick: bool) -> dict[str, Any]:
    """Run all cases on the first device."""
    cuda = CudaBackend()
    cuda.warm_up()
    copy_rate = measure_copy(cuda)
    print(f"{cuda.device}: copy {copy_rate / 1e9:.0f} GB/s")
    cases = [(kind, shape, "euler") for kind, shape in LATTICES]
    cases += [("square", (4096, 4096), scheme) for scheme in ("rk2", "rk4")]
    cases += [("cubic", (256, 256, 256), "rk4"), ("square", (64, 64), "euler")]
    rows = []
    for kind, shape, tableau in cases[:3] if is_quick else cases:
        row = measure_lattice(cuda, kind, shape, tableau, copy_rate)
        rows.append(row)
        print(describe_lattice(row))
    networks = []
    for shape in (
        ((64, 64), (256, 256)) if is_quick else ((64, 64), (256, 256), (2048,) * 2)
    ):
        for frequency_hz, slice_steps in ((699.0, 1), (63.0, 4)):
            row = measure_network(cuda, shape, frequency_hz, slice_steps)
            networks.append(row)
            print(
                f"network {shape} at {frequency_hz:g} Hz: "
                f"{row['steps_per_second']:.3g} steps/s, "
                f"{row['events_per_second']:.3g} events/s"
            )
    return {
        "device": cuda.device,
        "host": f"{platform.system()} {platform.machine()}",
        "cupy": sys.modules["cupy"].__version__,
        "copy_bytes_per_second": copy_rate,
        "lattices": rows,
        "networks": networks,
    }


def run(options: argparse.Namespace) -> int:
    """Measure, print and write.

    Raises:
        EngineError: There is no device, or it gives wrong bits.
    """
    if options.save and not options.save.parent.is_dir():
        raise ConfigError(f"--save is {options.save}; make its folder first.")
    results = measure(options.quick)
    name = re.sub(r"\W+", "_", str(results["device"])).strip("_").lower()
    default = Path(__file__).parent / "results" / f"gpu_{name}.json"
    target = options.save or default
    target.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"written to {target}")
    return outcome.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements; return the exit code."""
    parser = outcome.SentenceParser(
        prog="python -m benchmarks.gpu", description=str(__doc__).split("\n\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="the first cases only")
    parser.add_argument("--save", type=Path, help="file for the results (JSON)")
    options = parser.parse_args(argv)
    return outcome.close_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())

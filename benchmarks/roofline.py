"""The roofline of this machine, and where the CPU kernels stand below it.

Both roofs are measured: traffic by a loop that reads two arrays and writes a third,
arithmetic by independent fused multiply-adds in vectors. Operations of the kernels are
counted by hand, a fused multiply-add as two.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import njit, prange

from engine.backends.cpu_pass import plan_pass
from engine.backends.formulas import fused
from engine.backends.layout import box_arguments
from engine.geometry import build_geometry

CHAIN = 8
"""Multiply-adds in a row on each value of `multiply_add`, 2 flops each [-]."""
LANES = 512
"""Independent values of a part; they stay in the first cache [-]."""
ROUNDS = 2000
"""Visits to each value in one call [-]."""
FACTOR, TERM = np.float32(0.999), np.float32(0.001)

LATTICE_FLOPS = {
    "sine and cosine": 21,
    "sums over four neighbours": 6,
    "rate": 6,
    "rounding to binary angles": 2,
}
"""float32 operations per node and Euler step, `formulas.py` and `cpu_lattice.py`."""
LATTICE_BYTES = {"phase": 4, "detuning": 4, "new phase": 4}
"""Traffic per node and pass, however many Euler steps it takes [byte]."""
EVENT_FLOPS = {
    "sine and cosine of half the difference": 21,
    "decay of the dose": 19,
    "quotient and arctangent": 29,
    "rounding to binary angles": 2,
    "dose": 2,
    "phase-locking value": 11,
}
"""float32 operations per tunnel event; Philox's 80 integer operations are not in it."""
EVENT_BYTES = {"bridge read": 40, "bridge written": 20, "phases both ways": 16}
"""Traffic per tunnel event [byte]."""


@njit(parallel=True)
def merge_arrays(first, second, out):
    """Write first + second: 12 bytes and one operation per value."""
    for i in prange(out.size):
        out[i] = first[i] + second[i]


@njit(parallel=True)
def multiply_add(values, rounds):
    """Apply `CHAIN` multiply-adds to each value, `rounds` times.

    Thread mapping: a row per part. Operations: 2 * CHAIN * rounds per value.
    """
    for part in prange(values.shape[0]):
        row = values[part]
        for _ in range(rounds):
            for k in range(LANES):
                x = row[k]
                for _ in range(CHAIN):
                    x = fused(x, FACTOR, TERM)
                row[k] = x


def measure_median_s(work: Callable[[], None], repeats: int) -> float:
    """Return the median time of some work, which is called once before [s]."""
    work()
    spans = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        work()
        spans.append(time.perf_counter() - start_s)
    return statistics.median(spans)


def measure_bandwidth(nodes: int, threads: int, repeats: int) -> float:
    """Measure traffic over three arrays of `nodes` values of 4 bytes.

    Returns:
        12 bytes per value over the median time [byte/s].
    """
    numba.set_num_threads(threads)
    first, second, out = (np.ones(nodes, np.float32) for _ in range(3))
    span_s = measure_median_s(lambda: merge_arrays(first, second, out), repeats)
    return 12.0 * nodes / span_s


def measure_arithmetic(threads: int, repeats: int, rounds: int = ROUNDS) -> float:
    """Measure fused float32 multiply-adds.

    Returns:
        Operations over the median time, a multiply-add counting two [1/s].
    """
    numba.set_num_threads(threads)
    values = np.ones((threads * 4, LANES), np.float32)
    span_s = measure_median_s(lambda: multiply_add(values, rounds), repeats)
    return 2.0 * CHAIN * rounds * values.size / span_s


def count_pass_steps(shape: tuple[int, ...], steps: int, threads: int) -> int:
    """Count the Euler steps that the `cpu` back end takes in one pass over memory.

    Args:
        shape: Cells of a square lattice along both axes.
        steps: Steps that are due at once, >= 1.
        threads: Threads that share the work.
    """
    box, _, offsets = box_arguments(build_geometry("square", shape))
    return plan_pass(box, 1, steps, threads, is_chain=len(offsets) == 2).steps


def place_kernel(
    name: str,
    flops: dict[str, int],
    traffic: dict[str, int],
    span_ns: float,
    *,
    pass_steps: int = 1,
) -> dict[str, Any]:
    """Place a kernel below the roofs.

    Args:
        name: What a reader sees.
        flops: Operations per element by part [-].
        traffic: Bytes per element by part [byte].
        span_ns: Measured time per element [ns].
        pass_steps: Elements among which one pass over memory shares its traffic [-].
    """
    operations, moved_bytes = sum(flops.values()), sum(traffic.values()) / pass_steps
    return {
        "name": name,
        "flops": operations,
        "bytes": moved_bytes,
        "ns": span_ns,
        "flops_per_byte": operations / moved_bytes,
        "flops_per_s": operations / (span_ns * 1e-9),
    }


def measure_roofs(nodes: int, far_nodes: int, threads: int, repeats: int) -> Any:
    """Measure the roofs.

    Args:
        nodes: Values of the copy that has the size of the kernels' lattice.
        far_nodes: Values of the copy that fits into no cache.
        threads: Threads of all measurements.
        repeats: Measurements, of which the median counts.
    """
    return {
        "threads": threads,
        "near_nodes": nodes,
        "near_bytes_per_s": measure_bandwidth(nodes, threads, repeats),
        "far_nodes": far_nodes,
        "far_bytes_per_s": measure_bandwidth(far_nodes, threads, repeats),
        "flops_per_s": measure_arithmetic(threads, repeats),
    }

"""Whether a sample can be true: what no machine can be is never acted upon.

A sensor that is lost may go on giving numbers: no number at all, less than nothing,
four times all that there is. Only what availability rests on is looked at. Pure
functions; imports metrics.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from engine.monitor.metrics import CoreState, GpuState, MemoryState, ResourceSample

SLACK: Final = 0.01
"""Share by which sums of rates may exceed their bound, for clocks tick apart [-]."""
Reading = tuple[str, float | None, float]
"""Name, value and the most that it can be; all are at least 0."""


def find_flaw(sample: ResourceSample, gpu_identifiers: Collection[str] = ()) -> str:
    """Find the first value of a sample that cannot be.

    Args:
        sample: Raw states.
        gpu_identifiers: UUIDs or PCI addresses of the GPUs the run uses.

    Returns:
        What is wrong, such as ``cores.idle_cores is nan``; empty where nothing is.
    """
    for name, value, most in _list_readings(sample, gpu_identifiers):
        if value is not None and not 0.0 <= value <= most * (1.0 + SLACK):
            return f"{name} is {value:g}"
    return ""


def _list_readings(
    sample: ResourceSample, gpu_identifiers: Collection[str]
) -> Iterator[Reading]:
    cores, memory = sample.cores, sample.memory
    yield "cores.allowed_cores", cores.allowed_cores, cores.logical_count
    yield "cores.utilisation", cores.utilisation, 1.0
    yield "cores.others_cores", cores.others_cores, cores.logical_count
    yield "cores.idle_cores", cores.idle_cores, cores.allowed_cores
    yield "memory.available_bytes", memory.available_bytes, memory.total_bytes
    yield "memory.available_share", memory.available_share, 1.0
    for gpu in sample.gpus:
        if any(gpu.is_named(identifier) for identifier in gpu_identifiers):
            yield from _list_gpu_readings(gpu)


def _list_gpu_readings(gpu: GpuState) -> Iterator[Reading]:
    total = gpu.memory_total_bytes
    most = math.inf if total is None else float(total)
    yield "gpu.utilisation", gpu.utilisation, 1.0
    # Summed over processes that NVML samples at different times.
    yield "gpu.own_utilisation", gpu.own_utilisation, math.inf
    yield "gpu.memory_free_bytes", gpu.memory_free_bytes, most
    yield "gpu.own_memory_bytes", gpu.own_memory_bytes, most


def discard_readings(sample: ResourceSample) -> ResourceSample:
    """Take everything from a sample that could be acted upon.

    Args:
        sample: A first sample that cannot be true, with none before it to hold.

    Returns:
        The same with cores and GPUs unknown and no memory left.
    """
    cores = CoreState(
        logical_count=sample.cores.logical_count,
        physical_count=sample.cores.physical_count,
        allowed_cores=float(sample.cores.logical_count),
        utilisation=None,
        others_cores=None,
        idle_cores=None,
    )
    memory = MemoryState(
        total_bytes=sample.memory.total_bytes,
        limit_bytes=sample.memory.limit_bytes,
        available_bytes=0,
        available_share=0.0,
    )
    return replace(sample, cores=cores, memory=memory, gpus=(), recorded=None)

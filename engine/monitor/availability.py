"""How much of the machine a run may count on, as one number in (0, 1].

    a = min over resources of
        cores:   min(1, idle cores / min(optimal core count, allowed cores))
        memory:  (available share - threshold) / (1 - threshold)
        GPU:     1 - others' utilisation, and its memory as above

Our own use is no hindrance to us: every figure here has it subtracted. A resource
that is unknown is left out. Pure functions; imports `engine.config` and metrics.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from engine.config import ResourcesConfig
from engine.monitor.metrics import CoreState, GpuState, ResourceSample

UNLIMITED: Final = "none"
"""Name of the limiting resource where nothing limits."""


class Availability(NamedTuple):
    """The verdict, and what it rests on."""

    value: float
    """Least availability, floored [-], in (0, 1]."""
    by_resource: dict[str, float]
    """Each known resource before the floor [-], in [0, 1]."""
    limiting_resource: str
    """Name of the least one; `UNLIMITED` where all are at 1."""


def core_availability(cores: CoreState, optimal_core_count: int) -> float | None:
    """Compare idle cores with what the run can use.

    Args:
        cores: State of the cores.
        optimal_core_count: Idle cores beyond which more do not help, >= 1.

    Returns:
        Availability [-], in [0, 1]; None while the idle cores are unknown.
    """
    if cores.idle_cores is None:
        return None
    return _clip(cores.idle_cores / min(optimal_core_count, cores.allowed_cores))


def memory_availability(available_share: float, threshold: float) -> float:
    """Measure the free share above the part that must stay free.

    Args:
        available_share: Free share of the limit, own use counted as free [-].
        threshold: Share that must stay free [-], in [0, 1).

    Returns:
        Availability [-], in [0, 1].
    """
    return _clip((available_share - threshold) / (1.0 - threshold))


def gpu_availability(gpu: GpuState, threshold: float) -> dict[str, float]:
    """Judge the compute time and the memory of one GPU.

    Args:
        gpu: State of the device.
        threshold: Share of its memory that must stay free [-], in [0, 1).

    Returns:
        Availability [-], in [0, 1], for each of the two that is known.
    """
    found: dict[str, float] = {}
    if gpu.others_utilisation is not None:
        found[f"gpu:{gpu.uuid}:utilisation"] = _clip(1.0 - gpu.others_utilisation)
    if gpu.available_memory_share is not None:
        share = memory_availability(gpu.available_memory_share, threshold)
        found[f"gpu:{gpu.uuid}:memory"] = share
    return found


def judge_availability(
    sample: ResourceSample,
    config: ResourcesConfig,
    gpu_identifiers: Collection[str] = (),
) -> Availability:
    """Find the scarcest resource of a sample.

    Args:
        sample: Raw states.
        config: Threshold, optimal core count and floor.
        gpu_identifiers: UUIDs or PCI addresses of the GPUs the run uses; the others
            do not matter to it.

    Returns:
        The least availability, floored, with its reasons.
    """
    known = dict(_known_resources(sample, config, gpu_identifiers))
    limiting = min(known, key=lambda name: known[name], default=UNLIMITED)
    least = known.get(limiting, 1.0)
    return Availability(
        value=max(config.minimum_availability, least),
        by_resource=known,
        limiting_resource=limiting if least < 1.0 else UNLIMITED,
    )


def _known_resources(
    sample: ResourceSample,
    config: ResourcesConfig,
    gpu_identifiers: Collection[str],
) -> Iterator[tuple[str, float]]:
    threshold = config.min_memory_threshold
    cores = core_availability(sample.cores, config.optimal_core_count)
    if cores is not None:
        yield "cores", cores
    yield "memory", memory_availability(sample.memory.available_share, threshold)
    for gpu in sample.gpus:
        if any(gpu.is_named(identifier) for identifier in gpu_identifiers):
            yield from gpu_availability(gpu, threshold).items()


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))

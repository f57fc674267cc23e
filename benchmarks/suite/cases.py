"""Which cases run on this machine and in this call, and why others are skipped."""

from __future__ import annotations

import os

FULL = "SCRIBBLE_BENCH_FULL"
"""Set to 1 to run the cases that take minutes or many gigabytes."""
QUICK_LOG2_NODES = 20
"""Largest size of a quick run [log2 nodes]."""
CPU_LOG2_NODES = 24
"""Largest size of the `cpu` back end, for a step takes 2^30 nodes a second there."""
LOG2_NODES = [12, 16, 20, 24, 30]
BACKENDS = ["cpu", "cuda"]


def require(backend: str, log2_nodes: int = 0) -> None:
    """Skip a case that this machine or a quick run cannot do.

    Args:
        backend: Name of the back end.
        log2_nodes: Size [log2 nodes].

    Raises:
        NotImplementedError: The case is skipped; the text says why.
    """
    if backend == "cuda":
        _require_cuda()
    elif log2_nodes > CPU_LOG2_NODES:
        raise NotImplementedError(
            f"2^{log2_nodes} nodes take minutes on a CPU; run them on a GPU."
        )
    if log2_nodes > QUICK_LOG2_NODES and os.environ.get(FULL) != "1":
        raise NotImplementedError(
            f"2^{log2_nodes} nodes are beyond a quick run; set {FULL}=1 for them."
        )


def _require_cuda() -> None:
    from engine.backends.probe import probe_cuda

    probe = probe_cuda()
    if not probe.is_usable:
        raise NotImplementedError(f"CUDA is not usable: {probe.reason} {probe.cure}")


def split_axes(log2_nodes: int, axes: int) -> tuple[int, ...]:
    """Split 2^log2_nodes nodes evenly, the first axes taking what is left over.

    Example:
        >>> split_axes(16, 3)
        (64, 32, 32)
    """
    even, rest = divmod(log2_nodes, axes)
    return tuple(2 ** (even + (axis < rest)) for axis in range(axes))

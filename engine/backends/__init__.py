"""Back ends: how to run the arithmetic, never what it means.

`reference` is the readable truth (NumPy, float64, radians), `cpu` runs Numba
kernels on binary angles, `cuda` the same bits on a GPU. Nothing heavy is imported
before a back end is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.backends.protocol import Backend
from engine.config import BackendConfig
from engine.errors import BackendUnavailableError, unknown_choice


@dataclass(frozen=True)
class BackendChoice:
    """A back end and why it was taken."""

    backend: Backend
    """Ready to build a lattice."""
    reason: str
    """One sentence for the user."""


def _build_reference(config: BackendConfig) -> Backend:
    from engine.backends.reference import ReferenceBackend

    return ReferenceBackend()


def _build_cpu(config: BackendConfig) -> Backend:
    from engine.backends.kernel_cache import prepare_cache
    from engine.backends.numba_settings import refuse_numba_settings

    refuse_numba_settings()
    prepare_cache()
    from engine.backends.cpu import CpuBackend

    return CpuBackend(config.threads)


def _build_cuda(config: BackendConfig) -> Backend:
    from engine.backends.cuda import CudaBackend

    return CudaBackend(config.device)


_BUILDERS: dict[str, Callable[[BackendConfig], Backend]] = {
    "reference": _build_reference,
    "cpu": _build_cpu,
    "cuda": _build_cuda,
}


def register_backend(name: str, build: Callable[[BackendConfig], Backend]) -> None:
    """Make a back end available under a name.

    Args:
        name: Value of `backend.name`.
        build: Called once with the configuration when the back end is chosen.
    """
    _BUILDERS[name] = build


def select_backend(config: BackendConfig, node_count: int) -> BackendChoice:
    """Choose and build a back end.

    Args:
        config: Which one is asked for.
        node_count: Size of the problem; `auto` keeps small ones on the CPU.

    Returns:
        The back end and the reason for the choice.

    Raises:
        BackendUnavailableError: CUDA is asked for and cannot be used.
        ConfigError: The name is unknown or the thread count too large.
    """
    if config.name == "auto":
        name, reason = _choose_automatically(config, node_count)
    elif config.name in _BUILDERS:
        name, reason = config.name, "asked for"
    else:
        raise unknown_choice("backend.name", config.name, ["auto", *_BUILDERS])
    if name == "cuda" and config.name == "cuda":
        _require_cuda()
    return BackendChoice(_BUILDERS[name](config), reason)


def _choose_automatically(config: BackendConfig, node_count: int) -> tuple[str, str]:
    from engine.backends.probe import probe_cuda

    if node_count < config.auto_min_nodes:
        return "cpu", (
            f"{node_count} nodes are fewer than backend.auto_min_nodes="
            f"{config.auto_min_nodes}, too few to gain from a GPU"
        )
    probe = probe_cuda()
    if not probe.is_usable:
        return "cpu", f"CUDA is not usable: {probe.reason}"
    return "cuda", f"{probe.device} is usable and {node_count} nodes are enough"


def _require_cuda() -> None:
    from engine.backends.probe import probe_cuda

    probe = probe_cuda()
    if not probe.is_usable:
        raise BackendUnavailableError(
            f"backend.name is 'cuda', but CUDA is not usable: {probe.reason} "
            f"{probe.cure} Or use backend=cpu."
        )

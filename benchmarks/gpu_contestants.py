"""The contestants of `contestants.py` that need a GPU, and its copy floor."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.contestants import (
    COUPLING_RAD_S,
    DT_S,
    Contestant,
    Problem,
    Stepper,
    build_engine,
    build_jax,
    build_torch,
    repeat,
    step_by_roll,
)


def build_cuda(problem: Problem) -> Stepper:
    """Step with the `cuda` back end."""
    import cupy

    from engine.backends import select_backend
    from engine.config import BackendConfig

    choice = select_backend(BackendConfig("cuda"), problem.side**2)
    wait = cupy.cuda.Device().synchronize
    return build_engine(choice.backend, problem, lambda _: wait())


def wait_for_cupy(_: Any) -> None:
    """Block until the device is idle."""
    import cupy

    cupy.cuda.Device().synchronize()


def build_cupy(kind: type, problem: Problem) -> Stepper:
    """Step as a CuPy user would: the NumPy lines on the device."""
    import cupy

    omega = cupy.asarray(problem.to_omega(kind))
    leap = repeat(lambda theta: step_by_roll(cupy, theta, omega))
    theta = cupy.asarray(problem.to_theta(kind))
    return Stepper(theta, leap, cupy.asnumpy, wait_for_cupy)


def build_fused(kind: type, problem: Problem) -> Stepper:
    """Step with everything behind the four rolls in one kernel by `cupy.fuse`."""
    import cupy

    @cupy.fuse()
    def finish(theta, up, down, left, right, omega, coupling, dt):  # noqa: PLR0917
        pull = cupy.sin(up - theta) + cupy.sin(down - theta)
        pull = pull + cupy.sin(left - theta) + cupy.sin(right - theta)
        return theta + dt * (omega + coupling * pull)

    omega = cupy.asarray(problem.to_omega(kind))
    gains = kind(COUPLING_RAD_S), kind(DT_S)

    def step(theta: Any) -> Any:
        moves = ((1, 0), (-1, 0), (1, 1), (-1, 1))
        around = [cupy.roll(theta, shift, axis) for shift, axis in moves]
        return finish(theta, *around, omega, *gains)

    theta = cupy.asarray(problem.to_theta(kind))
    return Stepper(theta, repeat(step), cupy.asnumpy, wait_for_cupy)


def build_cupy_copy(problem: Problem) -> Stepper:
    """Read two arrays and write a third on the device, 12 bytes per node."""
    import cupy

    merge = cupy.ElementwiseKernel(
        "uint32 first, uint32 second", "uint32 out", "out = first + second", "merge"
    )
    detunings = cupy.asarray(problem.detunings_hz.view(np.uint32))

    def step(state: Any) -> Any:
        phases, spare = state
        merge(phases, detunings, spare)
        return spare, phases

    phases = cupy.asarray(problem.phases)
    pair = (phases, cupy.empty_like(phases))
    return Stepper(pair, repeat(step), lambda pair: pair[0].get(), wait_for_cupy)


def list_gpu_contestants(cores: int) -> list[Contestant]:
    """List everybody who steps the lattice on a GPU, and the floor there.

    Args:
        cores: CPU threads that PyTorch keeps, so that its CPU rows are not changed.
    """
    on_gpu = partial(Contestant, device="gpu", package="cupy-cuda12x")
    jax = partial(on_gpu, package="jax[cuda12]")
    torch = partial(on_gpu, package="torch")
    return [
        on_gpu("Scribble cuda", build_cuda, "engine"),
        on_gpu("CuPy, float64", partial(build_cupy, np.float64)),
        on_gpu("CuPy, float32", partial(build_cupy, np.float32)),
        on_gpu("cupy.fuse, float32", partial(build_fused, np.float32)),
        jax("JAX, GPU, step by step", partial(build_jax, "gpu", is_looped=False)),
        jax("JAX, GPU, fori_loop", partial(build_jax, "gpu", is_looped=True)),
        torch("torch, GPU, eager",
              partial(build_torch, "cuda", cores, is_compiled=False)),
        torch("torch.compile, GPU",
              partial(build_torch, "cuda", cores, is_compiled=True)),
        on_gpu("copy, CuPy", build_cupy_copy, "floor"),
    ]  # fmt: skip

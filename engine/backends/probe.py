"""Whether CUDA can really be used on this machine, why not, and what would help.

Imports CuPy and NVML late and never raises: the answer is a value.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

from engine.backends.cuda import CudaBackend
from engine.backends.cuda_faults import first_line
from engine.backends.protocol import TABLEAUS
from engine.errors import EngineError, NumericalError
from engine.geometry import Geometry

CUPY_PACKAGES = ("cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy")
"""Distributions that all install the module `cupy` and exclude each other."""


@dataclass(frozen=True)
class CudaProbe:
    """What a look at CUDA on this machine found."""

    is_usable: bool
    """Whether a kernel of this engine ran and gave the right result."""
    reason: str
    """A sentence for people: what was found."""
    cure: str
    """A sentence for people: what to do about it; empty if usable."""
    device: str | None
    """Name of the first device, if one answered."""


@cache
def probe_cuda() -> CudaProbe:
    """Try the first CUDA device once; later calls return the same answer.

    Returns:
        What was found; nothing is raised, whatever is broken.
    """
    packages = _list_cupy_packages()
    if len(packages) > 1:
        listed = " and ".join(packages)
        return _fail(
            f"{listed} are installed together, but share one module.",
            f"Run: pip uninstall {' '.join(packages)}. {_name_install()}",
        )
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError:
        return _fail("CuPy is not installed.", _name_install())
    except Exception as error:  # noqa: BLE001 - a broken install raises anything
        reason = f"CuPy is installed but cannot be imported: {first_line(error)}."
        return _fail(reason, f"Remove it with pip uninstall. {_name_install()}")
    try:
        return _probe_device(cupy)
    except Exception as error:  # noqa: BLE001 - a probe answers whatever happens
        reason = f"CuPy failed while it was asked for devices: {first_line(error)}."
        return _fail(reason, _name_install())


def _fail(reason: str, cure: str, device: str | None = None) -> CudaProbe:
    return CudaProbe(is_usable=False, reason=reason, cure=cure, device=device)


def _list_cupy_packages() -> list[str]:
    return [name for name in CUPY_PACKAGES if _is_installed(name)]


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _probe_device(cupy: Any) -> CudaProbe:
    """Look for a driver, then for a device, then run a kernel."""
    runtime = cupy.cuda.runtime
    try:
        count = int(runtime.getDeviceCount())
    except runtime.CUDARuntimeError as error:
        return _explain_no_driver(first_line(error))
    if count == 0:
        return _explain_no_device()
    name = str(runtime.getDeviceProperties(0)["name"].decode())
    try:
        run_smoke_test()
    except EngineError as error:
        return _fail(f"{name} was found, but: {error}", _name_install(), name)
    except Exception as error:  # noqa: BLE001 - the driver's errors have many types
        reason = f"{name} was found, but a test kernel failed: {first_line(error)}."
        return _fail(reason, f"Update the NVIDIA driver. {_name_install()}", name)
    return CudaProbe(is_usable=True, reason=f"{name} is usable.", cure="", device=name)


def run_smoke_test() -> None:
    """Advance four aligned oscillators by a step and measure them.

    Raises:
        EngineError: The back end cannot be built, or the result is wrong.
    """
    backend = CudaBackend(0)
    geometry = Geometry("chain", (4,), (True,), ((1,), (-1,)))
    phases, detunings = np.zeros(4, np.uint32), np.full(4, 125.0, np.float32)
    lattice = backend.build_lattice(geometry, phases, detunings, 1.0)
    backend.step_lattice(lattice, TABLEAUS["euler"], 1.0 / 1024.0)
    got = backend.read_phases(lattice).tolist()
    wanted = [125 << 22] * 4
    if got != wanted or backend.local_coherence(lattice) != 1.0:
        raise NumericalError(
            f"A test step on {backend.device} gave phases {got}; they must be {wanted}."
        )


def _explain_no_driver(text: str) -> CudaProbe:
    version = read_driver_version()
    if "NoDevice" in text:
        return _explain_no_device()
    if version is None:
        return _fail(
            f"No NVIDIA driver was found ({text}).",
            "Install the NVIDIA driver; start a container with --gpus all.",
        )
    installed = " ".join(_list_cupy_packages())
    return _fail(
        f"The NVIDIA driver, made for CUDA {_format_version(version)}, does not work "
        f"with the installed {installed or 'CuPy'} ({text}).",
        f"Update the driver, or replace CuPy: pip uninstall {installed}. "
        f"{_name_install()}",
    )


def _explain_no_device() -> CudaProbe:
    return _fail(
        "The NVIDIA driver works, but shows no device to this process.",
        "Check nvidia-smi, CUDA_VISIBLE_DEVICES and, in a container, --gpus all.",
    )


def read_driver_version() -> int | None:
    """Return the newest CUDA that the driver supports as 1000 major + 10 minor."""
    try:
        pynvml = importlib.import_module("pynvml")
        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # noqa: BLE001 - no library, no driver, no permission: no answer
        return None


def _format_version(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _name_install() -> str:
    """Name the command that installs the CuPy that fits the driver."""
    version = read_driver_version()
    if version is None:
        return (
            "Install the NVIDIA driver, then run: "
            'pip install "scribble-engine[cuda12]".'
        )
    if version < 12000:
        return (
            f"The driver ends at CUDA {_format_version(version)}: update it, then "
            'run: pip install "scribble-engine[cuda12]".'
        )
    extra = "cuda13" if version >= 13000 else "cuda12"
    return f'Run: pip install "scribble-engine[{extra}]".'

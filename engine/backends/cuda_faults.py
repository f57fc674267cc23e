"""What CUDA raises while a run uses it, as errors of the engine.

A shortage of memory leaves the device usable. Whatever else CUDA raises, such as an
illegal address or a device that is gone, ends every later call as well.
"""

from __future__ import annotations

from typing import Any, Final

from engine.errors import DeviceError, DeviceMemoryError

SHORTAGES: Final = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY")
"""Names under which the runtime and the driver report a lack of memory."""


def list_failures(cupy: Any) -> tuple[type[Exception], ...]:
    """List the exceptions by which CuPy tells that the device failed.

    Args:
        cupy: The module.
    """
    cuda = cupy.cuda
    return (
        cuda.memory.OutOfMemoryError,
        cuda.runtime.CUDARuntimeError,
        cuda.driver.CUDADriverError,
    )


def translate(error: Exception, device: str) -> DeviceError:
    """Turn what CuPy raised into an error of the engine.

    Args:
        error: One of `list_failures`.
        device: Name of the device.

    Returns:
        The error, not raised; a `DeviceMemoryError` where only memory is lacking.
    """
    text = first_line(error)
    if isinstance(error, MemoryError) or text.startswith(SHORTAGES):
        return DeviceMemoryError(
            f"{device} has no memory left ({text}). Free some, or go on from the last "
            "checkpoint with backend=cpu."
        )
    return DeviceError(
        f"{device} failed ({text}). Look at `nvidia-smi` and `dmesg`; go on from the "
        "last checkpoint when it works again, or with backend=cpu."
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type if it has none.

    Args:
        error: Any exception.
    """
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__

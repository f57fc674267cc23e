"""NVML asked by one function, its refusals sorted by what they mean.

`pynvml` is loaded when a library is asked for, never on import of this room.
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


class Fault(enum.Enum):
    """Why a query gave no value."""

    ABSENT = "absent"
    """This device or driver will never know it; do not ask again."""
    EMPTY = "empty"
    """Nothing to report at this moment."""
    TRANSIENT = "transient"
    """No answer this time."""
    LOST = "lost"
    """The device or its driver is gone."""


_FAULT_OF_CODE: Final = {
    "NVML_ERROR_NOT_SUPPORTED": Fault.ABSENT,
    "NVML_ERROR_NO_PERMISSION": Fault.ABSENT,
    "NVML_ERROR_FUNCTION_NOT_FOUND": Fault.ABSENT,
    "NVML_ERROR_INVALID_ARGUMENT": Fault.ABSENT,
    "NVML_ERROR_ARGUMENT_VERSION_MISMATCH": Fault.ABSENT,
    "NVML_ERROR_DEPRECATED": Fault.ABSENT,
    "NVML_ERROR_NOT_FOUND": Fault.EMPTY,
    "NVML_ERROR_GPU_IS_LOST": Fault.LOST,
    "NVML_ERROR_RESET_REQUIRED": Fault.LOST,
    "NVML_ERROR_GPU_NOT_FOUND": Fault.LOST,
    "NVML_ERROR_UNINITIALIZED": Fault.LOST,
    "NVML_ERROR_DRIVER_NOT_LOADED": Fault.LOST,
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": Fault.LOST,
}

_CURE_OF_CODE: Final = {
    "NVML_ERROR_DRIVER_NOT_LOADED": "driver not loaded: load the nvidia kernel module.",
    "NVML_ERROR_LIBRARY_NOT_FOUND": (
        "shared library not found: no NVIDIA driver is installed here; GPU figures "
        "are absent."
    ),
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": (
        "driver and library versions differ: reboot, or reload the nvidia kernel "
        "module."
    ),
    "NVML_ERROR_NO_PERMISSION": (
        "no permission: make the /dev/nvidia* files readable for this user."
    ),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A value, or the fault that stands for it."""

    value: Any = None
    fault: Fault | None = None
    message: str = ""


def load_library() -> Any | None:
    """Import `pynvml`.

    Returns:
        The module, or None where nvidia-ml-py is not installed.
    """
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def query(library: Any, call: str, *arguments: Any) -> Answer:
    """Call one NVML function; a refusal becomes a fault, never an exception.

    Args:
        library: The `pynvml` module.
        call: Name of the function.
        arguments: Its arguments; a name that starts with `NVML_` is looked up first.

    Returns:
        The value, or the fault with NVML's own words.
    """
    try:
        function: Callable[..., Any] = getattr(library, call)
        resolved = [_resolve(library, argument) for argument in arguments]
        return Answer(function(*resolved))
    except AttributeError as error:  # an older nvidia-ml-py
        return Answer(fault=Fault.ABSENT, message=str(error))
    except library.NVMLError as error:
        code = _code_name(library, error)
        return Answer(
            fault=_FAULT_OF_CODE.get(code, Fault.TRANSIENT), message=str(error)
        )
    except Exception as error:  # noqa: BLE001 - the binding raises more than its own
        # Where a driver is older than the binding, that is no NVMLError either.
        is_older = type(error).__name__ == "NVMLLibraryMismatchError"
        fault = Fault.ABSENT if is_older else Fault.TRANSIENT
        return Answer(fault=fault, message=" ".join(str(error).split()))


def open_library(library: Any | None) -> str | None:
    """Initialise NVML.

    Args:
        library: The `pynvml` module, or None where there is none.

    Returns:
        None if it works, else the sentence that says why not and what would help.
    """
    if library is None:
        return "NVML: nvidia-ml-py is not installed: pip install nvidia-ml-py."
    try:
        library.nvmlInit()
    except Exception as error:  # noqa: BLE001 - a run needs no NVML, whatever it says
        return f"NVML: {_CURE_OF_CODE.get(_code_name(library, error), f'{error}.')}"
    return None


def _resolve(library: Any, argument: Any) -> Any:
    if isinstance(argument, str) and argument.startswith("NVML_"):
        return getattr(library, argument)
    return argument


def _code_name(library: Any, error: Exception) -> str:
    code = getattr(error, "value", None)
    known = {*_FAULT_OF_CODE, *_CURE_OF_CODE}
    return next((name for name in known if getattr(library, name, -1) == code), "")

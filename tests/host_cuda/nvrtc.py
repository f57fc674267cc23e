"""NVRTC from its pip wheel, called through ctypes: CUDA C++ to PTX, no GPU needed."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

import pytest

Program = ctypes.c_void_p


def find_library() -> Path | None:
    """Find NVRTC 12 or 13 of the wheels nvidia-cuda-nvrtc-cu12 or nvidia-cuda-nvrtc."""
    patterns = (
        "nvidia/cuda_nvrtc/lib/libnvrtc.so.*",
        "nvidia/cu13/lib/libnvrtc.so.*",
        "nvidia/cuda_nvrtc/bin/nvrtc64_*_0.dll",
        "nvidia/cu13/bin/*/nvrtc64_*_0.dll",
    )
    for folder in map(Path, sys.path):
        for pattern in patterns:
            found = [p for p in sorted(folder.glob(pattern)) if ".alt" not in p.name]
            if found:
                return found[0]
    return None


@cache
def load_library() -> ctypes.CDLL:
    """Load NVRTC; a machine that could have it must have it.

    Raises:
        pytest.fail.Exception: The extra `test` is not installed.
        pytest.skip.Exception: NVIDIA publishes no NVRTC for this system.
    """
    path = find_library()
    if path is not None:
        return ctypes.CDLL(str(path))
    if sys.platform not in ("linux", "win32"):
        pytest.skip(f"NVIDIA publishes no NVRTC for {sys.platform}")
    pytest.fail("NVRTC is missing; run: pip install nvidia-cuda-nvrtc-cu12")


def compile_ptx(source: str, name: str, options: tuple[str, ...]) -> str:
    """Compile CUDA C++ to PTX.

    Args:
        source: Self-contained source text.
        name: File name for messages.
        options: NVRTC options, among them the architecture.

    Returns:
        PTX text.

    Raises:
        AssertionError: The source does not compile; the text is NVRTC's log.
    """
    nvrtc, program = load_library(), Program()
    text = source.encode()
    status = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), text, name.encode(), 0, None, None
    )
    assert status == 0, f"nvrtcCreateProgram failed with {status}"
    try:
        words = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        status = nvrtc.nvrtcCompileProgram(program, len(options), words)
        assert status == 0, _read_text(program, "ProgramLog")
        return _read_text(program, "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _read_text(program: Program, what: str) -> str:
    nvrtc, size = load_library(), ctypes.c_size_t()
    assert getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert getattr(nvrtc, f"nvrtcGet{what}")(program, text) == 0
    return text.value.decode()

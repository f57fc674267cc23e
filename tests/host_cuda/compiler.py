"""A C++ compiler for the host: the system's, or the one in the ziglang wheel."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
# What keeps the bits: no contraction, and (default on 64-bit hosts) no x87.
FLAGS = (
    "-x",
    "c++",
    "-std=c++17",
    "-O2",
    "-ffp-contract=off",
    # The kernels move words of any type in accesses of 16 bytes.
    "-fno-strict-aliasing",
    "-fno-exceptions",
    "-fno-rtti",
    "-fPIC",
    "-shared",
)


def list_candidates() -> list[list[str]]:
    """List the compilers that this machine may have, fastest start first."""
    found = [shutil.which(name) for name in ("c++", "g++", "clang++")]
    commands = [[path] for path in found if path]
    if importlib.util.find_spec("ziglang"):
        commands.append([sys.executable, "-m", "ziglang", "cc"])
    return commands


@cache
def find_compiler(folder: Path) -> tuple[str, ...]:
    """Return the first candidate that compiles a line.

    Raises:
        pytest.fail.Exception: There is none; the extra `test` brings one.
    """
    for command in list_candidates():
        try:
            build_library('extern "C" int one() { return 1; }', folder, "try", command)
        except AssertionError:
            continue
        return tuple(command)
    pytest.fail("no C++ compiler works; run: pip install ziglang")


def build_library(
    source: str, folder: Path, name: str, command: list[str] | None = None
) -> ctypes.CDLL:
    """Compile C++ text to a shared library and load it.

    Args:
        source: Source text; headers of this folder are on the include path.
        folder: Where to write.
        name: File name without its ending.
        command: Compiler; None finds one.

    Returns:
        The loaded library.

    Raises:
        AssertionError: It does not compile; the text is the compiler's.
    """
    command = list(find_compiler(folder)) if command is None else command
    text, library = folder / f"{name}.cpp", folder / f"{name}.so"
    text.write_text(source, encoding="utf-8")
    done = subprocess.run(
        [*command, *FLAGS, "-I", str(FOLDER), str(text), "-o", str(library)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))

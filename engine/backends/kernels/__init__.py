"""CUDA sources as package data, and the options that keep their bits IEEE.

Imports nothing but the standard library: the tests compile the same text for three
GPU architectures and for the host.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

COMPILE_OPTIONS: Final = (
    "--std=c++17",
    "--fmad=false",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
)
"""NVRTC options: no contraction, no flush to zero, correctly rounded division."""

KERNELS: Final = {
    "step_lattice": "lattice.cu",
    "run_period": "period.cu",
    "run_tunnel_events": "tunnel.cu",
    "run_matching_events": "matching.cu",
    "sum_thresholds": "matching.cu",
    "sum_order": "observables.cu",
    "sum_edges": "observables.cu",
    "count_vortices": "observables.cu",
    "count_turns": "observables.cu",
}
"""Source file of each kernel."""

_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)


SPECIALISED: Final = frozenset({"lattice.cu", "period.cu"})
"""Files that are compiled for one coordination number, so that its loops unroll."""


def read_source(name: str, neighbours: int = 0) -> str:
    """Read a kernel file with its own headers written out, each of them once.

    The result needs no include path, so it compiles from a zipped wheel as well.

    Args:
        name: File name in this folder, such as ``lattice.cu``.
        neighbours: Coordination number of a specialised file; 0 leaves its default.

    Returns:
        Source text for NVRTC or a C++ compiler.
    """
    text = _expand(name, set())
    return f"#define SCRIBBLE_NEIGHBOURS {neighbours}\n{text}" if neighbours else text


def _expand(name: str, seen: set[str]) -> str:
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")

    def replace(match: re.Match[str]) -> str:
        header = match[1]
        if header in seen:
            return ""
        seen.add(header)
        return _expand(header, seen)

    return _INCLUDE.sub(replace, text)

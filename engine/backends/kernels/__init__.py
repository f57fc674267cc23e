"""CUDA sources as package data, and the options that keep their bits IEEE.

Imports nothing but the standard library: the tests compile the same text for three
GPU architectures and for the host.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final, NamedTuple

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
    "step_mean_field": "mean.cu",
    "kick_phases": "motion.cu",
    "drift_phases": "motion.cu",
    "coast_phases": "motion.cu",
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


class Variant(NamedTuple):
    """What a specialised file is compiled for."""

    neighbours: int = 0
    """Coordination number; 0 leaves the file's default."""
    is_lagged: bool = False
    """Whether neighbours pull with a phase lag."""

    @property
    def definitions(self) -> str:
        """Macros that go before the text; none for a file that is not specialised."""
        lines = []
        if self.neighbours:
            lines.append(f"#define SCRIBBLE_NEIGHBOURS {self.neighbours}\n")
        if self.is_lagged:
            lines.append("#define SCRIBBLE_LAGGED\n")
        return "".join(lines)


PLAIN: Final = Variant()
"""A file as it stands."""


def read_source(name: str, variant: Variant = PLAIN) -> str:
    """Read a kernel file with its own headers written out, each of them once.

    The result needs no include path, so it compiles from a zipped wheel as well.

    Args:
        name: File name in this folder, such as ``lattice.cu``.
        variant: What a specialised file is compiled for.

    Returns:
        Source text for NVRTC or a C++ compiler.
    """
    return variant.definitions + _expand(name, set())


def _expand(name: str, seen: set[str]) -> str:
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")

    def replace(match: re.Match[str]) -> str:
        header = match[1]
        if header in seen:
            return ""
        seen.add(header)
        return _expand(header, seen)

    return _INCLUDE.sub(replace, text)

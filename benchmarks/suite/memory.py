"""Peak memory: of a run by size, above a process that has only imported all."""

from __future__ import annotations

import subprocess
import sys

from .cases import require
from .runs import build_config, build_system

MEASURE = """
import re
from dataclasses import replace
from pathlib import Path
from engine.config import *
from engine.system import ScribbleSystem

def read_peak_kib():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])

def advance(side):
    config = RunConfig(
        lattice=LatticeConfig(shape=(side, side)),
        dynamics=DynamicsConfig(duration_s=0.01),
        backend=BackendConfig("cpu"),
        load=LoadConfig(kind="synthetic"),
    )
    with ScribbleSystem(config) as system:
        system.run()

advance(16)
before = read_peak_kib()
advance({side})
print(1024 * (read_peak_kib() - before))
"""


class PeakByCase:
    """The whole process; `empty` is the baseline to subtract."""

    params = (["empty", 12, 16, 20, 24],)
    param_names = ("log2_nodes",)
    timeout = 600

    def setup(self, log2_nodes: str | int) -> None:
        size = 0 if log2_nodes == "empty" else log2_nodes
        require("cpu", size)
        self._advance(4)

    def _advance(self, log2_nodes: int) -> None:
        config = build_config("cpu", log2_nodes, "headroom", load=0.4, duration_s=0.01)
        with build_system(config) as system:
            if system.run().status != "done":
                raise ValueError("The run did not end: not measured.")

    def peakmem_run(self, log2_nodes: str | int) -> None:
        if log2_nodes != "empty":
            self._advance(log2_nodes)


class BytesPerNode:
    """What a node takes, with its two bridges, while a run is built and advanced."""

    params = ([16, 20, 24],)
    param_names = ("log2_nodes",)
    unit = "bytes/node"

    def setup(self, log2_nodes: int) -> None:
        require("cpu", log2_nodes)
        if not sys.platform.startswith("linux"):
            raise NotImplementedError("The kernel's own peak is read from /proc.")

    def track_peak(self, log2_nodes: int) -> float:
        code = MEASURE.format(side=2 ** (log2_nodes // 2))
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        return int(done.stdout) / 2**log2_nodes

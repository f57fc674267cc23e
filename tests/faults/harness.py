"""Runs in processes of their own, killed at random moments and resumed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.inputs import Inputs, describe_inputs

ROOT = Path(__file__).parents[2]
SETTINGS = (
    *("load=synthetic", "load.profile=square", "load.period_s=0.05"),
    *("controller=headroom", "record.forecast=false"),
)
"""A load that is a function of simulated time: every run sees the same trace."""


def build_environment() -> dict[str, str]:
    # Works from a checkout as well as with the package installed.
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def preload(source: Path, folder: Path) -> dict[str, str]:
    """Compile a C file; return an environment in which every process loads it."""
    library = folder / "preloaded.so"
    compilers = [[name] for name in ("cc", "gcc", "clang") if shutil.which(name)]
    flags = ["-O1", "-fPIC", "-shared", str(source), "-o", str(library), "-ldl"]
    for compiler in [*compilers, [sys.executable, "-m", "ziglang", "cc"]]:
        done = subprocess.run(
            [*compiler, *flags], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return {**build_environment(), "LD_PRELOAD": str(library)}
    raise RuntimeError(f"no C compiler works: {done.stderr}")


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start the command line in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "experiments", *words],
        cwd=folder,
        env=build_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    return summary


@dataclass
class Ledger:
    """What was done to runs and readers, and what came of it, for the end of a session.

    The fixture `ledger` hands out the only one of a session; `tests/conftest.py` prints
    what it describes.
    """

    kills: int = 0
    survived: int = 0
    anew: int = 0
    signals: int = 0
    gpu_faults: int = 0
    lost_workers: int = 0
    cuts: int = 0
    resumed_alike: int = 0
    disks: int = 0
    clocks: int = 0
    ports: int = 0
    inputs: dict[str, Inputs] = field(default_factory=lambda: defaultdict(Inputs))
    soaks: list[str] = field(default_factory=list)

    def describe(self) -> list[str]:
        return [
            f"kills by kill -9: {self.kills}, survived with equal digest and rows: "
            f"{self.survived} ({self.anew} before anything was written), lost: "
            f"{self.kills - self.survived}",
            f"signals (INT, TERM, HUP, USR1) answered as told: {self.signals}",
            f"losses of NVML or of GPU memory, outlived: {self.gpu_faults}",
            f"workers and parents of sweeps killed, none left over: "
            f"{self.lost_workers}",
            f"runs cut off and resumed that came to equal digest, summary and rows: "
            f"{self.resumed_alike}, cut off {self.cuts} times",
            f"disks full, limited or read-only, nothing whole lost: {self.disks}",
            f"leaps of the clock and stops of the process, same digest: {self.clocks}",
            f"taken ports refused before anything was written: {self.ports}",
            *self.soaks,
            *describe_inputs(self.inputs),
        ]


@dataclass
class Killer:
    """Kills one run again and again, until it has come to its end."""

    folder: Path
    words: tuple[str, ...]
    span_s: float
    """Longest time from the start of a process to its end [s]."""
    dice: random.Random
    ledger: Ledger

    def run(self, kill_count: int) -> tuple[Path, int]:
        """Start, kill and resume a run, `kill_count` times at most.

        Chance decides where a run is cut, never what must come of it. A process that
        ends before its time has come was not killed.

        Returns:
            The run folder, and how often it was killed.
        """
        begin = ("run", "-q", "record.folder=cut", *SETTINGS, *self.words)
        words, killed = begin, 0
        while True:
            process = start(self.folder, *words)
            timeout_s = self.dice.uniform(0.0, self.span_s)
            try:
                is_last = killed == kill_count
                _, trouble = process.communicate(timeout=None if is_last else timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                killed += 1
                self.ledger.kills += 1
                words = self._choose_next(begin)
                continue
            assert process.returncode == 0, trouble
            return self.folder / "cut", killed

    def _choose_next(self, begin: tuple[str, ...]) -> tuple[str, ...]:
        """Resume, or start anew where nothing to resume had been written yet."""
        cut = self.folder / "cut"
        if (cut / "summary.json").exists() or any(cut.glob("checkpoints/*.ckpt")):
            return ("resume", "-q", "cut")
        self.ledger.anew += 1
        return (*begin, "record.overwrite=true")

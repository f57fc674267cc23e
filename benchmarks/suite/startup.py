"""Start-up, each time in a fresh interpreter with the kernels already compiled."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

HEAVY = ("cupy", "hydra", "mpi4py", "numba", "prometheus_client", "pynvml")
BUILD = (
    "from engine.config import BackendConfig, LoadConfig, RunConfig\n"
    "from engine.system import ScribbleSystem\n"
    "load = LoadConfig(kind='synthetic')\n"
    "ScribbleSystem(RunConfig(backend=BackendConfig('cpu'), load=load)).close()\n"
)
CHECK_IMPORT = f"import engine, sys; sys.exit(bool(set({HEAVY!r}) & set(sys.modules)))"
HELP = [sys.executable, "-m", "experiments", "--help"]


@cache
def run_once(*command: str) -> str:
    """Run a command to its end, which also compiles what is kept for the next one."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


class Import:
    """What `import engine` costs, and the whole system's imports."""

    rounds = 1

    def setup(self) -> None:
        run_once(sys.executable, "-c", CHECK_IMPORT)  # fails if it loads a heavy one

    def timeraw_engine(self) -> str:
        return "import engine"

    def timeraw_system(self) -> str:
        return "import engine.system"


class System:
    """From nothing to the default system on the `cpu` back end, ready to run."""

    rounds = 1

    def setup(self) -> None:
        run_once(sys.executable, "-c", BUILD)

    def timeraw_build(self) -> str:
        return BUILD


class Program:
    """`scribble --help`, from the shell and back."""

    rounds = 1
    number = 1

    def setup(self) -> None:
        if "usage" not in run_once(*HELP).lower():
            raise ValueError("`scribble --help` shows no usage: not timed.")

    def time_help(self) -> None:
        subprocess.run(HELP, check=True, capture_output=True)

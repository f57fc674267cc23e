"""Builds the stand-in, loads it into the real `pynvml`, and tells it what to answer."""

from __future__ import annotations

import ctypes
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import pynvml
import pytest

from tests.host_cuda.compiler import build_library

SOURCE = Path(__file__).with_name("fake_nvml.cpp")
NAME = "libnvidia-ml.so.1"
VARIABLE = "SCRIBBLE_FAKE_NVML"
UUID = "GPU-00000000-0000-0000-0000-000000000000"
PCI_ADDRESS = "0000:3B:00.0"


@dataclass(frozen=True)
class Control:
    """What the library answers; fields as in `fake_nvml.cpp`."""

    fault: int = 0
    init_fault: int = 0
    gpus: int = 1
    instances: int = 0
    era: int = 0
    busy_percent: int = 0
    hangs: int = 0
    boots: int = 0


class FakeNvml:
    """One stand-in with its control file."""

    def __init__(self, library: Path, folder: Path) -> None:
        """Make the control file of a library that is healthy.

        Args:
            library: The built library.
            folder: Where the control file goes.
        """
        self.library = library
        self.path = folder / "nvml"
        self.control = Control()
        self.set()

    def set(self, **changes: int) -> None:
        """Change some of what is answered from now on."""
        self.control = replace(self.control, **changes)
        draft = self.path.with_suffix(".new")
        words = (str(int(value)) for value in astuple(self.control))
        draft.write_text(" ".join(words), encoding="utf-8")
        draft.replace(self.path)

    def _count(self, place: int) -> int:
        path = self.path.with_suffix(".asked")
        return int(path.read_text("utf-8").split()[place]) if path.exists() else 0

    @property
    def init_count(self) -> int:
        """How often NVML was initialised, or refused to be."""
        return self._count(0)

    @property
    def reading_count(self) -> int:
        """How often a utilisation was asked for."""
        return self._count(1)

    @property
    def hanging_count(self) -> int:
        """How many calls have hung."""
        return self._count(2)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which another process loads the stand-in."""
        return {"LD_LIBRARY_PATH": str(self.library.parent), VARIABLE: str(self.path)}

    def load(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Have this process's `pynvml` call the stand-in; return the module."""
        monkeypatch.setenv(VARIABLE, str(self.path))
        loaded = ctypes.CDLL(str(self.library))
        monkeypatch.setattr(pynvml, "nvmlLib", loaded)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        return pynvml


def build_fake_nvml(folder: Path) -> Path:
    """Compile the stand-in under the name that `pynvml` looks for.

    Args:
        folder: Where it goes.
    """
    build_library(SOURCE.read_text("utf-8"), folder, "nvml")
    return (folder / "nvml.so").rename(folder / NAME)


def leave() -> None:
    """Shut NVML down as often as it was initialised by whoever did not."""
    while True:
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            return

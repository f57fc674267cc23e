"""A disk of a chosen size: a tmpfs in a mount namespace of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from tests.faults.harness import build_environment

_HOLD = 'mount -t tmpfs -o size="$1" tmpfs "$2" && echo ready && exec cat'
_IN_PLACE = 'cd "$0" && exec "$@"'


class SmallDisk:
    """Holds the namespace by a process that does nothing; the disk goes with it."""

    def __init__(self, place: Path, size: str) -> None:
        """Mount it, or skip the test where the machine mounts nothing."""
        if shutil.which("unshare") is None or shutil.which("nsenter") is None:
            pytest.skip("util-linux (unshare, nsenter) is not installed")
        place.mkdir()
        self.place = place
        self._holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", _HOLD, "sh", size, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            _, trouble = self._holder.communicate()
            pytest.skip(f"nothing can be mounted here: {trouble.strip()}")

    @property
    def root(self) -> Path:
        """The disk, as seen from outside."""
        return Path(f"/proc/{self._holder.pid}/root{self.place}")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a program inside, in the root of the disk."""
        inside = ["nsenter", "-t", str(self._holder.pid), "-m", "sh", "-c", _IN_PLACE]
        return subprocess.Popen(
            [*inside, str(self.place), *words],
            env=build_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str]:
        """Run a program inside; return its exit code and what it complained of."""
        process = self.start(*words)
        _, trouble = process.communicate()
        return process.returncode, trouble

    def scribble(self, *words: str) -> tuple[int, str]:
        """Run the command line inside."""
        return self.run(sys.executable, "-m", "experiments", *words)

    def resize(self, size: str) -> None:
        assert self.run("mount", "-o", f"remount,size={size}", ".") == (0, "")

    def close_folder(self, name: str) -> None:
        """Make a folder read-only for whoever opens a file in it from now on."""
        assert self.run("mount", "--bind", name, name) == (0, "")
        assert self.run("mount", "-o", "remount,bind,ro", name) == (0, "")

    def open_folder(self, name: str) -> None:
        """Undo `close_folder`; whoever stands in the folder may do so still."""
        assert self.run("umount", "-l", name) == (0, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()

"""Inputs of one kind that tests try: taken, or refused with one sentence.

What reading one takes in time and memory is kept for the closing lines of a session;
time decides nothing. What never ends is stopped by pytest (`faulthandler_timeout`).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError

MAX_GROWTH = 2**30
"""Memory that one input may take on its way, if it is a small file [byte]."""
MAX_SENTENCE = 1000
"""Longest sentence: what was given is quoted in short [characters]."""
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"
"""What makes Linux forget the largest memory that a process has held."""


@dataclass
class Inputs:
    """How many inputs of a kind were taken and refused, and what the worst one took."""

    taken: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    largest_bytes: int = 0

    @property
    def count(self) -> int:
        return self.taken + self.refused

    def attempt(self, read: Callable[[], object]) -> bool:
        """Try one input; tell whether it was taken.

        Args:
            read: Takes the input, or raises an `EngineError`.
        """
        with self.watch():
            try:
                read()
            except EngineError as error:
                assert_sentence(error)
                return self.note(is_taken=False)
        return self.note(is_taken=True)

    def note(self, *, is_taken: bool) -> bool:
        """Count one input, and return whether it was taken."""
        self.taken += is_taken
        self.refused += not is_taken
        return is_taken

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Measure what one input takes, and hold its memory against the bound."""
        before = _forget_peak()
        started_s = time.perf_counter()
        yield
        self.keep_worst(time.perf_counter() - started_s, _read_peak() - before)

    def keep_worst(self, duration_s: float, memory_bytes: int) -> None:
        """Keep time and memory of an input if it is the worst so far."""
        self.slowest_s = max(self.slowest_s, duration_s)
        self.largest_bytes = max(self.largest_bytes, memory_bytes)
        assert memory_bytes < MAX_GROWTH


def assert_sentence(error: EngineError) -> None:
    """Hold an error to what a user may be shown."""
    message = str(error)
    assert message.endswith("."), message
    assert "\n" not in message, message
    assert len(message) < MAX_SENTENCE, message


def describe_inputs(kinds: Mapping[str, Inputs]) -> list[str]:
    """Lay out what was tried as a table, a line per kind."""
    if not kinds:
        return []
    total = sum(inputs.count for inputs in kinds.values())
    head = f"inputs tried: {total}"
    lines = [f"{head:<44}{'taken':>8}{'refused':>9}{'slowest':>10}{'memory':>9}"]
    for name, inputs in sorted(kinds.items()):
        lines.append(
            f"  {name:<32}{inputs.count:>10}{inputs.taken:>8}{inputs.refused:>9}"
            f"{inputs.slowest_s:>8.2f} s{inputs.largest_bytes / 2**20:>6.0f} MB"
        )
    return lines


def _forget_peak() -> int:
    """Return the memory held now [byte], which is the peak from now on."""
    if _CLEAR.exists():
        _CLEAR.write_text(_FORGET_PEAK, "ascii")
    return _read_peak()


def _read_peak() -> int:
    if not _STATUS.exists():  # the peak of the whole session, where there is no other
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(x for x in _STATUS.read_text("ascii").splitlines() if "VmHWM" in x)
    return int(line.split()[1]) * 1024

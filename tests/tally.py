"""Counts of what tests have tried, printed at the end of a session of pytest.

Its hooks and its fixture are taken over by `tests/conftest.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

Tally = Callable[[str, int], None]
"""What was tried, and how often."""
COUNTS: pytest.StashKey[Counter[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS] = Counter()


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    """Count something for the closing lines: tally("inputs tried", 100)."""
    counts = request.config.stash[COUNTS]

    def add(what: str, number: int) -> None:
        counts[what] += number

    return add


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for what, number in sorted(config.stash[COUNTS].items()):
        terminalreporter.write_line(f"{what}: {number}")

"""The ledger of all faults, told at the end of a test session that had any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.harness import Ledger

_LEDGER = pytest.StashKey[Ledger]()


@pytest.fixture(scope="session")
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    kept = Ledger()
    request.config.stash[_LEDGER] = kept
    yield kept


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    kept = config.stash.get(_LEDGER, None)
    if kept is None:
        return
    terminalreporter.section("faults")
    for line in kept.describe():
        terminalreporter.write_line(line)

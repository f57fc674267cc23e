"""Every exact result on every back end: what `scribble verify` shows, as tests."""

from __future__ import annotations

import pytest

from engine.backends.protocol import Backend
from engine.verification import CHECKS, Check


def list_parameters() -> list[object]:
    """Mark the long checks."""
    marks = {False: (), True: (pytest.mark.validation,)}
    return [
        pytest.param(check, id=check.name, marks=marks[check.is_long])
        for check in CHECKS
    ]


@pytest.mark.parametrize("check", list_parameters())
def test_exact_result(check: Check, backend: Backend) -> None:
    if backend.name not in check.backends:
        pytest.skip(f"too slow on {backend.name}")
    rows = check.measure(backend)
    assert rows
    missed = [row for row in rows if not row.is_held]
    assert not missed, missed

"""Limits: what a load may hold, and when it must end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.load.limits import Limits

GIB = 2**30
LIMITS = Limits(duration_s=10.0, headroom_bytes=GIB, temperature_limit_c=90.0)
BYTES = st.integers(0, 2**40)


@pytest.mark.parametrize(
    ("elapsed_s", "available", "held", "heat", "kind"),
    [
        (9.9, 2 * GIB, 0, 89.9, None),
        (10.0, 2 * GIB, 0, None, "duration"),
        (0.0, 2 * GIB, 0, 90.0, "temperature"),
        (0.0, GIB - 1, 0, None, "memory"),  # nothing to give back
        (0.0, GIB - 1, GIB, None, None),  # give back first
        (0.0, GIB // 2 - 1, GIB, None, "memory"),  # no time for that
        (11.0, 0, 0, 99.0, "temperature"),
    ],
)
def test_judgement(
    elapsed_s: float, available: int, held: int, heat: float | None, kind: str | None
) -> None:
    stop = LIMITS.judge(elapsed_s, available, held, heat)
    assert (stop.kind if stop else None) == kind
    if stop is not None:
        assert stop.is_early == (kind != "duration")
        assert "\n" not in stop.sentence


@given(asked=BYTES, held=BYTES, available=BYTES)
def test_memory_never_reaches_into_the_headroom(
    asked: int, held: int, available: int
) -> None:
    allowed = LIMITS.allow_bytes(asked, held, available)
    assert 0 <= allowed <= asked
    left = available + held - allowed
    assert allowed == 0 or left >= LIMITS.headroom_bytes


def test_memory_comes_back_when_others_take_it() -> None:
    assert LIMITS.allow_bytes(4 * GIB, 0, 8 * GIB) == 4 * GIB
    assert LIMITS.allow_bytes(4 * GIB, 4 * GIB, GIB) == 4 * GIB
    assert LIMITS.allow_bytes(4 * GIB, 4 * GIB, GIB // 2) == 4 * GIB - GIB // 2

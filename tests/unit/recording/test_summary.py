"""Digests tell states apart; the tally counts violations only once settled."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from engine.recording import CoherenceTally, digest_state


def digest(*arrays: np.ndarray) -> str:
    return digest_state(arrays)


PHASES = np.arange(10, dtype=np.uint32)
COUNTS = np.arange(5, dtype=np.uint32)


def test_digest_is_sha256_of_the_little_endian_bytes() -> None:
    expected = hashlib.sha256(PHASES.astype("<u4").tobytes() + COUNTS.tobytes())
    assert digest(PHASES, COUNTS) == expected.hexdigest()


def test_one_bit_changes_the_digest() -> None:
    seen = {digest(PHASES, COUNTS)}
    for place in range(10):
        for bit in (0, 31):
            phases = PHASES.copy()
            phases[place] ^= np.uint32(1 << bit)
            seen.add(digest(phases, COUNTS))
    assert len(seen) == 21


def test_order_counts() -> None:
    assert digest(PHASES, COUNTS) != digest(COUNTS, PHASES)
    assert digest(PHASES) != digest(PHASES[::-1])


def test_layout_in_memory_does_not_count() -> None:
    spread = np.zeros(20, np.uint32)
    spread[::2] = PHASES
    assert digest(spread[::2]) == digest(PHASES)
    assert digest(PHASES.astype(">u4")) == digest(PHASES)


def test_empty_state_has_a_digest() -> None:
    assert digest(np.zeros(0, np.uint32)) == hashlib.sha256().hexdigest()


def tally(*values: float) -> CoherenceTally:
    account = CoherenceTally(floor=0.87)
    for index, value in enumerate(values):
        account.add(value, 0.1 * (index + 1))
    return account


def test_violations_count_from_settling_on() -> None:
    found = tally(0.1, 0.5, 0.9, 0.8, 0.95, 0.86).to_dict()
    assert found["final"] == 0.86
    assert found["mean"] == pytest.approx(np.mean([0.1, 0.5, 0.9, 0.8, 0.95, 0.86]))
    assert found["settled_at_seconds"] == pytest.approx(0.3)
    assert found["minimum_after_settling"] == 0.8
    assert found["violation_fraction"] == 0.5
    assert found["floor"] == 0.87


def test_floor_itself_is_no_violation() -> None:
    assert tally(0.87, 0.87).to_dict()["violation_fraction"] == 0.0


def test_run_that_never_settles_does_not_look_like_a_good_one() -> None:
    found = tally(0.1, 0.2, 0.3).to_dict()
    assert found["settled_at_seconds"] is None
    assert found["minimum_after_settling"] is None
    assert found["violation_fraction"] != 0.0


def test_no_values_at_all() -> None:
    found = CoherenceTally(floor=0.87).to_dict()
    assert found["mean"] == 0.0
    assert found["minimum_after_settling"] is None


def test_metastability_is_the_deviation_of_the_later_part() -> None:
    # Of eight values the first four are left out, whether the floor is held or not.
    values = (0.1, 0.9, 0.2, 0.4, 0.5, 0.7, 0.5, 0.7)
    assert tally(*values).to_dict()["metastability"] == pytest.approx(0.1)
    assert tally(0.1, 0.3, 0.3, 0.3).to_dict()["metastability"] == 0.0
    assert tally(0.5).to_dict()["metastability"] is None

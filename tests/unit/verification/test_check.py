"""Rows, checks and the choice among them."""

from __future__ import annotations

import math

import pytest

from engine.backends.protocol import Backend
from engine.errors import BackendUnavailableError, ConfigError
from engine.verification import CHECKS, Check, Row, choose_checks


def test_row_holds_within_its_tolerance_only() -> None:
    assert Row("r", 1.0, 1.5, 0.5).is_held
    assert Row("r", 1.0, 0.5, 0.5).is_held
    assert not Row("r", 1.0, 1.6, 0.5).is_held
    assert not Row("r", 1.0, 0.4, 0.5).is_held
    assert not Row("r", 1.0, math.nan, 0.5).is_held
    assert not Row("r", 1.0, math.inf, math.nan).is_held


def test_row_becomes_json() -> None:
    assert Row("r", 1.0, 0.5, 0.25).to_dict() == {
        "quantity": "r", "exact": 1.0, "measured": 0.5, "tolerance": 0.25,
        "error": -0.5, "is_held": False,
    }  # fmt: skip
    broken = Row("r", 1.0, math.nan, 0.25).to_dict()
    assert broken["measured"] is None
    assert broken["error"] is None


def test_check_refuses_other_back_ends(reference: Backend) -> None:
    row = Row("r", 1.0, 1.0, 0.0)
    held = Check("any", "It holds", "here", lambda backend: [row])
    assert held.measure(reference) == (row,)
    narrow = Check("cuda-only", "It holds", "here", lambda _: [row], backends=("cuda",))
    with pytest.raises(BackendUnavailableError, match="take backend=cuda"):
        narrow.measure(reference)


def test_names_are_unique_and_every_check_says_what_it_is() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for check in CHECKS:
        assert set(check.backends) <= {"reference", "cpu", "cuda"}
        assert check.statement
        assert check.source
        # One line of a terminal.
        assert len(check.statement) <= 80


def test_choice() -> None:
    quick, full = choose_checks("cpu"), choose_checks("cpu", is_full=True)
    assert set(quick) < set(full)
    assert not any(check.is_long for check in quick)
    (single,) = choose_checks("cpu", only=("tick-table",))
    assert single.is_long
    assert all("reference" in check.backends for check in choose_checks("reference"))
    with pytest.raises(ConfigError, match="mode-decay, "):
        choose_checks("cpu", only=("mode-decoy",))
    with pytest.raises(ConfigError, match="is not measured on"):
        choose_checks("reference", only=("tick-table",))

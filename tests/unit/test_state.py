"""States: what may be taken over, and what is refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.errors import CheckpointError
from engine.state import (
    StateArray,
    build_record,
    check_inputs,
    digest_inputs,
    keep_array,
    keep_fields,
    take_fields,
)


@dataclass(frozen=True)
class Record:
    count: int
    share: float | None
    name: str
    is_done: bool


GOOD: dict[str, Any] = {"count": 3, "share": 0.5, "name": "a", "is_done": True}


def build_target() -> SimpleNamespace:
    return SimpleNamespace(_count=0, height=1.5, limit=None, name="", is_on=False)


def test_fields_go_round() -> None:
    source, target = build_target(), build_target()
    source._count, source.height, source.limit, source.name = 7, None, 2.5, "x"
    names = tuple(vars(source))
    take_fields(target, keep_fields(source, *names), *names)
    assert target == source


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_count", 1.5),  # counts index arrays, so they stay whole
        ("_count", None),
        ("_count", True),
        ("height", "high"),
        ("height", True),
        ("name", 3),
        ("is_on", 1),
        ("limit", [1.0]),
    ],
)
def test_fields_of_another_kind_are_refused(name: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=name.lstrip("_")):
        take_fields(build_target(), {name.lstrip("_"): value}, name)


def test_missing_field_is_named() -> None:
    with pytest.raises(CheckpointError, match="height of SimpleNamespace is missing"):
        take_fields(build_target(), {}, "height")


def test_records_are_built_from_their_fields() -> None:
    assert build_record(Record, GOOD) == Record(3, 0.5, "a", True)
    assert build_record(Record, {**GOOD, "share": None}).share is None


@pytest.mark.parametrize(
    "change",
    [
        {"count": 1.0},
        {"count": True},
        {"share": "half"},
        {"name": None},
        {"is_done": 1},
        {"more": 1},
    ],
)
def test_records_of_another_kind_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="Record"):
        build_record(Record, {**GOOD, **change})


def test_records_need_a_mapping() -> None:
    with pytest.raises(CheckpointError, match="Record"):
        build_record(Record, [1, 2])


def test_arrays_are_held_to_what_is_needed() -> None:
    array = keep_array(np.arange(6, dtype=np.uint32).reshape(2, 3), ("a", "b"), "1")
    assert array.load("x", np.uint32, (2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    for kind, shape in ((np.int32, (2, 3)), (np.uint32, (6,)), (np.uint32, (2, 4))):
        with pytest.raises(CheckpointError, match="this run needs"):
            array.load("x", kind, shape)


def test_arrays_with_too_few_values_are_refused() -> None:
    pieces = [np.zeros(2)]
    array = StateArray(np.dtype(np.float64), (3,), ("a",), "1", lambda: iter(pieces))
    with pytest.raises(CheckpointError, match="2 values"):
        array.load("x", np.float64, (3,))


def test_inputs_are_told_apart() -> None:
    found = digest_inputs(np.arange(3), np.zeros(2))
    check_inputs("bridges", found, digest_inputs(np.arange(3), np.zeros(2)))
    with pytest.raises(CheckpointError, match="bridges are not those"):
        check_inputs("bridges", found, digest_inputs(np.arange(3), np.ones(2)))

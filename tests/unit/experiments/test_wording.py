"""Amounts of memory as people write them."""

from __future__ import annotations

import pytest

from engine.errors import ConfigError
from experiments.wording import parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [("8GiB", 8 * 2**30), ("500 MB", 5 * 10**8), ("1.5kib", 1536), ("42", 42)],
)
def test_amounts(text: str, count: int) -> None:
    assert parse_bytes(text, "x") == count


@pytest.mark.parametrize("text", ["", "lots", "8 GiBs", "-1GB", "0", "1e3", "0.1"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x is '.*'; write a number and a unit"):
        parse_bytes(text, "x")

"""Damaged files for Hypothesis: bytes of valid files changed here and there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

WORDS = (
    *(b"", b"\0", b"\xff", b"\n", b",", b'"', b"'", b"-", b"nan", b"inf", b"-1"),
    *(b"1e999", b"9" * 30, b"9" * 5000, b"null", b"true", b"{}", b"[]", b"[" * 3000),
    *(b"{" * 300, b'{"a":' * 3000, b"&a", b"*a", b"<a/>", b"]]>", b"&amp;", b"&x;"),
    *(b"source", b"strength", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"PAR1"),
    *(b"PK\x03\x04", b"!!python"),
)
"""What parsers stumble over."""
NUMBERS = (0, 1, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63)


def explore(examples: int) -> settings:
    """Settings of a test whose inputs are the same every time."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def write_number(tail: bytes, size: int) -> bytes:
    """Write an extreme number over what is there."""
    number = NUMBERS[size % len(NUMBERS)]
    packed = struct.pack("<I" if number < 2**32 and size % 2 else "<Q", number)
    return packed + tail[len(packed) :]


CHANGES: dict[str, Callable[[bytes, int], bytes]] = {
    "flip": lambda tail, size: bytes(b ^ (1 << size % 8) for b in tail[:1]) + tail[1:],
    "cut": lambda tail, size: tail[size:],
    "copy": lambda tail, size: tail[:size] + tail,
    "word": lambda tail, size: WORDS[size % len(WORDS)] + tail,
    "number": write_number,
    "end": lambda tail, size: b"",
    "swap": lambda tail, size: tail[size : 2 * size] + tail[:size] + tail[2 * size :],
}
"""What becomes of a file from some place on."""


def change(content: bytes, kind: str, place: float, size: int) -> bytes:
    """Change a file in one place.

    Args:
        content: The file.
        kind: One of `CHANGES`.
        place: Where, as a share of its length.
        size: How much, or which word or number.
    """
    at = int(place * len(content))
    return content[:at] + CHANGES[kind](content[at:], size)


def damage(*seeds: bytes) -> st.SearchStrategy[bytes]:
    """Draw one of the files with a few changes, or bytes that are no file at all.

    Args:
        *seeds: Valid files.
    """
    changes = st.lists(
        st.tuples(
            st.sampled_from(tuple(CHANGES)), st.floats(0.0, 1.0), st.integers(0, 64)
        ),
        max_size=5,
    )

    def apply(seed: bytes, steps: list[tuple[str, float, int]]) -> bytes:
        for kind, place, size in steps:
            seed = change(seed, kind, place, size)
        return seed

    damaged = st.builds(apply, st.sampled_from(seeds), changes)
    return st.one_of(damaged, damaged, damaged, st.binary(max_size=200))


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(
            (10**400, -(10**30), "<script>", "[/b]", "\0", "\ud800", 1e308)
        ),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)
"""Anything that JSON can hold."""


@st.composite
def bent(draw: st.DrawFn, value: Any) -> Any:
    """Draw a JSON value of which single parts are missing or are something else.

    Args:
        value: A valid value, nested.
    """
    if isinstance(value, dict):
        return {
            key: draw(bent(part))
            for key, part in value.items()
            if draw(st.integers(0, 30))
        }
    if isinstance(value, list) and value and draw(st.booleans()):
        return [draw(bent(part)) for part in value]
    return value if draw(st.integers(0, 12)) else draw(json_values)

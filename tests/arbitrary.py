"""Values of all kinds for Hypothesis: what a configuration may be given by mistake."""

from __future__ import annotations

import math
from typing import Any, get_args, get_origin

import numpy as np
from hypothesis import strategies as st

from engine.config.hints import is_optional, strip_none

EXTREMES = (
    *(0, 1, -1, 2, 3, 40, 41, 63, 64, 65, 1000, 2**31, 2**32 - 1, 2**32, 2**63, 2**64),
    *(-(2**63), 10**30, 10**309, -(10**400), 10**4000),
)
FLOATS = (
    *(0.0, -0.0, 0.5, 1.0, 1.0 + 2.0**-52, -1.0, 1e-9, 1e-300, 5e-324, 1e9, 1e12),
    *(1e16, 1e30, 1e38, 1e300, 1.7e308, math.inf, -math.inf, math.nan, math.pi),
)
TEXTS = (
    *("", " ", "none", "null", "true", "square", "file", "real", "replay", "fixed"),
    *("../../etc/passwd", "/dev/zero", "/dev/null", "a\0b", "a\nb", "\udce4"),
    *("\u00fc" * 300, "x" * 5000, "${nothing}", "{{7*7}}", "<script>", "'; rm -rf /"),
    *("\x1b[31m", "%s%n", "[/red]"),
)
NUMPY = (np.int64(7), np.float32(0.5), np.float64("nan"), np.bool_(True), np.zeros(3))
OTHERS = (None, True, False, b"bytes", {}, {"a": 1}, [], [1], (), object(), 1j, int)

whole_numbers = st.sampled_from(EXTREMES) | st.integers()
numbers = st.sampled_from(FLOATS) | st.floats()
texts = st.sampled_from(TEXTS) | st.text(max_size=40)
lists = st.lists(st.one_of(whole_numbers, numbers, texts, st.booleans()), max_size=5)
anything = st.one_of(
    whole_numbers,
    numbers,
    texts,
    lists,
    lists.map(tuple),
    st.sampled_from(NUMPY),
    st.sampled_from(OTHERS),
)


def fitting(hint: Any, choices: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """Values of the type that an annotation names, many of them near its limits.

    Args:
        hint: Annotation of a field.
        choices: Words that the field knows, if it is one of some words.
    """
    if get_origin(hint) is tuple:
        item = fitting(get_args(hint)[0])
        return st.lists(item, max_size=4).map(tuple)
    if is_optional(hint):
        return st.none() | fitting(strip_none(hint))
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(0, 300) | whole_numbers
    if hint is float:
        return st.floats(1e-6, 1e3) | numbers
    return st.sampled_from(choices) | texts if choices else texts

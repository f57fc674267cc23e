"""Texts that pass through Hydra's grammar as they were typed.

Hydra reads ``2026_11_23`` as a number and refuses ``rüns`` or ``a=b``, so the value of
a key that holds text is quoted for it where it would not come back the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from engine.config.hints import is_optional, strip_none
from engine.errors import ConfigError, cut, quote
from experiments.schema import find_hint

TEXT_KEYS_OF_HYDRA: Final = ("hydra.sweep.dir",)
"""Hydra's own keys that hold names."""

_UNREADABLE: Final = object()
"""Stands for a value that Hydra's grammar refuses."""
_BEFORE_QUOTE: Final = re.compile(r"(\\*)('|\Z)")
_IN_QUOTES: Final = re.compile(r"(['\"])(.*)\1", re.DOTALL)
_FUNCTION: Final = re.compile(
    r"(choice|range|interval|glob|sort|shuffle|tag)\(.*\)", re.DOTALL
)
"""A value that is meant for a sweep, also where Hydra cannot read it."""
_OPENING: Final = "([{"
_CLOSING: Final = ")]}"


def quote_text(text: str) -> str:
    """Quote a text for Hydra's grammar, where a backslash escapes before quotes only.

    Args:
        text: Such as a folder.
    """
    escaped = _BEFORE_QUOTE.sub(
        lambda found: found[1] * 2 + (r"\'" if found[2] else ""), text
    )
    return f"'{escaped}'"


def unquote_text(text: str) -> str:
    """Undo `quote_text`.

    Args:
        text: A value as Hydra's grammar has it; one without quotes stays as it is.
    """
    match = _IN_QUOTES.fullmatch(text)
    if match is None:
        return text
    escapes = rf"(\\+)({match[1]}|\Z)"
    return re.sub(
        escapes, lambda found: found[1][: len(found[1]) // 2] + found[2], match[2]
    )


def keep_text(word: str) -> str:
    """Quote the value of a key that holds text, where Hydra would alter or refuse it.

    Values that are quoted already, null and functions of sweeps stay; of several values
    each is looked at.

    Args:
        word: Such as ``record.folder=2026_11_23``.

    Returns:
        The word for Hydra, such as ``record.folder='2026_11_23'``.

    Raises:
        ConfigError: It is empty where a name is asked for, or begins with ``~``, which
            no shell replaces there.
    """
    key, _, value = word.partition("=")
    name = key.lstrip("+")
    hint = str | None if name in TEXT_KEYS_OF_HYDRA else find_hint(name)
    if strip_none(hint) is not str:
        return word
    values = list(_split_values(value))
    if is_optional(hint) and not unquote_text(value).strip():
        raise ConfigError(f"{name} is empty; name one, or leave it out.")
    home = next((each for each in values if f"{each}/".startswith("~/")), None)
    if home is not None:
        raise ConfigError(
            f"{name} is {quote(home)}, but the shell leaves ~ as it is there; write "
            f"{name}=$HOME{cut(home[1:])}."
        )
    if len(values) > 1 and all(values) and _is_list(value):
        return f"{key}={','.join(map(_keep_value, values))}"
    return f"{key}={_keep_value(value)}"


def _is_list(value: str) -> bool:
    """Tell whether a text with commas may be a list of values."""
    from hydra.core.override_parser.types import ChoiceSweep

    read = _read(value)
    return read is _UNREADABLE or isinstance(read, ChoiceSweep)


def _keep_value(value: str) -> str:
    """Quote one value, unless Hydra reads it as it stands, or as no plain value."""
    from hydra.core.override_parser.types import Glob, Sweep

    read = _read(value)
    is_kept = read is None or isinstance(read, str | Sweep | Glob)
    is_kept = is_kept or _FUNCTION.fullmatch(value) is not None
    is_same = isinstance(read, int | float) and str(read) == value
    return value if is_kept or is_same else quote_text(value)


def _read(value: str) -> Any:
    """Read a value as Hydra does."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(f"key={value}").value()
    except (HydraException, RecursionError):
        return _UNREADABLE


def _split_values(value: str) -> Iterator[str]:
    """Split at commas that are neither quoted nor in brackets."""
    begin, depth, mark = 0, 0, ""
    for index, letter in enumerate(value):
        if mark:
            mark = "" if letter == mark and value[index - 1] != "\\" else mark
        elif letter in "'\"" and index == begin:
            mark = letter
        elif letter == "," and depth <= 0:
            yield value[begin:index]
            begin = index + 1
        else:
            depth += (letter in _OPENING) - (letter in _CLOSING)
    yield value[begin:]

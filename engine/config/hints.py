"""Types of configuration values: what an annotation accepts, and how to say so.

Imports nothing of the engine but its errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, get_args, get_origin, get_type_hints

import numpy as np

from engine.errors import ConfigError, is_writable, quote

KIND_WORDS: Final[Mapping[object, str]] = MappingProxyType(
    {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        dict: "a table of names and values",
    }
)
_EXAMPLES: Final[Mapping[object, str]] = MappingProxyType(
    {bool: "[true,false]", str: "[a,b]"}
)
_PYTHON_WORDS: Final = {"None": "null", "True": "true", "False": "false"}


def list_hints(config_class: type[Any]) -> Mapping[str, Any]:
    """Resolve the annotations of a configuration dataclass.

    Args:
        config_class: One of the dataclasses of `engine.config`.

    Returns:
        Field names and their types, in the order of declaration.
    """
    key: Any = config_class
    return _resolve_hints(key)


@cache
def _resolve_hints(config_class: Any) -> Mapping[str, Any]:
    hints = get_type_hints(config_class)
    return MappingProxyType({f.name: hints[f.name] for f in fields(config_class)})


def describe_hint(hint: Any) -> str:
    """Say in words what a type accepts, such as ``a list of whole numbers``.

    Args:
        hint: Annotation of a field.
    """
    if is_dataclass(hint):
        return "a group of keys"
    if get_origin(hint) in (tuple, list):
        item = get_args(hint)[0]
        example = _EXAMPLES.get(item, "[64,64]")
        return f"a list such as {example}, each entry {describe_hint(item)}"
    if is_optional(hint):
        return f"{KIND_WORDS[strip_none(hint)]} or null"
    return KIND_WORDS[hint]


def wrong_type(key: str, got: object, hint: Any) -> ConfigError:
    """Build the error for a value of the wrong type.

    Args:
        key: Full key.
        got: The value that was given.
        hint: Annotation of the field.

    Returns:
        The error, not raised.
    """
    shown = quote(got)
    shown = _PYTHON_WORDS.get(shown, shown)
    return ConfigError(f"{key} is {shown}; it must be {describe_hint(hint)}.")


def is_optional(hint: Any) -> bool:
    """Tell whether an annotation accepts None."""
    return type(None) in get_args(hint)


def strip_none(hint: Any) -> Any:
    """Reduce ``float | None`` to ``float``."""
    if not is_optional(hint):
        return hint
    return next(part for part in get_args(hint) if part is not type(None))


def check_types(group: str, config: object) -> None:
    """Check that every value of a group has the type that its annotation names.

    A configuration that came from YAML has been converted by then; one that was built
    in Python may hold anything.

    Args:
        group: Name of the group with its dot, such as ``lattice.``.
        config: One of the dataclasses of `engine.config`.

    Raises:
        ConfigError: A value has another type, or holds more than a number can.
    """
    for name, hint in list_hints(type(config)).items():
        check_type(f"{group}{name}", getattr(config, name), hint)


def check_type(key: str, value: object, hint: Any) -> None:
    """Check that a value has the type that an annotation names.

    Args:
        key: Full key, for the sentence.
        value: The value.
        hint: The annotation.

    Raises:
        ConfigError: It has another type, or holds more than a number can.
    """
    if get_origin(hint) in (tuple, list):
        if not isinstance(value, tuple | list):
            raise wrong_type(key, value, hint)
        for index, entry in enumerate(value):
            check_type(f"{key}[{index}]", entry, get_args(hint)[0])
        return
    if get_origin(hint) is dict:
        hint = dict
    if value is None and is_optional(hint):
        return
    bare = strip_none(hint)
    if not _is_kind(value, bare):
        raise wrong_type(key, value, hint)
    if bare is str and not is_writable(str(value)):
        raise ConfigError(
            f"{key} is {quote(value)}, which holds a character that no file name or "
            "text may hold; leave it out."
        )
    if isinstance(value, int) and abs(value) > 2**1023:
        raise ConfigError(
            f"{key} is a number of {value.bit_length()} bits, which no computation "
            "here can hold; give a smaller one."
        )


def _is_kind(value: object, kind: Any) -> bool:
    """Tell whether a value is of a plain type; NumPy's scalars count as Python's."""
    is_flag = isinstance(value, bool | np.bool_)
    if kind is bool:
        return is_flag
    if kind is int:
        return isinstance(value, int | np.integer) and not is_flag
    if kind is float:
        return isinstance(value, int | float | np.integer | np.floating) and not is_flag
    return isinstance(value, kind)

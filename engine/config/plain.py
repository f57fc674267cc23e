"""A configuration from plain values, as YAML or JSON give them, and its keys."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar, get_args, get_origin
from typing import get_type_hints as _get_type_hints

from engine.config.run import RunConfig
from engine.errors import ConfigError

Config = TypeVar("Config")

_KIND_WORDS: Final[Mapping[object, str]] = types.MappingProxyType(
    {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
    }
)


def list_hints(config_class: type[Any]) -> Mapping[str, Any]:
    """Resolve the annotations of a configuration dataclass.

    Args:
        config_class: One of the dataclasses of `engine.config`.

    Returns:
        Field names and their types, in the order of declaration.
    """
    hints = _get_type_hints(config_class)
    return types.MappingProxyType({f.name: hints[f.name] for f in fields(config_class)})


def list_keys(config_class: type[Any] = RunConfig, prefix: str = "") -> Iterator[str]:
    """List every full key, such as ``lattice.kind``.

    Args:
        config_class: Where to begin.
        prefix: Key of that place, with its dot.
    """
    for name, hint in list_hints(config_class).items():
        if is_dataclass(hint):
            yield from list_keys(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            yield f"{prefix}{name}"


def describe_hint(hint: Any) -> str:
    """Say in words what a type accepts, such as ``a list of whole numbers``.

    Args:
        hint: Annotation of a field.
    """
    if is_dataclass(hint):
        return "a group of keys"
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        example = "[true,false]" if item is bool else "[64,64]"
        return f"a list such as {example}, each entry {_KIND_WORDS[item]}"
    if is_optional(hint):
        return f"{_KIND_WORDS[_strip_none(hint)]} or null"
    return _KIND_WORDS[hint]


def unknown_key(key: str) -> ConfigError:
    """Build the error for an unknown key, the nearest keys first.

    Args:
        key: Full key that was given.

    Returns:
        The error, not raised.
    """
    nearest = difflib.get_close_matches(key, list(list_keys()), n=4, cutoff=0.0)
    names = ", ".join(nearest)
    return ConfigError(f"{key} is not a configuration key; the nearest are: {names}.")


def wrong_type(key: str, got: object, hint: Any) -> ConfigError:
    """Build the error for a value of the wrong type.

    Args:
        key: Full key.
        got: The value that was given.
        hint: Annotation of the field.

    Returns:
        The error, not raised.
    """
    words = {"None": "null", "True": "true", "False": "false"}
    shown = words.get(repr(got), repr(got))
    return ConfigError(f"{key} is {shown}; it must be {describe_hint(hint)}.")


def run_config_from_dict(values: Mapping[str, Any]) -> RunConfig:
    """Build a run configuration from nested plain values; absent keys keep defaults.

    Args:
        values: Such as the content of a run folder's ``config.yaml``.

    Returns:
        The frozen run configuration, not validated.

    Raises:
        ConfigError: A key is unknown or a value has the wrong type.
    """
    return _convert_group(RunConfig, values, "")


def _convert_group(
    kind: type[Config], values: Mapping[str, Any], prefix: str
) -> Config:
    hints = list_hints(kind)
    for name in values:
        if name not in hints:
            raise unknown_key(f"{prefix}{name}")
    converted = {
        name: convert_value(f"{prefix}{name}", value, hints[name])
        for name, value in values.items()
    }
    return kind(**converted)


def convert_value(key: str, value: Any, hint: Any) -> Any:
    """Convert one value to its annotated type.

    Args:
        key: Full key, for the sentence.
        value: Plain value, as YAML or JSON gives it.
        hint: Annotation of the field.

    Returns:
        The value in that type.

    Raises:
        ConfigError: It has another type.
    """
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise wrong_type(key, value, hint)
        return _convert_group(hint, value, f"{key}.")  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise wrong_type(key, value, hint)
        item = get_args(hint)[0]
        return tuple(
            convert_value(f"{key}[{i}]", entry, item) for i, entry in enumerate(value)
        )
    if value is None and is_optional(hint):
        return None
    bare = _strip_none(hint)
    if bare is float and type(value) is int:
        return float(value)
    if type(value) is not bare:
        raise wrong_type(key, value, hint)
    return value


def is_optional(hint: Any) -> bool:
    """Tell whether a type accepts None."""
    return type(None) in get_args(hint)


def _strip_none(hint: Any) -> Any:
    """Reduce ``float | None`` to ``float``."""
    if not is_optional(hint):
        return hint
    return next(part for part in get_args(hint) if part is not type(None))

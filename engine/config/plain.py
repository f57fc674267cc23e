"""A configuration from plain values, as YAML or JSON give them, and its keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, TypeVar, get_args, get_origin

from engine.config.hints import check_type, list_hints, strip_none, wrong_type
from engine.config.run import RunConfig
from engine.errors import ConfigError, cut

Config = TypeVar("Config")


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


def unknown_key(key: str) -> ConfigError:
    """Build the error for an unknown key, the nearest keys first.

    Args:
        key: Full key that was given.

    Returns:
        The error, not raised.
    """
    key = cut(key)
    nearest = difflib.get_close_matches(key.lower(), list(list_keys()), 4, cutoff=0.0)
    names = ", ".join(nearest)
    return ConfigError(f"{key} is not a configuration key; the nearest are: {names}.")


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
        ConfigError: It has another type, or holds more than a number can.
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
    check_type(key, value, hint)
    is_whole = strip_none(hint) is float and isinstance(value, int)
    return float(value) if is_whole else value

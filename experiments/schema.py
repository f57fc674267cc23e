"""The strict schema of the configuration, and the way back to frozen dataclasses.

Both directions derive from the dataclasses of `engine.config`, so a new field there
is a new key here. OmegaConf is imported only where a composed configuration is read.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass, make_dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args, get_origin

from engine.config import RunConfig
from engine.config.hints import is_optional, list_hints, strip_none, wrong_type
from engine.errors import ConfigError, cut

if TYPE_CHECKING:
    from omegaconf import DictConfig

Config = TypeVar("Config")

SCHEMA_NAME: Final = "schema"
"""Name of the root schema in Hydra's ConfigStore."""


def build_schema(config_class: type[Any]) -> type[Any]:
    """Generate the strict Hydra schema of a configuration dataclass.

    The result is not frozen (OmegaConf would refuse overrides), its tuples are lists,
    and its nested dataclasses are schemas in turn.

    Args:
        config_class: One of the frozen dataclasses of `engine.config`.

    Returns:
        A dataclass with the same field names and defaults.
    """
    hints = list_hints(config_class)
    rows = [_build_field(f, hints[f.name]) for f in fields(config_class)]
    name = config_class.__name__.replace("Config", "Schema")
    return make_dataclass(name, rows, namespace={"__module__": __name__})


def _build_field(source: Field[Any], hint: Any) -> tuple[str, Any, Any]:
    if is_dataclass(hint):
        schema = build_schema(hint)  # type: ignore[arg-type]
        return source.name, schema, field(default_factory=schema)
    if get_origin(hint) is tuple:
        factory = field(
            default_factory=lambda: list(cast("tuple[Any]", source.default))
        )
        return source.name, types.GenericAlias(list, (get_args(hint)[0],)), factory
    default = source.default if source.default is not MISSING else None
    return source.name, hint, field(default=default)


def register_schema() -> None:
    """Put the root schema, with one strict class per group, into the ConfigStore."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(
        name=SCHEMA_NAME, node=build_schema(RunConfig), provider="scribble"
    )


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


def find_hint(key: str) -> Any | None:
    """Look up the type of a full key.

    Args:
        key: Such as ``lattice.shape`` or ``lattice.shape[0]``.

    Returns:
        The annotation, or None where there is no such key.
    """
    hint: Any = RunConfig
    for part in key.replace("[", ".").replace("]", "").split("."):
        if is_dataclass(hint):
            hint = list_hints(hint).get(part)  # type: ignore[arg-type]
        elif get_origin(hint) is tuple and part.isdigit():
            hint = get_args(hint)[0]
        else:
            return None
    return hint


def unknown_key(key: str) -> ConfigError:
    """Build the error for an unknown key, the nearest keys first.

    Args:
        key: Full key that was given.

    Returns:
        The error, not raised.
    """
    key = cut(key)
    nearest = difflib.get_close_matches(key, list(list_keys()), n=4, cutoff=0.0)
    names = ", ".join(nearest)
    return ConfigError(f"{key} is not a configuration key; the nearest are: {names}.")


def to_run_config(composed: DictConfig) -> RunConfig:
    """Convert a composed Hydra configuration; `validate()` is left to the caller.

    Args:
        composed: What Hydra composed, without its own ``hydra`` node.

    Returns:
        The frozen run configuration.

    Raises:
        ConfigError: A key is unknown or a value has the wrong type.
        omegaconf.errors.OmegaConfBaseException: An interpolation cannot be resolved.
    """
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return run_config_from_dict({str(key): value for key, value in plain.items()})


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
    bare = strip_none(hint)
    if bare is float and type(value) is int and abs(value) < 2**1023:
        return float(value)
    if type(value) is not bare:
        raise wrong_type(key, value, hint)
    return value

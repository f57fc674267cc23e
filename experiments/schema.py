"""The strict schema of the configuration, and the way back to frozen dataclasses.

Both directions derive from the dataclasses of `engine.config`, so a new field there
is a new key here; `engine.config.plain` has the way back. OmegaConf is imported only
where a composed configuration is read.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, Field, field, fields, is_dataclass, make_dataclass
from typing import TYPE_CHECKING, Any, Final, cast, get_args, get_origin

from engine.config import RunConfig
from engine.config.hints import describe_hint, list_hints, wrong_type
from engine.config.plain import (
    convert_value,
    list_keys,
    run_config_from_dict,
    unknown_key,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = [
    "build_schema",
    "convert_value",
    "describe_hint",
    "find_hint",
    "list_hints",
    "list_keys",
    "register_schema",
    "run_config_from_dict",
    "to_run_config",
    "unknown_key",
    "wrong_type",
]

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

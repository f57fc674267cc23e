"""Words ``key=value`` for one configuration dataclass, without Hydra."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypeVar, cast, get_origin

from engine.config.hints import list_hints
from engine.errors import ConfigError, cut, quote
from engine.intake import parse_json
from experiments.schema import convert_value

Config = TypeVar("Config")

_UNITS: Final[Mapping[str, int]] = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_AMOUNT: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,18})?) ?([kKMG]?i?B)")


def parse_settings(config_class: type[Config], words: Sequence[str]) -> Config:
    """Build a configuration from words; what is not named keeps its default.

    Args:
        config_class: A frozen dataclass with annotated fields.
        words: Such as ``cpu=0.6``, ``cpu=[0.9,0.1]`` or ``memory_bytes=2GiB``.

    Returns:
        The configuration, not validated.

    Raises:
        ConfigError: A word is no setting, names an unknown key or twice the same, or
            its value has the wrong type.
    """
    hints = list_hints(config_class)
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError(
                f"{quote(word)} is not a setting; write key=value, such as "
                f"{next(iter(hints))}=0.6."
            )
        if key not in hints:
            key = cut(key)
            near = difflib.get_close_matches(key, hints, n=4, cutoff=0.0)
            raise ConfigError(
                f"{key} is not a setting of this command; the nearest are: "
                f"{', '.join(near)}."
            )
        if key in values:
            raise ConfigError(f"{key} is given twice; give it once.")
        values[key] = _convert(key, text, hints[key])
    return config_class(**values)


def describe_fields(config_class: type[Any]) -> Iterator[tuple[str, str, str]]:
    """List the fields of a configuration with what their docstrings say.

    Args:
        config_class: A dataclass whose fields are each followed by a docstring.

    Yields:
        Name, default and meaning.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(config_class)))
    body = cast("ast.ClassDef", tree.body[0]).body
    defaults = config_class()
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            name = ast.unparse(field.target)
            meaning = " ".join(str(ast.literal_eval(text.value)).split())
            yield name, _show(getattr(defaults, name)), meaning


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        shown = [_show(entry) for entry in value]
        return shown[0] if len(shown) == 1 else f"[{','.join(shown)}]"
    return "null" if value is None else str(value)


def _convert(key: str, text: str, hint: Any) -> Any:
    value = _read(text)
    if key.endswith("_bytes") and (amount := _AMOUNT.fullmatch(text)):
        unit = _UNITS.get(amount[2])
        value = text if unit is None else int(float(amount[1]) * unit)
    if key.endswith("_bytes") and isinstance(value, str):
        raise ConfigError(
            f"{key} is {quote(value)}; it must be a whole number of bytes, or an "
            f"amount in one of {', '.join(_UNITS)}, such as {key}=2GiB."
        )
    if get_origin(hint) is tuple and isinstance(value, int | float):
        value = [value]
    if hint in (str, str | None) and value is not None:
        value = text
    if get_origin(hint) is tuple and not isinstance(value, list):
        raise ConfigError(
            f"{key} is {quote(value)}; it must be a number, or a list of numbers such "
            f"as {key}=[0.5,0.1]."
        )
    return convert_value(key, value, hint)


def _read(text: str) -> Any:
    """Read a word as JSON would, numbers also as Python writes them."""
    for read in (parse_json, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text

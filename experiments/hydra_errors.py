"""What Hydra and OmegaConf raise, in one sentence for who typed the words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from engine.config.hints import wrong_type
from engine.errors import ConfigError, cut, quote, unknown_choice
from experiments.schema import find_hint, unknown_key

_SEVERAL_VALUES: Final = re.compile(r"(?:Ambiguous value for argument|Sweep) .*'(.+)'")


def translate_error(error: BaseException, overrides: Sequence[str] = ()) -> ConfigError:
    """Turn an exception of Hydra or OmegaConf into one sentence.

    Args:
        error: The exception; its causes are looked at too.
        overrides: What was typed, to name the key as the user did.

    Returns:
        The error, not raised.
    """
    links = list(_walk_causes(error))
    for link in links:
        found = _translate_link(link, overrides)
        if found is not None:
            return found
    key = getattr(links[-1], "full_key", None)
    text = str(getattr(links[-1], "msg", links[-1])).split("full_key:")[0]
    sentence = " ".join(text.split()).rstrip(".")
    return ConfigError(f"{key}: {sentence}." if key else f"{sentence}.")


def _walk_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _translate_link(
    link: BaseException, overrides: Sequence[str]
) -> ConfigError | None:
    """Recognise one exception of the chain."""
    if isinstance(link, ConfigError):
        return link
    return (
        _recognise_grammar(link)
        or _recognise_choice(link)
        or _recognise_key(link, overrides)
        or _recognise_type(link)
    )


def _recognise_grammar(link: BaseException) -> ConfigError | None:
    from hydra.errors import OverrideParseException

    if isinstance(link, OverrideParseException):
        return _build_unread(str(link.override))
    several = _SEVERAL_VALUES.match(str(link).split("\n", 1)[0])
    return None if several is None else several_values(several[1])


def _build_unread(word: str) -> ConfigError:
    """Build the error for a word that is not of Hydra's grammar."""
    key = word.partition("=")[0].lstrip("+")
    is_group = any(mark in key for mark in ("hydra", "experiment", "@"))
    if not is_group and find_hint(key) is None:
        return unknown_key(key)
    return ConfigError(
        f"{quote(word)} cannot be read; quote lists for the shell, as in "
        f"'lattice.shape=[64,64]', and text twice, as in '{cut(key)}=\"...\"'."
    )


def several_values(word: str) -> ConfigError:
    """Build the error for a word with several values where only one can be taken.

    Args:
        word: Such as ``seed=1,2``.

    Returns:
        The error, not raised.
    """
    return ConfigError(
        f"{quote(word)} names several values; write [a,b] for a list, or add -m to "
        "scribble run, which then runs once for each."
    )


def _recognise_choice(link: BaseException) -> ConfigError | None:
    from hydra.errors import MissingConfigException

    if not isinstance(link, MissingConfigException) or not link.options:
        return None
    group, _, choice = str(link.missing_cfg_file).rpartition("/")
    return unknown_choice(group, choice, link.options)


def _recognise_key(link: BaseException, overrides: Sequence[str]) -> ConfigError | None:
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError

    if not isinstance(link, (ConfigKeyError, ConfigAttributeError)):
        return None
    key = _typed_key(str(link.full_key), overrides)
    if key.startswith("hydra"):
        return ConfigError(f"{key} is not a setting of Hydra.")
    return unknown_key(key)


def _recognise_type(link: BaseException) -> ConfigError | None:
    from omegaconf.errors import ValidationError

    if not isinstance(link, ValidationError):
        return None
    hint = find_hint(str(link.full_key))
    return None if hint is None else wrong_type(str(link.full_key), link.value, hint)


def _typed_key(key: str, overrides: Sequence[str]) -> str:
    """Find the whole key that was typed where Hydra names only its beginning."""
    typed = (word.partition("=")[0].lstrip("+") for word in overrides)
    return next((k for k in typed if k == key or k.startswith(f"{key}.")), key)

"""The trials of a sweep: every value of every word is composed once.

Hydra takes some 0.1 s to compose a configuration, so a thousand seeds would wait for
minutes before the first job. Where a trial differs from the first one by settings only,
not by choices of groups, they are written into a copy of that one, as Hydra does at the
end of composing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from experiments.hydra_errors import translate_error
from experiments.overrides import compose_node, list_groups
from experiments.sweep.plan import Axis, key_of_word, parse_words

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

SEARCH_PATH = "hydra.searchpath"


def list_trials(axes: Sequence[Axis]) -> list[list[str]]:
    """List combinations in which every point occurs: their sum, not their product.

    Args:
        axes: From `span_axes`.
    """
    lists = [points for _, points in axes]
    first = [points[0] for points in lists]
    chosen = [first]
    for index, points in enumerate(lists):
        chosen += [[*first[:index], p, *first[index + 1 :]] for p in points[1:]]
    return [[word for point in points for word in point] for points in chosen]


def compose_trials(
    trials: Sequence[Sequence[str]], hydra_words: Sequence[str] = ()
) -> Iterator[DictConfig]:
    """Compose trials inside `open_hydra`.

    Args:
        trials: From `list_trials`.
        hydra_words: Words for Hydra, such as its search path.

    Yields:
        The node of each trial.

    Raises:
        ConfigError: Hydra refuses a word.
    """
    groups = set(list_groups())
    has_own_groups = any(key_of_word(word) == SEARCH_PATH for word in hydra_words)
    first = compose_node([*hydra_words, *trials[0]])
    yield first
    for trial in trials[1:]:
        words = [word for word in trial if word not in trials[0]]
        settings = parse_words(words)
        are_plain = all(_is_plain(each, trial, groups) for each in settings)
        if are_plain and not has_own_groups:
            yield _set_values(first, settings, words)
        else:
            yield compose_node([*hydra_words, *trial])


def _is_plain(setting: Override, trial: Sequence[str], groups: set[str]) -> bool:
    """Tell whether a setting changes one key that no other word of the trial sets."""
    key = setting.key_or_group
    others = [other for other in map(key_of_word, trial) if other != key]
    is_group = key in groups or setting.package is not None
    is_change = not setting.is_add() and not setting.is_force_add()
    touched = any(o.startswith(key) or key.startswith(f"{o}.") for o in others)
    return is_change and not is_group and not touched


def _set_values(
    first: DictConfig, settings: Sequence[Override], words: Sequence[str]
) -> DictConfig:
    """Return a copy of the first trial with other values."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    node = copy.deepcopy(first)
    try:
        for setting in settings:
            OmegaConf.update(node, setting.key_or_group, setting.value(), merge=True)
    except OmegaConfBaseException as error:
        raise translate_error(error, words) from error
    return node

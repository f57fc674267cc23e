"""From ``key=value`` words on the command line to one validated `RunConfig`.

Hydra composes; its exceptions leave as one `ConfigError` sentence.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.config import RunConfig
from engine.errors import ConfigError, cut, quote, unknown_choice
from experiments.hydra_errors import translate_error
from experiments.outcome import MissingPackageError
from experiments.quoting import keep_text
from experiments.schema import register_schema, to_run_config

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONF_PACKAGE: Final = "conf"
"""Importable package that holds the YAML files."""
CONFIG_NAME: Final = "config"
"""The primary configuration file."""
EXPERIMENT_GROUP: Final = "experiment"
"""The one group that is appended, not chosen: ``+experiment=demo``."""
VERSION_BASE: Final = "1.3"
"""Hydra behaviour that the configuration was written for."""

POLICY_KEY: Final = "rollout.policy"
"""Stands for `POLICY_CHOICE`: the choice of conf/tunnel that is rolled out."""
POLICY_CHOICE: Final = "tunnel@rollout.tunnel"
"""What Hydra calls the choice that fills rollout.tunnel."""

_PLAIN_WORDS: Final = re.compile(r"[\w./-]*(,[\w./-]*)*")


def require_hydra() -> None:
    """Make sure that Hydra can be imported.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        import hydra  # noqa: F401 - the import is the check
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "This command reads its configuration with Hydra, which is not installed; "
            "run: pip install 'hydra-core>=1.3.8,<1.5'."
        ) from error


def refuse_foreign_conf() -> None:
    """Make sure that ``conf`` is the package that was shipped with this one.

    Raises:
        ConfigError: A package or module of the same name comes first on `sys.path`.
    """
    spec = importlib.util.find_spec(CONF_PACKAGE)
    if spec is None:
        return  # whoever reads it says that it is missing
    shipped = Path(__file__).resolve().parents[1] / CONF_PACKAGE
    places = [Path(place).resolve() for place in spec.submodule_search_locations or ()]
    if shipped not in places:
        found = spec.origin or next(iter(places), "unknown")
        raise ConfigError(
            f"{CONF_PACKAGE} is {found}, but Scribble's own is {shipped}; rename yours "
            "or take its folder off PYTHONPATH (or start elsewhere)."
        )


def list_groups() -> dict[str, list[str]]:
    """List the configuration groups and the choices that each one ships.

    Returns:
        Group names and their choices, both sorted.

    Raises:
        ConfigError: Another package hides the shipped one.
    """
    refuse_foreign_conf()
    root = resources.files(CONF_PACKAGE)
    folders = sorted(
        (entry for entry in root.iterdir() if entry.is_dir()), key=lambda e: e.name
    )
    groups = {folder.name: _list_choices(folder) for folder in folders}
    return {name: choices for name, choices in groups.items() if choices}


def _list_choices(folder: Any) -> list[str]:
    names = (entry.name for entry in folder.iterdir())
    return sorted(n.removesuffix(".yaml") for n in names if n.endswith(".yaml"))


def tidy_overrides(overrides: Sequence[str]) -> list[str]:
    """Check the form of overrides and group choices before Hydra sees them.

    Every key but an experiment has a place in the schema, so a leading ``+`` only
    matters for experiments, where it may be left out.

    Args:
        overrides: Words such as ``lattice=chain`` or ``dynamics.dt_s=1e-4``.

    Returns:
        The overrides in the form that Hydra wants.

    Raises:
        ConfigError: A word is not a setting, or names an unknown choice.
    """
    groups = list_groups()
    own_paths = any(word.startswith("hydra.searchpath") for word in overrides)
    return [_tidy_override(word, groups, own_paths=own_paths) for word in overrides]


def _tidy_override(word: str, groups: dict[str, list[str]], *, own_paths: bool) -> str:
    key, equals, value = word.partition("=")
    if key.startswith("~"):
        raise ConfigError(
            f"{quote(word)} would remove {cut(key[1:])}; every key is needed, so "
            "set it to another value or, where it may be empty, to null."
        )
    if not equals or not key.strip("+ "):
        raise ConfigError(
            f"{quote(word)} is not a setting; write key=value, such as "
            "dynamics.duration_s=5."
        )
    if key.lstrip("+").startswith("hydra"):
        return keep_text(word)
    name = key.lstrip("+")
    choices = groups.get("tunnel" if name == POLICY_KEY else name)
    if choices is not None and not own_paths and _PLAIN_WORDS.fullmatch(value):
        for choice in value.split(","):
            if choice not in choices:
                raise unknown_choice(name, choice, choices)
    if name == POLICY_KEY:
        name = POLICY_CHOICE
    plus = "+" if name == EXPERIMENT_GROUP else ""
    return keep_text(f"{plus}{name}={value}")


def refuse_doubles(words: Sequence[str]) -> None:
    """Refuse keys that are given more than once, for only the last would count.

    Args:
        words: Settings, as typed or tidy.

    Raises:
        ConfigError: A key is given twice.
    """
    keys = [word.partition("=")[0].lstrip("+") for word in words if "=" in word]
    names = [POLICY_KEY if key == POLICY_CHOICE else key for key in keys]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{cut(twice)} is given twice; give it once.")


@contextmanager
def open_hydra() -> Iterator[None]:
    """Open Hydra's compose API on the shipped configuration.

    Raises:
        MissingPackageError: Hydra is not installed.
    """
    require_hydra()
    from hydra import initialize_config_module

    from experiments.plugins import register_plugins

    register_schema()
    register_plugins()
    with initialize_config_module(
        CONF_PACKAGE, job_name="scribble", version_base=VERSION_BASE
    ):
        yield


def compose_node(overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose one configuration inside `open_hydra`; nothing touches the disk.

    Args:
        overrides: Tidy overrides, without sweeps.
        with_hydra: Whether to keep Hydra's own node.

    Returns:
        The composed node.

    Raises:
        ConfigError: Hydra refuses an override.
    """
    from hydra import compose
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        return compose(CONFIG_NAME, list(overrides), return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise translate_error(error, overrides) from error
    except (OSError, RecursionError) as error:  # a name too long, brackets too deep
        raise ConfigError(
            f"{cut(' '.join(overrides))} cannot be looked up ({error}); name a key of "
            "the configuration."
        ) from error


def compose_run_config(overrides: Sequence[str]) -> RunConfig:
    """Compose, convert and validate the configuration of a single run.

    Args:
        overrides: Words as typed, such as ``lattice=chain``.

    Returns:
        The frozen configuration.

    Raises:
        ConfigError: A key, a choice, a type or a value is not allowed.
        MissingPackageError: Hydra is not installed.
    """
    require_hydra()
    tidy = tidy_overrides(overrides)
    with open_hydra():
        composed = compose_node(tidy)
        refuse_idle_words(tidy)
        return convert_node(composed, tidy)


def refuse_idle_words(words: Sequence[str], *, is_sweep: bool = False) -> None:
    """Refuse words for Hydra that would change nothing.

    Args:
        words: Tidy overrides.
        is_sweep: Whether they are of a sweep; launchers and sweepers have a meaning
            there.

    Raises:
        ConfigError: A word has no effect; names the key that has.
    """
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        if key == "hydra.run.dir":
            folder = "hydra.sweep.dir" if is_sweep else "record.folder"
            raise ConfigError(
                f"hydra.run.dir is {quote(value)}, but {folder} decides where this is "
                f"recorded; write {folder}={cut(value)}."
            )
        is_idle = key.startswith("hydra") and key != "hydra.searchpath"
        if is_idle and not is_sweep:
            raise ConfigError(
                f"{key} has no effect on a single run; leave it out, or add -m for a "
                "sweep."
            )


def convert_node(composed: DictConfig, overrides: Sequence[str] = ()) -> RunConfig:
    """Convert a composed node to a validated `RunConfig`.

    Args:
        composed: Configuration without Hydra's own node.
        overrides: The overrides it came from, for a better sentence.

    Returns:
        The frozen configuration.

    Raises:
        ConfigError: A key, a type or a value is not allowed.
    """
    config = read_node(composed, overrides)
    config.validate()
    return config


def read_node(composed: DictConfig, overrides: Sequence[str] = ()) -> RunConfig:
    """Convert a composed node to a `RunConfig` that may not be valid.

    Args:
        composed: Configuration without Hydra's own node.
        overrides: The overrides it came from, for a better sentence.

    Returns:
        The frozen configuration.

    Raises:
        ConfigError: A key or a type is not allowed.
    """
    from omegaconf.errors import OmegaConfBaseException

    try:
        return to_run_config(composed)
    except OmegaConfBaseException as error:
        raise translate_error(error, overrides) from error


def to_plain_node(node: DictConfig) -> dict[str, Any]:
    """Convert a group of a composed node as it stands, interpolations unresolved.

    Args:
        node: Such as ``composed.record``.
    """
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(node, resolve=False)
    return (
        {str(key): value for key, value in plain.items()}
        if isinstance(plain, dict)
        else {}
    )

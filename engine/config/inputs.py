"""The files that a configuration names, and that its run is going to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ConfigError, quote

if TYPE_CHECKING:
    from engine.config.run import RunConfig


def list_inputs(config: RunConfig) -> dict[str, str]:
    """List the files and folders that a run reads.

    Args:
        config: The run.

    Returns:
        Their paths, by the keys that name them; those that are set but not read are
        left out.
    """
    load = config.load
    replays = load.kind == "replay" or (load.kind, load.profile) == ("real", "trace")
    given = config.lattice.distribution == "given"
    named = {
        "lattice.frequencies_path": config.lattice.frequencies_path if given else None,
        "bridges.path": config.bridges.path if config.bridges.kind == "file" else None,
        "load.trace": load.trace if replays else None,
        "mesh.policy_path": (
            config.mesh.policy_path if config.mesh.rule == "learned" else None
        ),
    }
    return {key: path for key, path in named.items() if path}


def check_inputs(config: RunConfig) -> None:
    """Make sure that the files of a run are there, before anything waits for them.

    What is in them is checked when they are read.

    Args:
        config: The run, validated.

    Raises:
        ConfigError: One is not there.
    """
    for key, path in list_inputs(config).items():
        try:
            is_there = Path(path).exists()
        except (OSError, ValueError):  # a name too long, or with a null character
            is_there = False
        if not is_there:
            raise ConfigError(
                f"{key} is {quote(path)}, and there is no such file; name one that "
                f"exists, relative to {Path.cwd()} or absolute."
            )

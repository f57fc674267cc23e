"""A run that was cut off, gone on with in its own folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.config import RunConfig
from engine.errors import CheckpointError, ConfigError, cut
from experiments import outcome
from experiments.run import execute_run, show_run

if TYPE_CHECKING:
    from engine.recording import RunSummary
    from engine.system import ScribbleSystem


ALLOWED_GROUPS: Final = ("backend", "record", "metrics")
"""Groups of keys that change where and how a run is computed and told of, not what it
comes to."""
OWN_KEYS: Final = ("record.folder", "record.overwrite")
"""Keys of these groups that a run in its own folder cannot change."""


def resume_run(
    folder: Path,
    words: Sequence[str] = (),
    *,
    backend: str | None = None,
    threads: int | None = None,
    is_quiet: bool = False,
) -> int:
    """Go on with a run from its newest whole checkpoint.

    Args:
        folder: Run folder.
        words: Settings for the time to come, such as ``metrics=http``.
        backend: Name of another back end.
        threads: Another number of threads, >= 1.
        is_quiet: Show nothing but the closing line.

    Returns:
        Exit code; 0 also where nothing is left to do, so that a script may ask again.

    Raises:
        CheckpointError: There is nothing to go on from, or it does not fit.
        ConfigError: A word is no setting, or would make another run of it.
        EngineError: The machine or the folder does not allow the run.
    """
    check_words(words)
    from engine.recording.folder import tidy_folder
    from engine.system.resumption import read_status

    if read_status(folder) == "done":
        tidy_folder(folder)
        sys.stdout.write(f"{folder} is finished; there is nothing to resume.\n")
        return outcome.DONE
    summary = execute_resumption(
        folder, words, backend=backend, threads=threads, is_quiet=is_quiet
    )
    return outcome.code_of_status(summary.status)


def go_on_or_begin(config: RunConfig, *, is_quiet: bool = False) -> RunSummary:
    """Go on from a checkpoint of the same run, if its folder holds one; else begin.

    What an earlier attempt has left there is removed before a run begins.

    Args:
        config: Validated configuration.
        is_quiet: Show nothing but the closing line.

    Returns:
        What the run came to.

    Raises:
        EngineError: The machine or the folder does not allow the run.
    """
    from engine.recording.checkpoint import list_checkpoints
    from engine.recording.folder import JOB_FILES, clear_folder

    folder = Path(config.record.folder) if config.record.folder is not None else None
    if folder is None or not list_checkpoints(folder):
        return execute_run(config, is_quiet=is_quiet)
    if _is_same_run(config, folder):
        backend, threads = config.backend.name, config.backend.threads
        return execute_resumption(
            folder, backend=backend, threads=threads, is_quiet=is_quiet
        )
    clear_folder(folder, kept=JOB_FILES)
    return execute_run(config, is_quiet=is_quiet)


def _is_same_run(config: RunConfig, folder: Path) -> bool:
    """Tell whether a folder can be gone on with, and is of this configuration."""
    from engine.system.resumption import build_config, find_checkpoint

    try:
        own = build_config(find_checkpoint(folder), folder, config.backend)
    except CheckpointError:
        return False
    return replace(own, record=config.record) == config


def check_words(words: Sequence[str]) -> None:
    """Refuse settings that would make another run of one that goes on.

    Args:
        words: As typed, such as ``record.checkpoint_wall_s=600``.

    Raises:
        ConfigError: A word sets another key than those of `ALLOWED_GROUPS`.
    """
    for word in words:
        key, equals, _ = word.partition("=")
        group = key.split(".")[0]
        if equals and key in OWN_KEYS:
            raise ConfigError(
                f"{cut(key)} cannot be set when a run is resumed, for it goes on in "
                "its own folder; copy the folder to go on elsewhere."
            )
        if equals and group not in ALLOWED_GROUPS:
            groups = f"{', '.join(ALLOWED_GROUPS[:-1])} and {ALLOWED_GROUPS[-1]}"
            raise ConfigError(
                f"{cut(key)} cannot be set when a run is resumed, for it would be "
                f"another run. Only keys of {groups} can be set; for any other, start "
                "a new run."
            )


def change_config(config: RunConfig, words: Sequence[str]) -> RunConfig:
    """Change how a run goes on.

    Args:
        config: The run, as it was begun.
        words: Allowed settings; a choice such as ``metrics=http`` stands for all keys
            of its group but the folder.

    Returns:
        The same run with these settings.

    Raises:
        ConfigError: A word is no setting, or out of range.
    """
    if not words:
        return config
    from experiments.overrides import compose_run_config

    composed = compose_run_config(words)
    for word in words:
        group, _, key = word.partition("=")[0].partition(".")
        found, own = getattr(composed, group), getattr(config, group)
        names = [key] if key else [field.name for field in fields(found)]
        changes = {
            name: getattr(found, name)
            for name in names
            if f"{group}.{name}" not in OWN_KEYS
        }
        config = replace(config, **{group: replace(own, **changes)})
    config.validate()
    return config


def execute_resumption(
    folder: Path,
    words: Sequence[str] = (),
    *,
    backend: str | None = None,
    threads: int | None = None,
    is_quiet: bool = False,
) -> RunSummary:
    """Go on with a run in view and print the closing table.

    Args:
        folder: Run folder.
        words: Settings for the time to come, of `ALLOWED_GROUPS`.
        backend: Name of another back end.
        threads: Another number of threads, >= 1.
        is_quiet: Show nothing but the closing line.

    Returns:
        What the run came to.

    Raises:
        EngineError: The machine or the folder does not allow the run.
    """

    def build() -> ScribbleSystem:
        from engine.system import ScribbleSystem
        from engine.system.resumption import build_config, find_checkpoint

        found = find_checkpoint(folder)
        own = change_config(build_config(found, folder, None), words)
        name = own.backend.name if backend is None else backend
        count = own.backend.threads if threads is None else threads
        config = replace(own, backend=replace(own.backend, name=name, threads=count))
        return ScribbleSystem(config, checkpoint=found)

    return show_run(build, is_quiet=is_quiet)

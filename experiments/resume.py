"""A run that was cut off, gone on with in its own folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.config import RunConfig
from engine.errors import (
    CheckpointError,
    ConfigError,
    DamagedCheckpointError,
    cut,
)
from experiments import outcome
from experiments.run import execute_run, show_run
from experiments.stored_yaml import read_yaml

if TYPE_CHECKING:
    from engine.recording import RunSummary
    from engine.system import ScribbleSystem


ALLOWED_GROUPS: Final = ("backend", "record", "metrics")
"""Groups of keys that change where and how a run is computed and told of, not what it
comes to."""
_CHANGED: Final = "its configuration has changed since, so it began anew"
"""Why the work of an earlier attempt is of no use."""
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


def go_on_or_begin(
    config: RunConfig,
    *,
    is_quiet: bool = False,
    on_built: Callable[[ScribbleSystem], None] | None = None,
) -> tuple[str, str]:
    """Bring a run to its end from wherever an earlier attempt has left it.

    One that is done stays as it is, one that was cut off goes on. What lies in the
    folder is removed only where it is of another configuration, or damaged throughout;
    what this program merely cannot read is left to one that can.

    Args:
        config: Validated configuration.
        is_quiet: Show nothing but the closing line.
        on_built: Called with the system before it runs.

    Returns:
        Status of the run, and what there is to say about the earlier attempt.

    Raises:
        CheckpointError: What the earlier attempt has left cannot be judged.
        EngineError: The machine or the folder does not allow the run.
    """
    from engine.recording.checkpoint import list_checkpoints
    from engine.recording.folder import JOB_FILES, clear_folder, tidy_folder

    folder = Path(config.record.folder) if config.record.folder is not None else None
    reason = ""
    try:
        if folder is not None and is_finished(folder):
            stored = _read_config(folder)
            is_alike = stored.backend.name == config.backend.name
            if is_alike and is_same_run(config, stored):
                tidy_folder(folder)
                return "done", ""
            reason = _CHANGED
        elif folder is not None and list_checkpoints(folder):
            reason = _find_obstacle(config, folder)
            if not reason:
                return _go_on(config, folder, is_quiet=is_quiet, on_built=on_built)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} Nothing was removed; remove {folder}, and the job begins anew."
        ) from error
    if folder is not None and reason:
        clear_folder(folder, kept=JOB_FILES)
    summary = execute_run(config, is_quiet=is_quiet, on_built=on_built)
    return summary.status, reason


def is_finished(folder: Path) -> bool:
    """Tell whether a folder holds a run that has come to its end.

    Args:
        folder: Run folder, or what has been left of one.
    """
    from engine.system.resumption import read_status

    return read_status(folder) == "done"


def is_same_run(config: RunConfig, stored: RunConfig) -> bool:
    """Tell whether two configurations ask for the same, wherever it is computed.

    Args:
        config: One of them.
        stored: The other.
    """
    return replace(stored, record=config.record, backend=config.backend) == config


def _read_config(folder: Path) -> RunConfig:
    """Read the configuration of a run that is done.

    Raises:
        CheckpointError: It cannot be read, or this program does not know it.
    """
    from engine.config.plain import run_config_from_dict
    from engine.recording.folder import CONFIG_FILE

    try:
        return run_config_from_dict(read_yaml(folder / CONFIG_FILE))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / CONFIG_FILE} is not the configuration of a finished run, as "
            f"this program knows them ({error})."
        ) from error


def _find_obstacle(config: RunConfig, folder: Path) -> str:
    """Say why the checkpoints of a folder are of no use to a run; empty if they are.

    Raises:
        CheckpointError: They may be of use, but not to this program or as it stands.
    """
    from engine.system.resumption import build_config, find_checkpoint

    try:
        stored = build_config(find_checkpoint(folder), folder, None)
    except CheckpointError:
        if not _are_damaged(folder):
            raise
        return "all its checkpoints were damaged, so it began anew"
    return "" if is_same_run(config, stored) else _CHANGED


def _are_damaged(folder: Path) -> bool:
    """Tell whether every checkpoint of a folder was read and found damaged."""
    from engine.recording.checkpoint import list_checkpoints, read_checkpoint

    for path in list_checkpoints(folder):
        try:
            read_checkpoint(path)
        except DamagedCheckpointError:
            continue
        except CheckpointError:
            return False
        else:
            return False
    return True


def _go_on(
    config: RunConfig,
    folder: Path,
    *,
    is_quiet: bool,
    on_built: Callable[[ScribbleSystem], None] | None,
) -> tuple[str, str]:
    """Go on from the newest whole checkpoint on the back end that is asked for now."""
    backend, threads = config.backend.name, config.backend.threads
    summary = execute_resumption(
        folder, backend=backend, threads=threads, is_quiet=is_quiet, on_built=on_built
    )
    return summary.status, ""


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
    on_built: Callable[[ScribbleSystem], None] | None = None,
) -> RunSummary:
    """Go on with a run in view and print the closing table.

    Args:
        folder: Run folder.
        words: Settings for the time to come, of `ALLOWED_GROUPS`.
        backend: Name of another back end.
        threads: Another number of threads, >= 1.
        is_quiet: Show nothing but the closing line.
        on_built: Called with the system before it runs.

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

    return show_run(build, is_quiet=is_quiet, on_built=on_built)

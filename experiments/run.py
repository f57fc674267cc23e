"""One run: compose, build the system, show it, close with a table."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.config import RunConfig
from engine.errors import DeviceError, WriteError
from experiments import outcome
from experiments.overrides import compose_run_config

if TYPE_CHECKING:
    from rich.console import Console

    from engine.recording import RunSummary
    from engine.system import ScribbleSystem
    from experiments.views.plain import RunView

RUNS_FOLDER: Final = "runs"
"""Where run folders go, under the current folder."""
STAMP_FORMAT: Final = "%Y-%m-%d_%H-%M-%S"
"""Name of a run folder."""


def run_single(
    overrides: Sequence[str], *, is_quiet: bool = False, is_recorded: bool = True
) -> int:
    """Run one configuration.

    Args:
        overrides: Words as typed, such as ``lattice=chain``.
        is_quiet: Show nothing but the closing line.
        is_recorded: Whether to write a run folder.

    Returns:
        Exit code.

    Raises:
        EngineError: The configuration, the machine or the folder does not allow it.
    """
    config = set_folder(compose_run_config(overrides), is_recorded=is_recorded)
    summary = execute_run(config, is_quiet=is_quiet)
    return outcome.code_of_status(summary.status)


def print_config(overrides: Sequence[str]) -> int:
    """Print the resolved configuration as YAML; run nothing.

    Args:
        overrides: Words as typed.

    Returns:
        Exit code.

    Raises:
        ConfigError: The configuration is not allowed.
    """
    config = compose_run_config(overrides)
    from omegaconf import OmegaConf

    sys.stdout.write(OmegaConf.to_yaml(OmegaConf.create(to_plain(config))))
    return outcome.DONE


def to_plain(config: RunConfig) -> dict[str, Any]:
    """Convert a configuration to nested dicts and lists.

    Args:
        config: Any run configuration.
    """

    def listed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: listed(entry) for key, entry in value.items()}
        return list(value) if isinstance(value, tuple) else value

    plain: dict[str, Any] = listed(asdict(config))
    return plain


def set_folder(
    config: RunConfig, *, is_recorded: bool = True, folder: Path | None = None
) -> RunConfig:
    """Settle where a run is recorded; a folder that the user named stays.

    Args:
        config: Composed configuration.
        is_recorded: Whether to record at all.
        folder: Folder to use where none is named; a new dated one by default.

    Returns:
        The configuration with its final ``record.folder``.
    """
    if not is_recorded:
        return replace(config, record=replace(config.record, folder=None))
    if config.record.folder is not None:
        return config
    chosen = folder or find_free_folder(Path(RUNS_FOLDER))
    return replace(config, record=replace(config.record, folder=str(chosen)))


def find_free_folder(parent: Path, now: datetime | None = None) -> Path:
    """Name a run folder after the time; a second one in a second gets a number.

    Args:
        parent: Where run folders go.
        now: The time; the current local time by default.

    Returns:
        A path that does not exist; nothing is made.
    """
    stamp = (now or datetime.now()).strftime(STAMP_FORMAT)
    folder, count = parent / stamp, 1
    while folder.exists():
        count += 1
        folder = parent / f"{stamp}_{count}"
    return folder


def execute_run(
    config: RunConfig,
    *,
    is_quiet: bool = False,
    on_built: Callable[[ScribbleSystem], None] | None = None,
) -> RunSummary:
    """Build the system, run it in view and print the closing table.

    Args:
        config: Validated configuration.
        is_quiet: Show nothing but the closing line.
        on_built: Called with the system before it runs.

    Returns:
        What the run came to.

    Raises:
        EngineError: The machine or the folder does not allow the run.
    """
    return show_run(lambda: build_system(config), is_quiet=is_quiet, on_built=on_built)


def show_run(
    build: Callable[[], ScribbleSystem],
    *,
    is_quiet: bool,
    on_built: Callable[[ScribbleSystem], None] | None = None,
) -> RunSummary:
    """Build a system, run it in view and print the closing table.

    Args:
        build: Builds the system, new or resumed.
        is_quiet: Show nothing but the closing line.
        on_built: Called with the system before it runs.

    Returns:
        What the run came to.

    Raises:
        EngineError: The machine or the folder does not allow the run.
    """
    from experiments.views.terminal import open_console

    console = open_console()
    with _show_log(console, is_quiet=is_quiet):
        with _announce(console, is_quiet=is_quiet):
            system = build()
        if on_built is not None:
            on_built(system)
        folder = system.config.record.folder
        view = build_view(console, system.description, is_quiet=is_quiet)
        with _say_how_to_go_on_after(folder), system, view:
            summary = system.run(view.show)
    print_summary(console, summary.to_dict(), folder, is_quiet=is_quiet)
    if summary.status == "interrupted" and folder is not None and not is_quiet:
        _say_how_to_go_on(Path(folder))
    return summary


def _say_how_to_go_on(folder: Path) -> None:
    """Name the command that resumes a run, if it can be resumed."""
    command = _name_resumption(folder)
    if command:
        sys.stdout.write(f"go on: {command}\n")


def _name_resumption(folder: Path) -> str:
    """Return the command that resumes a run; empty if there is nothing to resume."""
    from engine.recording.checkpoint import list_checkpoints

    words = f"scribble resume {shlex.quote(str(folder))}"
    return words if list_checkpoints(folder) else ""


@contextmanager
def _say_how_to_go_on_after(folder: str | None) -> Iterator[None]:
    """Add to the error of a full disk, or of a GPU that failed, how to go on.

    Raises:
        DeviceError: What was raised inside, with the command for the CPU.
        WriteError: Likewise, with the command for when the disk has room.
    """
    try:
        yield
    except (DeviceError, WriteError) as error:
        command = _name_resumption(Path(folder)) if folder is not None else ""
        if not command:
            raise
        advice = f"Then go on by: {command}"
        if isinstance(error, DeviceError):
            advice = f"On the CPU: {command} --backend cpu"
        raise type(error)(f"{error} {advice}") from error


def build_system(config: RunConfig) -> ScribbleSystem:
    """Build the system; the engine is imported here, not when help is asked for.

    Args:
        config: Validated configuration.

    Raises:
        EngineError: The machine or the folder does not allow the run.
    """
    from engine.system import ScribbleSystem

    return ScribbleSystem(config)


def build_view(
    console: Console, description: Mapping[str, str], *, is_quiet: bool = False
) -> RunView:
    """Choose the view: live on a terminal, plain lines elsewhere, or none.

    Args:
        console: Where the run is shown.
        description: What the system is made of, key by key.
        is_quiet: Show nothing.
    """
    from experiments.views.live import LiveView
    from experiments.views.plain import PlainView, QuietView
    from experiments.views.terminal import is_redrawable

    if is_quiet:
        return QuietView()
    if is_redrawable(console):
        if "forecast" in description:
            console.print(f"forecast: {description['forecast']}")
        return LiveView(console, description)
    return PlainView(sys.stdout, description)


def print_summary(
    console: Console,
    summary: Mapping[str, Any],
    folder: str | None,
    *,
    is_quiet: bool = False,
) -> None:
    """Print the closing figures: a table, plain lines, or one line when quiet.

    Args:
        console: Where to print.
        summary: Content of ``summary.json``.
        folder: Run folder, or None where nothing was recorded.
        is_quiet: One line only.
    """
    from experiments.views.summary import (
        build_summary_table,
        format_summary_line,
        format_summary_lines,
    )
    from experiments.views.terminal import is_redrawable

    if is_quiet:
        sys.stdout.write(f"{format_summary_line(summary, folder)}\n")
    elif is_redrawable(console):
        console.print()
        console.print(build_summary_table(summary, folder))
    else:
        sys.stdout.write(f"{format_summary_lines(summary, folder)}\n")


@contextmanager
def _show_log(console: Console, *, is_quiet: bool) -> Iterator[None]:
    """Show what the engine logs, above a live view; when quiet, warnings only."""
    from rich.logging import RichHandler

    from experiments.views.terminal import open_console

    handler = RichHandler(
        console=open_console(to_stderr=True) if is_quiet else console,
        show_time=False,
        show_level=False,
        show_path=False,
    )
    logger = logging.getLogger("engine")
    before = logger.level
    logger.setLevel(logging.WARNING if is_quiet else logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def _announce(console: Console, *, is_quiet: bool) -> Iterator[None]:
    """Show that something happens while the network and its kernels are built."""
    from experiments.views.terminal import is_redrawable

    if is_quiet or not is_redrawable(console):
        yield
        return
    with console.status("building the network and its kernels", spinner="line"):
        yield

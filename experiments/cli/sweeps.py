"""Sweeps: the options of ``run -m``, and the command ``sweep``."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.errors import ConfigError
from experiments.cli.words import (
    Commands,
    add_command,
)
from experiments.printable import outlive_output


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of sweeps to ``run``."""
    group = parser.add_argument_group("sweeps")
    group.add_argument(
        "--pair",
        action="append",
        nargs="+",
        default=[],
        metavar="KEY=VALUES",
        help="keys that vary together: the lists among the words up to the next option",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="list the jobs with forecast coherence, time and memory; run nothing",
    )
    group.add_argument(
        "--json", action="store_true", help="with --dry-run: the list as JSON"
    )
    again = group.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        type=Path,
        metavar="SWEEP",
        help="go on with a sweep: run what is missing, was interrupted or failed",
    )
    again.add_argument(
        "--retry-failed",
        type=Path,
        metavar="SWEEP",
        help="run again only what failed or was killed; leave the rest alone",
    )
    group.add_argument(
        "--job-memory",
        metavar="SIZE",
        help="most memory a job's process may hold, such as 8GiB; beyond it, it fails",
    )
    group.add_argument(
        "--in-process",
        action="store_true",
        help="no process per job: quicker for tiny jobs, but a kill ends the sweep",
    )


def add_sweep(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``sweep``."""
    text = "print the table of a sweep, running or ended, and write sweep.parquet"
    parser = add_command(commands, "sweep", text)
    parser.add_argument("folder", type=Path, metavar="SWEEP", help="a sweep folder")
    parser.add_argument("--json", action="store_true", help="the rows as JSON")
    parser.set_defaults(command=_show_sweep)


def run_sweep_words(arguments: argparse.Namespace) -> int:
    """Plan, resume or run a sweep, as the options of ``run`` ask."""
    from experiments import sweep
    from experiments.wording import parse_bytes

    folder = arguments.resume or arguments.retry_failed
    only = "failed" if arguments.retry_failed else "unfinished"
    _check_sweep_words(arguments, folder)
    if arguments.dry_run:
        return sweep.dry_run_sweep(
            arguments.overrides,
            pairs=arguments.pair,
            folder=folder,
            only=only,
            is_json=arguments.json,
        )
    quiet, size = arguments.quiet, arguments.job_memory
    memory_bytes = None if size is None else parse_bytes(size, "--job-memory")
    words = arguments.overrides
    with outlive_output():
        if folder is not None:
            return sweep.resume_sweep(
                folder, words, only=only, is_quiet=quiet, memory_bytes=memory_bytes
            )
        options = sweep.SweepOptions(
            quiet, not arguments.no_record, not arguments.in_process, memory_bytes
        )
        return sweep.run_sweep(words, pairs=arguments.pair, options=options)


def _check_sweep_words(arguments: argparse.Namespace, folder: Path | None) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError: They do not.
    """
    if folder is None:
        if arguments.json and not arguments.dry_run:
            raise ConfigError(
                "--json belongs to --dry-run; for a table: scribble sweep."
            )
        if arguments.multirun or arguments.dry_run:
            return
        words = ("pair", "in_process", "job_memory")
        name = next(word for word in words if getattr(arguments, word))
        name = f"--{name.replace('_', '-')}"
        raise ConfigError(f"{name} is for sweeps; add -m.")
    given = {
        "--pair": arguments.pair,
        "--no-record": arguments.no_record,
        "--in-process": arguments.in_process,
    }
    for name, value in given.items():
        if value:
            raise ConfigError(
                f"{name} cannot be given for a sweep that exists; its jobs are planned "
                "already."
            )


def _show_sweep(arguments: argparse.Namespace) -> int:
    from experiments.sweep import show_sweep

    return show_sweep(arguments.folder, is_json=arguments.json)

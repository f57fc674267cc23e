"""The console script ``scribble``: words in, one exit code out.

Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted. Commands are imported when
they are called, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from engine import __version__
from engine.errors import MAX_QUOTE, ConfigError, RecordError, is_writable
from experiments import outcome
from experiments.cli.machine import add_doctor, add_load, add_monitor, add_watch
from experiments.cli.results import add_compare, add_export, add_render, add_report
from experiments.cli.runs import (
    add_forecast,
    add_hysteresis,
    add_replay,
    add_resume,
    add_run,
    add_verify,
)
from experiments.cli.sweeps import add_sweep
from experiments.printable import guard_streams

_EPILOG = """\
exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted.
SCRIBBLE_TRACEBACK=1 shows the traceback of any error.
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the command line parser."""
    parser: argparse.ArgumentParser = outcome.SentenceParser(
        prog="scribble",
        description="Simulate very large networks of phase oscillators, with an eye on "
        "the machine's resources.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"scribble {__version__}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    add_run(commands)
    add_resume(commands)
    add_sweep(commands)
    add_forecast(commands)
    add_hysteresis(commands)
    add_verify(commands)
    add_replay(commands)
    add_report(commands)
    add_compare(commands)
    add_render(commands)
    add_export(commands)
    add_monitor(commands)
    add_watch(commands)
    add_load(commands)
    add_doctor(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Words after the program's name; by default those of the process, which
            then ends with the command and is deaf to signals from there on.

    Returns:
        Exit code.
    """
    with guard_streams():
        words = list(sys.argv[1:] if argv is None else argv)
        return _run_words(words, is_last=argv is None)


def _run_words(words: list[str], *, is_last: bool) -> int:
    parser = build_parser()
    foreign = next((word for word in words if not is_writable(word)), None)
    if foreign is not None:
        return outcome.report_error(
            ConfigError(
                f"The word {ascii(foreign)[:MAX_QUOTE]} holds what is no "
                "text in UTF-8; rename the file, or type the word anew."
            )
        )
    try:
        arguments = _parse(parser, words)
    except SystemExit as end:  # argparse ends by itself after --help and bad options
        return end.code if isinstance(end.code, int) else outcome.BAD_INPUT
    return outcome.close_command(lambda: _run_command(arguments), is_last=is_last)


def _run_command(arguments: argparse.Namespace) -> int:
    """Run a command, unless nothing could come of it whatever it is.

    Raises:
        ConfigError: A setting is given twice.
        RecordError: The current folder has been removed.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise RecordError(
            "The current folder is gone (removed or renamed); cd elsewhere."
        ) from error
    if words := getattr(arguments, "overrides", ()):
        from experiments.overrides import refuse_doubles

        refuse_doubles(words)
    code: int = arguments.command(arguments)
    return code


def _describe_unknown(parser: argparse.ArgumentParser, words: list[str]) -> str:
    """Name arguments that a command does not take, with the nearest that it does."""
    text = f"unknown argument: {' '.join(words)}"
    known = [name for name in parser._option_string_actions if name.startswith("--")]
    asked = words[0].partition("=")[0]
    near = difflib.get_close_matches(asked, known, n=1)
    return f"{text}; did you mean {near[0]}?" if near else text


def _parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Parse, with settings and options in any order."""
    if not words:
        parser.print_help(sys.stderr)
        parser.exit(outcome.BAD_INPUT)
    arguments, rest = parser.parse_known_args(words)
    options = [word for word in rest if word.startswith("-")]
    if options or (rest and not hasattr(arguments, "overrides")):
        command: argparse.ArgumentParser = getattr(arguments, "parser", parser)
        command.error(_describe_unknown(command, options or rest))
    if rest:
        arguments.overrides = [*arguments.overrides, *rest]
    return arguments

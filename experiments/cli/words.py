"""What commands share: their parsers and their common options."""

from __future__ import annotations

import argparse
from pathlib import Path

OVERRIDES_HELP = (
    "a setting such as dynamics.duration_s=5, or a choice such as lattice=bcc"
)
Commands = argparse._SubParsersAction  # argparse has no public name for it


def add_command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    text: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """Add a command with its help, and return its parser."""
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(parser=parser)
    return parser


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what all commands that run something take."""
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print only one closing line, the run folder last",
    )
    parser.add_argument("--no-record", action="store_true", help="write no run folder")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES_HELP
    )


def add_target_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add a run folder to read and a place to write to."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--to", type=Path, metavar="PATH", help=f"{what}; beside RUN by default"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier call wrote"
    )

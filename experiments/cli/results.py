"""Commands that read what runs have left: report, compare, render, export."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.cli.words import (
    Commands,
    add_command,
    add_target_options,
)

_REPORT_EPILOG = """\
examples:
  scribble report runs/2026-11-22_18-00-00     a run, or a sweep with all its jobs
  scribble report runs/2026-11-22_18-00-00 --to load.html --pictures
  scribble report                              the newest run or sweep in runs
The file opens without a network. report.html in the folder itself is the default.
"""
_COMPARE_EPILOG = """\
examples:
  scribble compare runs/2026-11-22_18-00-00 runs/2026-11-22_18-05-00
  scribble compare SWEEP OTHER_SWEEP --to comparison.html
"""
_RENDER_EPILOG = """\
examples:
  scribble run observe=nodes dynamics.duration_s=4
  scribble render runs/2026-11-22_18-00-00                    a picture beside it
  scribble render runs/2026-11-22_18-00-00 --theme dark --to field.svg
  scribble render runs/2026-11-22_18-00-00 --animate --every 2
"""
_EXPORT_EPILOG = """\
examples:
  scribble export runs/2026-11-22_18-00-00                    a Zarr store beside it
  scribble export runs/2026-11-22_18-00-00 --format npz --to field.npz
In Python: xarray.open_zarr("runs/2026-11-22_18-00-00.zarr").phase
"""


def add_report(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``report``."""
    text = "write what a run, a sweep or a study found as one HTML file"
    parser = add_command(commands, "report", text, _REPORT_EPILOG)
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="DIR",
        help="folder of a run, a sweep or a study; the newest in runs by default",
    )
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="the file; DIR/report.html by default"
    )
    parser.add_argument(
        "--study",
        metavar="NAME",
        help="examine a sweep as this study, such as load_study",
    )
    parser.add_argument(
        "--pictures", action="store_true", help="each plot as SVG files beside it, too"
    )
    parser.set_defaults(command=_report)


def add_compare(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``compare``."""
    text = "lay two runs or two sweeps side by side"
    parser = add_command(commands, "compare", text, _COMPARE_EPILOG)
    parser.add_argument("first", type=Path, metavar="A", help="a run or a sweep")
    parser.add_argument("second", type=Path, metavar="B", help="another one")
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="an HTML file to write as well"
    )
    parser.set_defaults(command=_compare)


def add_render(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``render``."""
    text = "draw the phases, frequencies and phase locking that a run has observed"
    parser = add_command(commands, "render", text, _RENDER_EPILOG)
    add_target_options(parser, "the file; its ending tells the format")
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="take every N-th snapshot of an animation or a chain",
    )
    parser.add_argument(
        "--theme", default="light", metavar="NAME", help="light (default) or dark"
    )
    parser.add_argument(
        "--animate", action="store_true", help="the phase field as GIF, or .mp4 by --to"
    )
    parser.set_defaults(command=_render)


def add_export(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``export``."""
    text = "write the snapshots of a run as a Zarr store for xarray, or as NumPy arrays"
    parser = add_command(commands, "export", text, _EXPORT_EPILOG)
    parser.add_argument(
        "--format", default="zarr", metavar="NAME", help="zarr (default) or npz"
    )
    add_target_options(parser, "where to write")
    parser.set_defaults(command=_export)


def _report(arguments: argparse.Namespace) -> int:
    from experiments.report.command import show_report

    return show_report(
        arguments.folder,
        arguments.to,
        study=arguments.study,
        has_pictures=arguments.pictures,
    )


def _compare(arguments: argparse.Namespace) -> int:
    from experiments.report.command import show_comparison

    return show_comparison(arguments.first, arguments.second, arguments.to)


def _render(arguments: argparse.Namespace) -> int:
    from experiments.observed.render import render_run

    return render_run(
        arguments.folder,
        target=arguments.to,
        every=arguments.every,
        theme=arguments.theme,
        is_animated=arguments.animate,
        may_replace=arguments.overwrite,
    )


def _export(arguments: argparse.Namespace) -> int:
    from experiments.observed.export import export_run

    return export_run(
        arguments.folder,
        format_name=arguments.format,
        target=arguments.to,
        may_replace=arguments.overwrite,
    )

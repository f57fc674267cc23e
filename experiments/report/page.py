"""A document as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engine import __version__
from engine.disk import refuse_closed, write_text
from engine.errors import RecordError
from experiments import outcome
from experiments.report.document import Cell, Document, HeatMap, Plot, Series, Table

if TYPE_CHECKING:
    from jinja2 import Template

ASSETS: Final = "experiments.report.assets"
TEMPLATE, STYLE = "report.html", "report.css"
SCRIPTS: Final = ("d3.min.js", "plot.umd.min.js", "report.js")
"""In the order in which they must run."""
LONG_TEXT: Final = 30
"""Characters from which on a cell asks for a wide column."""
HEAD: Final = "<!DOCTYPE html>\n<!-- scribble report -->\n"
"""How every report begins; only such a file is ever replaced."""


def render_page(document: Document) -> str:
    """Write a document as HTML; equal documents give equal bytes.

    Args:
        document: What to show.

    Returns:
        The whole page, scripts and styles inside.

    Raises:
        MissingPackageError: Jinja2 is not installed.
    """
    template = _load_template()
    from markupsafe import Markup  # Jinja2's own

    plots = document.plots
    return template.render(
        document=document,
        version=__version__,
        style=Markup(_read_asset(STYLE)),
        scripts=[Markup(_read_asset(name)) for name in SCRIPTS],
        data=Markup(encode_plots(plots)),
        numbers={id(plot): index for index, plot in enumerate(plots)},
    )


def _load_template() -> Template:
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError as error:
        raise outcome.MissingPackageError(
            "Reports are written with Jinja2, which is not installed; "
            'run: pip install "scribble-engine[report]".'
        ) from error
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        align=_align_column,
        describe=describe_plot,
        encode=lambda data: base64.b64encode(data).decode(),
        identify=id,
        show=format_cell,
    )
    return environment.from_string(_read_asset(TEMPLATE))


def _read_asset(name: str) -> str:
    return (resources.files(ASSETS) / name).read_text("utf-8")


def encode_plots(plots: tuple[Plot | HeatMap, ...]) -> str:
    """Write plots as JSON that no text in them can break out of.

    Args:
        plots: What to draw.

    Returns:
        JSON without a literal ``<``, ``>`` or ``&``.
    """
    entries = [
        {"kind": "heat" if isinstance(plot, HeatMap) else "series", **asdict(plot)}
        for plot in plots
    ]
    text = json.dumps(
        entries, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _align_column(table: Table, index: int, cell: Cell = None) -> str:
    """Return a cell's attribute: numbers stand to the right, long texts get room."""
    from markupsafe import Markup

    cells = [row[index] for row in table.rows if row[index] is not None]
    is_number = all(
        isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells
    )
    if cells and is_number:
        return Markup(' class="number"')
    is_long = isinstance(cell, str) and len(cell) > LONG_TEXT
    return Markup(' class="long"') if is_long else ""


def format_cell(cell: Cell) -> str:
    """Write a value of a table: whole numbers in groups, others with four digits.

    Args:
        cell: The value.
    """
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.4g}" if isinstance(cell, float) else cell


def describe_plot(plot: Plot | HeatMap) -> str:
    """Put a plot into words, for those who do not see it.

    Args:
        plot: What is drawn.
    """
    if isinstance(plot, HeatMap):
        values = [value for row in plot.values for value in row if value is not None]
        span = f" from {min(values):.4g} to {max(values):.4g}" if values else ""
        return f"{plot.value_label}{span} over {plot.x.label} and {plot.y.label}."
    parts = [text for text in map(_describe_series, plot.series[:8]) if text]
    return f"{plot.y.label} over {plot.x.label}; {'; '.join(parts)}."


def _describe_series(series: Series) -> str:
    known = np.array([value for value in series.y if value is not None])
    if not len(known):
        return ""
    return f"{series.name} from {known.min():.4g} to {known.max():.4g}"


def save_page(page: str, target: Path, option: str) -> None:
    """Write the page, whole or not at all.

    Args:
        page: The HTML.
        target: File to write; an earlier report there is replaced.
        option: What chose the file, for the sentence where it cannot be written.

    Raises:
        RecordError: The file is something else, or may not be written.
        WriteError: The disk takes no more; an earlier report stays as it was.
    """
    check_target(target, option)
    write_text(target, page, is_shared=True)


def check_target(target: Path, option: str) -> None:
    """Check that a report may be written to a file, without touching it.

    Args:
        target: File to write.
        option: What chose the file.

    Raises:
        RecordError: The file is no report, or its folder is not there.
    """
    try:
        if target.is_dir():
            raise RecordError(f"{option} {target} is a folder; name a file in it.")
        if not target.parent.is_dir():
            raise RecordError(
                f"{option} {target} cannot be written: there is no folder "
                f"{target.parent}; make it, or name another file."
            )
        refuse_closed(
            target.parent, f"{option} {target}", f"name a file elsewhere by {option}"
        )
        if not target.exists():
            return
        with target.open("rb") as file:
            if file.read(len(HEAD)) == HEAD.encode():
                return
    except RecordError:
        raise
    except OSError as error:
        raise _cannot_write(target, option, error) from error
    raise RecordError(
        f"{option} {target} exists and is no report of Scribble's; name another file."
    )


def _cannot_write(target: Path, option: str, error: OSError) -> RecordError:
    reason: Any = error.strerror or error
    return RecordError(
        f"{option} {target} cannot be written ({reason}); name another file."
    )

"""What a report is made of: sentences, verdicts, tables, plots and pictures.

Plain values only: no folder is read and no HTML is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Cell = str | float | int | bool | None
"""One value of a table."""

YES: Final = "yes"
NO: Final = "no"
OPEN: Final = "open"
"""Neither yes nor no: not asked for, not known, or not to be judged."""


@dataclass(frozen=True)
class Verdict:
    """A question that a run answers, with its number."""

    question: str
    """Such as ``Floor held?``."""
    answer: str
    """`YES`, `NO` or `OPEN`."""
    text: str
    """The number it rests on, in a sentence."""


@dataclass(frozen=True)
class Table:
    """Rows of plain values."""

    title: str
    """What the rows are; may be empty."""
    columns: tuple[str, ...]
    """Headings, each with its unit in brackets."""
    rows: tuple[tuple[Cell, ...], ...]
    """Values, as many a row as there are columns."""
    caption: str = ""
    """What the reader must know besides."""


@dataclass(frozen=True)
class Axis:
    """An axis of a plot."""

    label: str
    """Quantity with its unit in brackets."""
    scale: str = "linear"
    """linear, log or category."""


@dataclass(frozen=True)
class Series:
    """Points of one name."""

    name: str
    """As the legend shows it."""
    x: tuple[Cell, ...]
    """Places; text on a category axis."""
    y: tuple[float | None, ...]
    """Values; None leaves a gap."""
    style: str = "line"
    """line, step or dots."""
    hover: tuple[str, ...] = ()
    """What is shown at each point; name and value by default."""


@dataclass(frozen=True)
class Rule:
    """A level to compare with, drawn across the plot."""

    y: float
    """Where."""
    label: str
    """What it is."""


@dataclass(frozen=True)
class Band:
    """A stretch of the x axis in which something was so."""

    start: float
    """Where it begins, in units of the x axis."""
    end: float
    """Where it ends, > start."""
    label: str
    """What was so; equal labels have one colour."""


@dataclass(frozen=True)
class Plot:
    """Lines or dots over a common x axis."""

    title: str
    """What is shown."""
    x: Axis
    """Across."""
    y: Axis
    """Upwards."""
    series: tuple[Series, ...]
    """At least one."""
    rules: tuple[Rule, ...] = ()
    """Levels to compare with."""
    bands: tuple[Band, ...] = ()
    """Stretches of the x axis."""
    caption: str = ""
    """What the reader must know besides."""


@dataclass(frozen=True)
class HeatMap:
    """A value over two keys."""

    title: str
    """What is shown."""
    x: Axis
    """Across."""
    y: Axis
    """Upwards."""
    x_values: tuple[Cell, ...]
    """Columns."""
    y_values: tuple[Cell, ...]
    """Rows."""
    value_label: str
    """What the colour means, with its unit in brackets."""
    values: tuple[tuple[float | None, ...], ...]
    """A row per y value, an entry per x value; None: not there."""
    caption: str = ""
    """What the reader must know besides."""


@dataclass(frozen=True)
class Picture:
    """An image."""

    title: str
    """What is shown."""
    media_type: str
    """Such as ``image/png``."""
    data: bytes
    """The file."""
    alt: str
    """For those who cannot see it."""
    is_pixelated: bool = False
    """Whether each pixel is a value, to be enlarged without smoothing."""
    is_wide: bool = False
    """Whether it is to be stretched over the width of the page."""


@dataclass(frozen=True)
class Section:
    """A part of the report under its own heading."""

    title: str
    """Heading."""
    sentences: tuple[str, ...] = ()
    """What was found."""
    commands: tuple[str, ...] = ()
    """Command lines to copy."""
    plots: tuple[Plot | HeatMap, ...] = ()
    """Interactive plots."""
    pictures: tuple[Picture, ...] = ()
    """Images."""
    tables: tuple[Table, ...] = ()
    """Tables, the last thing in a section."""
    is_folded: bool = False
    """Whether the tables are shown only when asked for."""


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    """What it is about."""
    kind: str
    """run, sweep, study or comparison."""
    findings: tuple[str, ...]
    """The result in sentences."""
    verdicts: tuple[Verdict, ...] = ()
    """Answers, in the order of their weight."""
    sections: tuple[Section, ...] = ()
    """Everything else."""
    problems: tuple[str, ...] = ()
    """What could not be read, a sentence each."""

    @property
    def plots(self) -> tuple[Plot | HeatMap, ...]:
        """Every plot, in the order of the page."""
        return tuple(plot for section in self.sections for plot in section.plots)


def to_number(value: Any) -> float | None:
    """Return a finite number, or None for anything else.

    Args:
        value: Whatever a file held.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value)
    return number if number - number == 0.0 else None

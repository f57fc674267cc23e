"""The contract of a study: what it leaves in its folder for the report to show.

A study writes ``study.json``, beside its jobs if it has any::

    {
      "title": "Load study",
      "question": "What do coherence and cost become as others load the machine?",
      "findings": ["The floor was held at every level.", "..."],
      "verdicts": [{"question": "Floor held?", "answer": "yes", "text": "0 of 9."}],
      "tables": [
        {"title": "By level", "columns": ["level [-]", "r [-]"], "rows": [[0.2, 0.96]]},
        {"title": "All", "file": "levels.parquet", "columns": ["level", "r"]}
      ],
      "plots": [
        {"kind": "series", "title": "r over load", "caption": "",
         "x": {"label": "level [-]", "scale": "linear"},
         "y": {"label": "r [-]", "scale": "linear"},
         "series": [{"name": "square", "style": "line", "x": [0.2], "y": [0.96],
                     "hover": ["job 0"]}],
         "rules": [{"y": 0.87, "label": "floor"}],
         "bands": [{"start": 0.8, "end": 1.0, "label": "floor-bound"}]},
        {"kind": "heat", "title": "r", "x": {"label": "level"}, "y": {"label": "f"},
         "x_values": [0.2], "y_values": ["a"], "value_label": "r [-]",
         "values": [[0.96]]}
      ],
      "pictures": [{"title": "Frontier", "file": "frontier.png", "alt": "..."}]
    }

Only ``title`` must be there; the rest may be left out. ``answer`` is yes, no or open,
``scale`` linear, log or category, ``style`` line, step or dots. ``file`` names a file
in the study's own folder, and ``columns`` beside it chooses and orders the columns of a
Parquet table. Unknown names are passed over, so that a study may store more. An entry
that cannot be used is left out, and the report says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from engine.errors import quote
from experiments.report.document import (
    NO,
    OPEN,
    YES,
    Axis,
    Band,
    Cell,
    Document,
    HeatMap,
    Picture,
    Plot,
    Rule,
    Section,
    Series,
    Table,
    Verdict,
    to_number,
)
from experiments.report.records import read_columns, read_json
from experiments.report.thinning import find_kept_rows

STUDY_FILE: Final = "study.json"
ROWS_SHOWN: Final = 500
"""Rows of a table at most."""
PICTURE_BYTES: Final = 1_000_000
"""Largest picture that is taken in [byte]."""
MEDIA_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
SCALES: Final = ("linear", "log", "category")
STYLES: Final = ("line", "step", "dots")
KIND_WORDS: Final = {
    "str": "a text",
    "list": "a list",
    "dict": "a table of names and values",
}

Part = TypeVar("Part")


class _EntryError(ValueError):
    """An entry of a study cannot be used; its message says why."""


def read_study(folder: Path) -> Document | None:
    """Read what a study has found, as far as it can be used.

    Args:
        folder: Folder of a study.

    Returns:
        The study's own part of the report; None where there is no ``study.json``.
    """
    if not (folder / STUDY_FILE).is_file():
        return None
    problems: list[str] = []
    return build_study(read_json(folder / STUDY_FILE, problems), folder, problems)


def build_study(
    study: Mapping[str, Any], folder: Path, problems: Sequence[str] = ()
) -> Document:
    """Build a study's part of the report, as far as its entries can be used.

    Args:
        study: Content of ``study.json``.
        folder: Where the files that it names lie.
        problems: What could not be read before, a sentence each.

    Returns:
        That part.
    """
    problems = list(problems)

    def read_all(key: str, build: Callable[[Any], Part]) -> tuple[Part, ...]:
        return tuple(_read_entries(study.get(key), key, build, problems))

    verdicts = read_all("verdicts", _build_verdict)
    tables = read_all("tables", lambda entry: _build_table(entry, folder))
    plots = read_all("plots", _build_plot)
    pictures = read_all("pictures", lambda entry: _build_picture(entry, folder))
    question = study.get("question")
    section = Section(
        "The study",
        sentences=(question,) if isinstance(question, str) else (),
        plots=plots,
        pictures=pictures,
        tables=tables,
    )
    return Document(
        title=str(study.get("title") or folder.name),
        kind="study",
        findings=read_all("findings", _take_text),
        verdicts=verdicts,
        sections=(section,),
        problems=tuple(problems),
    )


def join_documents(study: Document, sweep: Document) -> Document:
    """Put a study before the sweep that it rests on.

    Args:
        study: What the study has found.
        sweep: What its jobs show.
    """
    # What a sweep says by itself, such as that low frequencies miss the floor, may be
    # just what the study is about; that jobs failed always counts.
    endings = sweep.verdicts[:1] if study.verdicts else sweep.verdicts
    return replace(
        study,
        findings=study.findings or sweep.findings,
        verdicts=(*study.verdicts, *endings),
        sections=(*study.sections, *sweep.sections),
        problems=(*study.problems, *sweep.problems),
    )


def _read_entries(
    entries: Any, key: str, build: Callable[[Any], Part], problems: list[str]
) -> list[Part]:
    """Build what can be built of a list, a sentence for each of the others."""
    if entries is None:
        return []
    if not isinstance(entries, list):
        problems.append(f"{STUDY_FILE}: {key} is no list; it is left out.")
        return []
    parts = []
    for index, entry in enumerate(entries):
        try:
            parts.append(build(entry))
        except _EntryError as error:
            problems.append(f"{STUDY_FILE}: {key}[{index}] is left out: {error}.")
    return parts


def _take_text(entry: Any) -> str:
    if not isinstance(entry, str):
        raise _EntryError("it is no text")
    return entry


def _take(entry: Any, key: str, kind: type[Part]) -> Part:
    """Return a value that an entry must have."""
    value = entry.get(key) if isinstance(entry, Mapping) else None
    if not isinstance(value, kind):
        raise _EntryError(f"{key} must be {KIND_WORDS[kind.__name__]}")
    return value


def _take_optional(entry: Any, key: str) -> list[Any]:
    """Return a list that an entry may leave out."""
    return _take(entry, key, list) if entry.get(key) is not None else []


def _take_choice(entry: Any, key: str, allowed: Sequence[str]) -> str:
    """Return one of some words, the first where none is given."""
    value = entry.get(key, allowed[0]) if isinstance(entry, Mapping) else None
    if value not in allowed:
        choices = ", ".join(allowed)
        raise _EntryError(f"{key} is {quote(value)}; choose one of: {choices}")
    return str(value)


def _take_cells(values: Sequence[Any]) -> tuple[Cell, ...]:
    """Take plain values; a number that is not finite is as good as none."""
    return tuple(
        to_number(value)
        if isinstance(value, float)
        else value
        if value is None or isinstance(value, str | int)
        else str(value)
        for value in values
    )


def _build_verdict(entry: Any) -> Verdict:
    answer = _take_choice(entry, "answer", (OPEN, YES, NO))
    return Verdict(_take(entry, "question", str), answer, _take(entry, "text", str))


def _build_table(entry: Any, folder: Path) -> Table:
    title = _take(entry, "title", str)
    caption = str(entry.get("caption", ""))
    if "file" in entry:
        columns, rows = _read_rows(entry, folder)
    else:
        columns = tuple(map(str, _take(entry, "columns", list)))
        rows = [_take_cells(row) for row in _take(entry, "rows", list) if _is_row(row)]
    if any(len(row) != len(columns) for row in rows):
        raise _EntryError(f"each row must have {len(columns)} values, one per column")
    if len(rows) > ROWS_SHOWN:
        caption = f"{caption} The first {ROWS_SHOWN} of {len(rows)} rows.".strip()
    return Table(title, columns, tuple(rows[:ROWS_SHOWN]), caption)


def _is_row(row: Any) -> bool:
    if not isinstance(row, list):
        raise _EntryError("each row must be a list")
    return True


def _read_rows(
    entry: Any, folder: Path
) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    """Read the rows of a table from a Parquet file."""
    problems: list[str] = []
    path = _find_file(entry, folder)
    found = read_columns(path, problems)
    if problems:
        raise _EntryError(problems[0].rstrip("."))
    wanted = _take_optional(entry, "columns") or list(found)
    missing = [str(name) for name in wanted if name not in found]
    if missing:
        raise _EntryError(f"{path.name} has no column {', '.join(missing)}")
    columns = tuple(map(str, wanted))
    values = [_take_cells(found[name].tolist()) for name in columns]
    return columns, list(zip(*values, strict=True))


def _find_file(entry: Any, folder: Path) -> Path:
    """Return a file in the study's folder; never one outside of it."""
    name = _take(entry, "file", str)
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise _EntryError(f"there is no file {name} in the study's folder")
    return path


def _build_picture(entry: Any, folder: Path) -> Picture:
    title, path = _take(entry, "title", str), _find_file(entry, folder)
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise _EntryError(f"{path.name} ends in none of {', '.join(MEDIA_TYPES)}")
    if path.stat().st_size > PICTURE_BYTES:
        raise _EntryError(f"{path.name} is larger than {PICTURE_BYTES:,} bytes")
    alt = str(entry.get("alt") or title)
    return Picture(title, media_type, path.read_bytes(), alt)


def _build_axis(entry: Any, key: str) -> Axis:
    axis = _take(entry, key, dict)
    return Axis(_take(axis, "label", str), _take_choice(axis, "scale", SCALES))


def _build_plot(entry: Any) -> Plot | HeatMap:
    title = _take(entry, "title", str)
    kind = _take_choice(entry, "kind", ("series", "heat"))
    caption = str(entry.get("caption", ""))
    x, y = _build_axis(entry, "x"), _build_axis(entry, "y")
    if kind == "heat":
        return _build_heat_map(entry, title, x, y, caption)
    series = tuple(_build_series(one, x, y) for one in _take(entry, "series", list))
    if not series:
        raise _EntryError("series is empty")
    rules = tuple(
        Rule(_need_number(rule, "y"), _take(rule, "label", str))
        for rule in _take_optional(entry, "rules")
    )
    bands = tuple(
        Band(
            _need_number(band, "start"),
            _need_number(band, "end"),
            _take(band, "label", str),
        )
        for band in _take_optional(entry, "bands")
    )
    return Plot(title, x, y, series, rules, bands, caption)


def _need_number(entry: Any, key: str) -> float:
    value = to_number(entry.get(key)) if isinstance(entry, Mapping) else None
    if value is None:
        raise _EntryError(f"{key} must be a number")
    return value


def _build_series(entry: Any, x_axis: Axis, y_axis: Axis) -> Series:
    name, style = _take(entry, "name", str), _take_choice(entry, "style", STYLES)
    x, y = _take(entry, "x", list), _take(entry, "y", list)
    hover = _take_optional(entry, "hover")
    if len(x) != len(y) or len(hover) not in (0, len(x)):
        raise _EntryError(f"x, y and hover of {name} differ in length")
    places = _take_cells(x)
    if x_axis.scale != "category" and any(to_number(place) is None for place in places):
        raise _EntryError(f"x of {name} must be numbers, or its scale category")
    values = np.array([np.nan if (v := to_number(e)) is None else v for e in y])
    if y_axis.scale == "log":
        values[~(values > 0.0)] = np.nan
    kept = find_kept_rows([values]).tolist() if len(values) else []
    return Series(
        name,
        tuple(places[index] for index in kept),
        tuple(None if np.isnan(values[i]) else float(values[i]) for i in kept),
        style,
        tuple(str(hover[index]) for index in kept) if hover else (),
    )


def _build_heat_map(entry: Any, title: str, x: Axis, y: Axis, caption: str) -> HeatMap:
    x_values = _take_cells(_take(entry, "x_values", list))
    y_values = _take_cells(_take(entry, "y_values", list))
    rows = _take(entry, "values", list)
    is_whole = len(rows) == len(y_values) and all(
        isinstance(row, list) and len(row) == len(x_values) for row in rows
    )
    if not is_whole:
        raise _EntryError(
            f"values must be {len(y_values)} rows of {len(x_values)} numbers"
        )
    values = tuple(tuple(map(to_number, row)) for row in rows)
    label = _take(entry, "value_label", str)
    return HeatMap(title, x, y, x_values, y_values, label, values, caption)

"""``scribble report`` and ``scribble compare``."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import RecordError
from engine.recording.folder import CONFIG_FILE, REPORT_FILE
from experiments import outcome
from experiments.load import LOAD_FILE
from experiments.pictures import require_matplotlib
from experiments.report.document import Document
from experiments.report.jobs import PLAN_FILE, SweepRecord, is_sweep_folder, read_sweep
from experiments.report.load import build_load_document
from experiments.report.page import check_target, format_cell, render_page, save_page
from experiments.report.plot_files import draw_plots
from experiments.report.records import (
    dig,
    is_run_folder,
    read_json,
    read_run,
    read_status,
)
from experiments.report.run import build_run_document
from experiments.report.study import (
    STUDY_FILE,
    build_study,
    join_documents,
    read_study,
)
from experiments.report.sweep import build_sweep_document

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from experiments.report.document import Table

OPTION: Final = "--to"
LEAST_WIDTH: Final = 12
"""Characters of a column that are kept together on the terminal."""
RUNS_FOLDER: Final = Path("runs")
"""Where runs and sweeps are kept unless they are told otherwise."""
FIRST_FILES: Final = (PLAN_FILE, CONFIG_FILE, STUDY_FILE)
"""Files that are written when a sweep, a run or a study begins."""
RUN, SWEEP, STUDY, LOAD = "run", "sweep", "study", "load"


def show_report(
    folder: Path | None = None,
    target: Path | None = None,
    *,
    study: str | None = None,
    has_pictures: bool = False,
) -> int:
    """Write the report on a run, a sweep or a study, and print what it says.

    Args:
        folder: Folder of the run, the sweep or the study; the newest one in ``runs``
            by default.
        target: File to write; ``report.html`` in the folder by default.
        study: Study to make of a sweep; the one that it is for by default.
        has_pictures: Whether each plot is drawn as SVG too, beside the file.

    Returns:
        Exit code.

    Raises:
        ConfigError: There is no such study.
        RecordError: The folder is none of these, or the file cannot be written.
        MissingPackageError: Jinja2 is not installed, or Matplotlib where pictures are
            wanted.
    """
    folder = folder or find_newest(RUNS_FOLDER)
    chosen = folder / REPORT_FILE if target is None else target
    if has_pictures:
        require_matplotlib()
    document = build_document(folder, study)
    check_target(chosen, OPTION)
    save_page(render_page(document), chosen, OPTION)
    _print_findings(document)
    sys.stdout.write(f"report: {chosen}\n")
    for path in draw_plots(document, chosen) if has_pictures else ():
        sys.stdout.write(f"picture: {path}\n")
    return outcome.DONE


def find_newest(parent: Path) -> Path:
    """Find the run, sweep or study in a folder that was begun last.

    Neither a report on an older one nor a new table of it makes it the newest.

    Args:
        parent: Where runs are kept.

    Returns:
        Its folder.

    Raises:
        RecordError: There is none.
    """
    found = [path for path in parent.glob("*") if path.is_dir()]
    for path in sorted(found, key=_date, reverse=True):
        with suppress(RecordError):
            find_kind(path)
            return path
    raise RecordError(
        f"There is no run, sweep or study in {parent.absolute()}; name the folder of "
        "one, or make one by: scribble run."
    )


def _date(folder: Path) -> int:
    """Return when a folder's first file was written [ns]; of others, its own date."""
    marks = [folder / name for name in FIRST_FILES]
    path = next((path for path in marks if path.is_file()), folder)
    return path.stat().st_mtime_ns


def build_document(folder: Path, study: str | None = None) -> Document:
    """Build the report on whatever a folder holds.

    Args:
        folder: Folder of a run, a sweep or a study.
        study: Study to make of a sweep; the one that it is for by default.

    Returns:
        The report.

    Raises:
        ConfigError: There is no such study.
        RecordError: The folder is none of these, or no sweep where a study is named.
    """
    kind = find_kind(folder)
    folder = folder.resolve()
    if study is not None and not is_sweep_folder(folder):
        raise RecordError(
            f"{folder} holds a {kind}, and --study is for sweeps; leave it out."
        )
    if kind == LOAD:
        return build_load_document(folder)
    if kind == RUN:
        return build_run_document(read_run(folder))
    if not is_sweep_folder(folder):
        return read_study(folder) or Document(folder.name, STUDY, ())
    record = read_sweep(folder)
    document, found = build_sweep_document(record), _find_study(record, study)
    return join_documents(found, document) if found else document


def _find_study(record: SweepRecord, name: str | None) -> Document | None:
    """Examine a sweep anew if it is for a study; else read what one has left."""
    name = name or dig(read_json(record.folder / PLAN_FILE, []), "study")
    if name is None:
        return read_study(record.folder)
    from experiments.study.examination import examine_sweep

    return build_study(examine_sweep(str(name), record).to_dict(), record.folder)


def find_kind(folder: Path) -> str:
    """Tell whether a folder holds a run, a sweep or a study.

    Args:
        folder: Any path.

    Returns:
        ``run``, ``sweep``, ``study`` or ``load``.

    Raises:
        RecordError: It is none of these, or cannot be read.
    """
    try:
        if not folder.is_dir():
            raise RecordError(
                f"{folder} is no folder; name the folder of a run, a sweep or a study."
            )
        if (folder / STUDY_FILE).is_file():
            return STUDY
        if (folder / LOAD_FILE).is_file():
            return LOAD
        if is_run_folder(folder):
            return RUN
        if is_sweep_folder(folder):
            return SWEEP
    except RecordError:
        raise
    except OSError as error:
        raise RecordError(
            f"{folder} cannot be read ({error.strerror or error}); name the folder of "
            "a run, a sweep or a study."
        ) from error
    reason = dig(read_status(folder, []), "message")
    if isinstance(reason, str) and reason:
        raise RecordError(f"{folder} holds a job that left no run: {reason}")
    raise RecordError(
        f"{folder} holds no run, no sweep and no study: there is no summary.json, "
        "config.yaml, status.json or study.json in it or in its folders; name a folder "
        "that scribble run has written."
    )


def _print_findings(document: Document) -> None:
    for problem in document.problems:
        sys.stdout.write(f"not read: {problem}\n")
    for sentence in document.findings:
        sys.stdout.write(f"{sentence}\n")
    for verdict in document.verdicts:
        sys.stdout.write(f"{verdict.question} {verdict.answer}: {verdict.text}\n")


def show_comparison(first: Path, second: Path, target: Path | None = None) -> int:
    """Compare two runs or two sweeps on the terminal, and in a file if one is named.

    Args:
        first: Folder called A.
        second: Folder called B.
        target: HTML file to write; none by default.

    Returns:
        Exit code.

    Raises:
        RecordError: The folders cannot be compared, or the file cannot be written.
        MissingPackageError: A file is named and Jinja2 is not installed.
    """
    document = build_comparison(first, second)
    if target is not None:
        check_target(target, OPTION)
        save_page(render_page(document), target, OPTION)
    _print_comparison(document)
    if target is not None:
        sys.stdout.write(f"report: {target}\n")
    return outcome.DONE


def build_comparison(first: Path, second: Path) -> Document:
    """Compare what two folders hold.

    Args:
        first: Folder called A.
        second: Folder called B.

    Returns:
        The comparison.

    Raises:
        RecordError: One is no run and no sweep, or they are not of one kind.
    """
    from experiments.report.comparison import compare_runs, compare_sweeps

    kinds = [find_kind(folder) for folder in (first, second)]
    shapes = [SWEEP if kind == STUDY else kind for kind in kinds]
    if shapes[0] != shapes[1] or LOAD in shapes:
        raise RecordError(
            f"{first} holds a {kinds[0]} and {second} a {kinds[1]}; name two runs or "
            "two sweeps."
        )
    one, other = first.resolve(), second.resolve()
    if shapes[0] == RUN:
        return compare_runs(read_run(one), read_run(other))
    return compare_sweeps(read_sweep(one), read_sweep(other))


def _print_comparison(document: Document) -> None:
    from experiments.views.terminal import open_console

    console = open_console()
    console.print(document.title, soft_wrap=True, markup=False)
    for problem in document.problems:
        console.print(f"not read: {problem}", soft_wrap=True, markup=False)
    for section in document.sections:
        for table in section.tables:
            console.print()
            console.print(_build_text_table(replace(table, title=section.title)))
    console.print()
    for sentence in document.findings:
        console.print(sentence, soft_wrap=True, markup=False)


def _build_text_table(table: Table) -> RichTable:
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        title=Text(table.title), title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    for index, column in enumerate(table.columns):
        widest = max((len(format_cell(row[index])) for row in table.rows), default=0)
        least = min(widest, LEAST_WIDTH)
        drawn.add_column(Text(column), overflow="fold", min_width=least)
    for row in table.rows:
        drawn.add_row(*(Text(format_cell(cell)) for cell in row))
    return drawn

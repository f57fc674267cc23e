"""The commands: start a sweep, go on with one, look at one, or only say what it is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from engine.disk import refuse_closed
from engine.errors import ConfigError, RecordError, WriteError, quote
from experiments import outcome
from experiments.overrides import compose_node, open_hydra, require_hydra
from experiments.quoting import quote_text
from experiments.sweep.dry_run import (
    describe_total,
    forecast_jobs,
    list_forecast_cells,
)
from experiments.sweep.ending import (
    close_sweep,
    examine_sweep,
    say_how_to_go_on,
    settle_interrupted,
)
from experiments.sweep.job import SweepJob
from experiments.sweep.launch import select_jobs
from experiments.sweep.multirun import launch_multirun
from experiments.sweep.place import SWEEP_KEY
from experiments.sweep.plan import (
    FIXED_KEYS,
    SweepPlan,
    is_hydra_word,
    join_words,
    key_of_word,
    read_plan,
    write_plan,
)
from experiments.sweep.prepare import (
    check_extras,
    check_neighbours,
    prepare_sweep,
    read_launcher,
)
from experiments.sweep.slots import try_lock
from experiments.sweep.status import read_statuses
from experiments.sweep.table import TABLE_FILE, collect_rows, write_table
from experiments.views.sweep import (
    SweepView,
    build_cells_table,
    format_cells,
    list_cells,
)
from experiments.wording import format_jobs

LOCK_FILE: Final = "sweep.lock"
"""Locked by the one process that runs the sweep."""


@dataclass(frozen=True)
class SweepOptions:
    """How a sweep is run."""

    is_quiet: bool = False
    """Show only a line per job."""
    is_recorded: bool = True
    """Whether jobs write run folders."""
    is_isolated: bool = True
    """Whether each job has a process of its own."""
    memory_bytes: int | None = None
    """Most memory that a job's process may hold [byte]; None: no limit."""


def run_sweep(
    overrides: Sequence[str],
    *,
    pairs: Sequence[Sequence[str]] = (),
    options: SweepOptions | None = None,
) -> int:
    """Run every combination of the overrides' values.

    What can be told before the first job (unknown keys, choices, types, a value that no
    job can take) refuses the whole sweep and leaves nothing on disk; values that are
    impossible together fail their own job only.

    Args:
        overrides: Words as typed, such as ``seed=1,2,3``.
        pairs: Groups of words whose values move together.
        options: How to run.

    Returns:
        Exit code: 1 if any job failed, 130 if the sweep was interrupted.

    Raises:
        ConfigError: An override is not allowed.
        RecordError: The folder of the sweep cannot be made.
        MissingPackageError: Hydra, a launcher or a sweeper is not installed.
    """
    require_hydra()
    options = options or SweepOptions()
    kept = {
        "is_recorded": options.is_recorded,
        "is_isolated": options.is_isolated,
        "memory_bytes": options.memory_bytes,
    }
    prepared = prepare_sweep(overrides, pairs, kept)
    _make_folder(prepared.folder)
    with _hold(prepared.folder):
        _begin(prepared.folder, prepared.plan)
        return _run_plan(prepared.folder, "unfinished", is_quiet=options.is_quiet)


def resume_sweep(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    only: str = "unfinished",
    is_quiet: bool = False,
    memory_bytes: int | None = None,
) -> int:
    """Go on with a sweep: run what has not ended well.

    Args:
        folder: Folder of the sweep.
        overrides: Words for Hydra, such as another launcher.
        only: ``unfinished`` (never started, interrupted, lost or failed) or ``failed``
            (lost or failed).
        is_quiet: Show only a line per job.
        memory_bytes: Most memory per job from now on [byte]; None: as before.

    Returns:
        Exit code, as of `run_sweep`.

    Raises:
        ConfigError: A word is not for Hydra, or another process runs the sweep.
        RecordError: The folder holds no sweep.
        MissingPackageError: Hydra, a launcher or a sweeper is not installed.
    """
    require_hydra()
    folder = folder.absolute()
    plan = _extend_plan(folder, overrides)
    if memory_bytes is not None:
        plan.options["memory_bytes"] = memory_bytes
    with _hold(folder):
        write_plan(folder, plan)
        return _run_plan(folder, only, is_quiet=is_quiet)


def dry_run_sweep(
    overrides: Sequence[str] = (),
    *,
    pairs: Sequence[Sequence[str]] = (),
    folder: Path | None = None,
    only: str = "unfinished",
    is_json: bool = False,
) -> int:
    """Print what a sweep would run and cost; run and write nothing.

    Args:
        overrides: Words as typed.
        pairs: Groups of words whose values move together.
        folder: A sweep to go on with, instead of a new one.
        only: As for `resume_sweep`.
        is_json: As JSON, for programs.

    Returns:
        Exit code.

    Raises:
        ConfigError: An override is not allowed, or the jobs are not known ahead.
        RecordError: The folder holds no sweep.
        MissingPackageError: Hydra, a launcher or a sweeper is not installed.
    """
    require_hydra()
    if folder is None:
        plan, statuses = prepare_sweep(overrides, pairs).plan, []
    else:
        plan, statuses = _extend_plan(folder, overrides), read_statuses(folder)
    if plan.sweeper != "grid":
        raise ConfigError(
            f"--dry-run lists jobs that are known ahead, and a sweep by the sweeper "
            f"{plan.sweeper} makes them up as it goes; use hydra/sweeper=basic."
        )
    due = select_jobs(plan, {status.job: status for status in statuses}, only)
    forecasts = list(forecast_jobs(due, plan.hydra))
    if is_json:
        rows = [forecast.to_dict() for forecast in forecasts]
        sys.stdout.write(f"{json.dumps(rows, indent=2)}\n")
        return outcome.DONE
    heads, cells = list_forecast_cells(forecasts)
    sys.stdout.write(f"{format_cells(heads, cells)}\n{describe_total(forecasts)}\n")
    return outcome.DONE


def show_sweep(folder: Path, *, is_json: bool = False) -> int:
    """Print the table of a sweep as it stands, and write it anew.

    It is printed first, so that a sweep in a read-only place can be looked at.

    Args:
        folder: Folder of the sweep.
        is_json: As JSON, for programs.

    Returns:
        Exit code.

    Raises:
        RecordError: The folder holds no sweep, or may not be written.
        WriteError: The disk takes no more.
    """
    rows = collect_rows(folder)
    if is_json:
        sys.stdout.write(f"{json.dumps(rows, indent=2)}\n")
    else:
        _print_rows(rows)
    sys.stdout.flush()
    refuse_closed(folder, f"{folder / TABLE_FILE}", "copy the sweep to write it anew")
    path = write_table(folder, rows)
    study = examine_sweep(folder)
    if not is_json:
        sys.stdout.write(f"{_count_statuses(rows)}: {path}\n{study}")
    return outcome.DONE


def _print_rows(rows: Sequence[dict[str, Any]]) -> None:
    from experiments.views.terminal import is_redrawable, open_console

    heads, cells = list_cells(rows)
    console = open_console()
    if is_redrawable(console):
        console.print(build_cells_table(heads, cells))
    else:
        sys.stdout.write(f"{format_cells(heads, cells)}\n")


def _count_statuses(rows: Sequence[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return ", ".join(f"{count} {status}" for status, count in counts.items()) or "empty"


def _extend_plan(folder: Path, overrides: Sequence[str]) -> SweepPlan:
    """Read a plan, and let words for Hydra replace its own."""
    plan = read_plan(folder)
    if plan.sweeper == "foreign":
        raise ConfigError(
            f"{folder} was made by a sweeper that keeps no plan; only sweeps by "
            "hydra/sweeper=basic or optuna can be gone on with."
        )
    for word in overrides:
        key = key_of_word(word)
        if not is_hydra_word(word) or key in (SWEEP_KEY, "hydra/sweeper", *FIXED_KEYS):
            raise ConfigError(
                f"{quote(word)} cannot be given with --resume or --retry-failed, for "
                "the jobs are planned already; only the launcher may change, such as "
                "hydra/launcher=joblib."
            )
    kept = plan.hydra
    if any(key_of_word(word) == "hydra/launcher" for word in overrides):
        kept = [w for w in kept if not key_of_word(w).startswith("hydra.launcher.")]
    words = join_words(kept, overrides)
    check_extras(words)
    extended = replace(plan, hydra=words)
    if overrides or plan.has_real_load:
        with open_hydra():
            node = compose_node(words, with_hydra=True)
            read_launcher(node)
            check_neighbours(extended, node)
    return extended


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    """Be the only process that runs a sweep.

    Raises:
        ConfigError: Another process runs it.
        RecordError: The folder cannot be written.
    """
    try:
        descriptor = try_lock(folder / LOCK_FILE)
    except OSError as error:
        raise RecordError(
            f"{folder / LOCK_FILE} cannot be written ({error.strerror or error}); make "
            "the folder writable, or copy the sweep."
        ) from error
    if descriptor is None:
        raise ConfigError(
            f"{folder} is being run by another process; wait for its end, or look at "
            f"it by: scribble sweep {folder}."
        )
    try:
        yield
    finally:
        os.close(descriptor)


def _run_plan(folder: Path, only: str, *, is_quiet: bool) -> int:
    """Start what is due, show it, and close with the table."""
    plan = read_plan(folder)
    _refuse_links(folder, plan)
    job = SweepJob(is_quiet, working_folder=plan.working_folder, **plan.options)
    words = [word for word in plan.hydra if key_of_word(word) != SWEEP_KEY]
    words += [f"{SWEEP_KEY}={quote_text(str(folder))}", *plan.words]
    if plan.sweeper != "foreign":
        words.append(f"hydra.sweeper.only={only}")
    is_interrupted, trouble = False, ""
    with _show(folder, plan, only, is_quiet=is_quiet):
        try:
            launch_multirun(job, words)
        except KeyboardInterrupt:
            is_interrupted = True
            settle_interrupted(folder)
        except ConfigError:
            raise
        except WriteError as error:
            trouble = say_how_to_go_on(error, folder)
        except Exception as error:  # noqa: BLE001 - the jobs that ran still count
            trouble = f"the launcher failed: {outcome.describe_error(error)}"
    code = close_sweep(folder, trouble, is_interrupted=is_interrupted)
    return outcome.INTERRUPTED if is_interrupted else code


def _refuse_links(folder: Path, plan: SweepPlan) -> None:
    """Refuse a sweep whose jobs would write elsewhere.

    Raises:
        RecordError: The folder of a job is a link.
    """
    places = (folder / str(job.job) for job in plan.jobs)
    link = next((place for place in places if place.is_symlink()), None)
    if link is not None:
        raise RecordError(
            f"{link} is a link, and a job writes into the folder of its sweep alone; "
            "remove it."
        )


@contextmanager
def _show(
    folder: Path, plan: SweepPlan, only: str, *, is_quiet: bool
) -> Iterator[None]:
    """Show the sweep while jobs run elsewhere; here, they show themselves."""
    from experiments.views.terminal import is_redrawable, open_console

    if not plan.options.get("is_isolated", True):
        yield
        return
    console = open_console()
    planned = _count_planned(folder, plan, only) if plan.sweeper == "grid" else None
    size = (
        f"sweep by {plan.sweeper}"
        if planned is None
        else (f"sweep of {format_jobs(planned)}")
    )
    sys.stdout.write(f"{size}: {folder}\n")
    sys.stdout.flush()
    with SweepView(
        lambda: read_statuses(folder),
        planned,
        console=console if is_redrawable(console) else None,
        is_quiet=is_quiet,
    ):
        yield


def _count_planned(folder: Path, plan: SweepPlan, only: str) -> int:
    """Count the jobs that are done already, run elsewhere, or are due."""
    statuses = {status.job: status for status in read_statuses(folder)}
    is_kept = [s for s in statuses.values() if s.status == "done" or s.is_open]
    return len(is_kept) + len(select_jobs(plan, statuses, only))


def _begin(folder: Path, plan: SweepPlan) -> None:
    """Write the plan; leave nothing behind where that cannot be done.

    Raises:
        RecordError: The folder takes no more.
    """
    try:
        write_plan(folder, plan)
    except WriteError as error:
        with suppress(OSError):
            (folder / LOCK_FILE).unlink(missing_ok=True)
            folder.rmdir()
        raise RecordError(str(error)) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(
            f"{SWEEP_KEY} is {folder}, which cannot be made: {error.strerror}; name a "
            "folder that you may write to."
        ) from error

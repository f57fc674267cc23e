"""Hold this machine to the exact results, and say what it makes of them."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from engine.config import BackendConfig
from engine.errors import ConfigError, quote
from experiments import outcome
from experiments.overrides import compose_run_config
from experiments.wording import format_span

if TYPE_CHECKING:
    from rich.console import Console

    from engine.backends.protocol import Backend
    from engine.verification import Check, Verdict

LARGEST_NODES: Final = 1_000_000
"""Oscillators of the largest check: what ``backend=auto`` decides by."""


def show_verification(
    overrides: Sequence[str],
    *,
    only: Sequence[str] = (),
    is_full: bool = False,
    is_json: bool = False,
) -> int:
    """Measure every check and print it beside its exact result.

    Args:
        overrides: Words as typed, such as ``backend=reference``.
        only: Names of checks; all by default.
        is_full: Whether to measure the long ones too.
        is_json: As JSON, for programs.

    Returns:
        Exit code: 1 if a figure is out of its tolerance.

    Raises:
        EngineError: A word or a name is unknown, or the back end cannot be used.
    """
    from engine.backends import select_backend
    from engine.verification import choose_checks

    choice = select_backend(read_backend(overrides), LARGEST_NODES)
    backend = choice.backend
    checks = choose_checks(backend.name, only=tuple(only), is_full=is_full)
    if is_json:
        verdicts = list(measure_checks(backend, checks))
        report = build_report(backend, verdicts)
        sys.stdout.write(f"{json.dumps(report, indent=2, allow_nan=False)}\n")
    else:
        verdicts = _show_checks(backend, checks, choice.reason)
    is_held = all(verdict.is_held for verdict in verdicts)
    return outcome.DONE if is_held else outcome.FAILED


def read_backend(overrides: Sequence[str]) -> BackendConfig:
    """Read which back end is asked for.

    Args:
        overrides: Words as typed.

    Raises:
        ConfigError: A word is about something else, or not allowed.
        MissingPackageError: Hydra is not installed.
    """
    for word in overrides:
        key = word.partition("=")[0]
        if key != "backend" and not key.startswith("backend."):
            raise ConfigError(
                f"{quote(word)} has no meaning here, for every check brings its own "
                "network; give backend=cpu, backend=reference, backend=cuda or "
                "backend.threads=N."
            )
    return compose_run_config(overrides).backend


def measure_checks(
    backend: Backend,
    checks: Iterable[Check],
    announce: Callable[[Check], None] = lambda check: None,
) -> Iterator[Verdict]:
    """Measure checks one after another.

    Args:
        backend: Where.
        checks: What.
        announce: Called before each.

    Yields:
        What each came to.
    """
    from engine.verification import Row, Verdict

    for check in checks:
        announce(check)
        start_s = time.perf_counter()
        try:
            rows = check.measure(backend)
        except ArithmeticError as error:
            # What is broken may leave nothing to measure: that is a miss, too.
            rows = (Row(f"not measurable ({error})", 0.0, math.nan, 0.0),)
        yield Verdict(check, rows, time.perf_counter() - start_s)


def build_report(backend: Backend, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Gather everything for programs.

    Args:
        backend: Where it was measured.
        verdicts: What came of it.
    """
    return {
        "backend": backend.name,
        "device": backend.device,
        "is_held": all(verdict.is_held for verdict in verdicts),
        "checks": [verdict.to_dict() for verdict in verdicts],
    }


def describe_end(backend: Backend, verdicts: Sequence[Verdict]) -> str:
    """Say in one line whether all was well, and what was not.

    Args:
        backend: Where it was measured.
        verdicts: What came of it.
    """
    span = format_span(sum(verdict.wall_s for verdict in verdicts))
    figures = sum(len(verdict.rows) for verdict in verdicts)
    failed = [verdict for verdict in verdicts if not verdict.is_held]
    if not failed:
        held = "The check holds"
        if len(verdicts) > 1:
            held = f"All {len(verdicts)} checks hold"
        return f"{held} on {backend.name}: {figures} figures in {span}."
    complaints = "; ".join(_describe_failure(verdict) for verdict in failed)
    return (
        f"{len(failed)} of {len(verdicts)} checks failed on {backend.name}: "
        f"{complaints}."
    )


def _describe_failure(verdict: Verdict) -> str:
    missed = [row for row in verdict.rows if not row.is_held]
    first = missed[0]
    more = f" and {len(missed) - 1} more" if len(missed) > 1 else ""
    return (
        f"{verdict.check.name} ({first.quantity} is {first.measured:.6g} instead of "
        f"{first.exact:.6g}{more})"
    )


def _show_checks(
    backend: Backend, checks: Sequence[Check], reason: str
) -> list[Verdict]:
    """Print each check as soon as it is measured, and the closing line."""
    from experiments.views.terminal import is_redrawable, open_console
    from experiments.views.verdicts import format_verdict_lines, print_verdict

    console, verdicts = open_console(), []
    is_live = is_redrawable(console)
    heading = f"{backend.name} on {backend.device} ({reason})"
    console.print(heading, soft_wrap=True, markup=False)
    with _open_progress(console, len(checks), is_live=is_live) as announce:
        for verdict in measure_checks(backend, checks, announce):
            verdicts.append(verdict)
            if is_live:
                print_verdict(console, verdict)
            else:
                sys.stdout.write(f"{format_verdict_lines(verdict)}\n")
                sys.stdout.flush()
    is_held = all(verdict.is_held for verdict in verdicts)
    style = ("bold green" if is_held else "bold red") if is_live else None
    ending = describe_end(backend, verdicts)
    console.print(ending, style=style, soft_wrap=True, markup=False)
    return verdicts


@contextmanager
def _open_progress(
    console: Console, count: int, *, is_live: bool
) -> Iterator[Callable[[Check], None]]:
    """Show below the table which check is being measured; nothing elsewhere."""
    if not is_live:
        yield lambda check: None
        return
    start_s, done = time.perf_counter(), 0
    with console.status("compiling kernels", spinner="line") as status:

        def announce(check: Check) -> None:
            nonlocal done
            done += 1
            span = format_span(time.perf_counter() - start_s)
            status.update(f"{done} of {count}, {span}: {check.name}")

        yield announce

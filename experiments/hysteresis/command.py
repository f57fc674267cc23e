"""The command ``hysteresis``: take a living system up and down, and write it down."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.config import RunConfig
from engine.disk import write_text
from engine.errors import RecordError
from experiments import outcome
from experiments.hysteresis.loop import (
    COUPLING,
    DOWN,
    STRENGTH,
    UP,
    HysteresisLoop,
    Point,
    SweepPlan,
)
from experiments.overrides import compose_run_config

if TYPE_CHECKING:
    from engine.system import ScribbleSystem

SYMBOLS: Final = types.MappingProxyType({COUPLING: "K", STRENGTH: "kappa"})
"""What a parameter is called in tables."""
POINT_COLUMNS: Final = types.MappingProxyType(
    {
        "direction": "string",
        "value_rad_s": "float64",
        "coherence": "float64",
        "coherence_deviation": "float64",
    }
)
"""One row of `hysteresis.parquet` per point, in the order of the sweep."""


def check_plan(system: ScribbleSystem, plan: SweepPlan) -> None:
    """Check that a system can be taken all the way up.

    Args:
        system: What is to be swept.
        plan: The sweep.

    Raises:
        ConfigError: The strongest coupling is too strong for the time step.
    """
    if plan.parameter == COUPLING:
        system.lattice.check_time_step(system.config.dynamics.dt_s, plan.high_rad_s)


def sweep_system(
    system: ScribbleSystem, plan: SweepPlan, on_point: Callable[[Point], None]
) -> HysteresisLoop:
    """Take a living system up and down.

    Args:
        system: Built with the parameter at the start of the plan.
        plan: What to sweep.
        on_point: Called after every point.

    Returns:
        The loop.

    Raises:
        ConfigError: A value does not suit the time step; see `check_plan`.
    """
    is_coupling = plan.parameter == COUPLING
    adjust = system.adjust_coupling if is_coupling else system.adjust_strength
    points = []
    for direction, value_rad_s in plan.list_targets():
        adjust(value_rad_s)
        system.advance(plan.settle_s)
        values: list[float] = []
        system.advance(plan.measure_s, lambda at: values.append(at.coherence))  # noqa: B023
        mean, deviation = float(np.mean(values)), float(np.std(values))
        points.append(Point(direction, value_rad_s, mean, deviation))
        on_point(points[-1])
    return HysteresisLoop(plan, tuple(points))


def run_hysteresis(
    overrides: Sequence[str],
    plan: SweepPlan,
    *,
    folder: Path | None = None,
    is_json: bool = False,
) -> int:
    """Sweep a configuration, print the table and write the folder.

    An interrupted sweep leaves the points that it has measured.

    Args:
        overrides: Words as typed; the controller is `fixed` unless they choose one.
        plan: What to sweep.
        folder: Where to write; a new dated folder by default.
        is_json: Print the figures as JSON instead of the table.

    Returns:
        Exit code.

    Raises:
        EngineError: The plan, the configuration, the machine or the folder does not
            allow the sweep.
    """
    from engine.recording import check_folder
    from experiments.run import RUNS_FOLDER, build_system, find_free_folder

    plan.validate()
    config = plan.apply(compose_run_config(["controller=fixed", *overrides]))
    record = replace(config.record, folder=None, forecast=False)
    config = replace(config, record=record)
    chosen = folder or find_free_folder(Path(RUNS_FOLDER))
    check_folder(chosen, overwrite=False)
    show = _be_silent if is_json else _write_point
    with build_system(config) as system:
        check_plan(system, plan)
        if not is_json:
            _write_head(plan)
        with _claim_folder(chosen):
            loop = _sweep_until_stopped(system, plan, show)
            machine = (system.backend.name, system.backend.device)
            names = write_folder(chosen, config, loop, machine)
    if is_json:
        sys.stdout.write(f"{json.dumps(loop.to_dict(), indent=2)}\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in list_findings(loop)))
        sys.stdout.write(f"folder: {chosen} ({', '.join(names)})\n")
        if loop.is_complete and not any(name.endswith(".svg") for name in names):
            sys.stdout.write(
                "no pictures, for Matplotlib is not installed; run: pip install "
                '"scribble-engine[report]"\n'
            )
    return outcome.DONE if loop.is_complete else outcome.INTERRUPTED


def _sweep_until_stopped(
    system: ScribbleSystem, plan: SweepPlan, show: Callable[[Point], None]
) -> HysteresisLoop:
    """Sweep, and keep the points of an interrupted sweep, if there are any."""
    points: list[Point] = []

    def take(point: Point) -> None:
        points.append(point)
        show(point)

    try:
        return sweep_system(system, plan, take)
    except KeyboardInterrupt:
        if not points:
            raise
        return HysteresisLoop(plan, tuple(points))


@contextmanager
def _claim_folder(folder: Path) -> Iterator[None]:
    """Make the folder; leave none behind if nothing is written into it.

    Raises:
        RecordError: It cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RecordError(
            f"--folder {folder} cannot be written ({error.strerror or error}); choose "
            "another folder."
        ) from error
    finally:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _be_silent(point: Point) -> None:
    """Show nothing of a point."""


def _write_head(plan: SweepPlan) -> None:
    symbol = SYMBOLS[plan.parameter]
    sys.stdout.write(f"way   {symbol:>5} [rad/s]      r  deviation\n")


def _write_point(point: Point) -> None:
    bar = "#" * round(40 * point.coherence)
    sys.stdout.write(
        f"{point.direction:4}  {point.value_rad_s:13.6g}  {point.coherence:.3f}  "
        f"{point.coherence_deviation:9.4f}  {bar}\n"
    )
    sys.stdout.flush()


def list_findings(loop: HysteresisLoop) -> list[str]:
    """Say in lines what a sweep has found.

    Args:
        loop: The sweep.
    """
    if not loop.is_complete:
        count = 2 * loop.plan.point_count
        return [f"interrupted after {len(loop.points)} of {count} points"]
    lines = [f"area of the loop: {loop.area_rad_s:.4g} rad/s (r down minus r up)"]
    for way in (UP, DOWN):
        jump = loop.find_jump(way)
        lines.append(
            f"jump {way}: none"
            if jump is None
            else f"jump {way}: at {jump.value_rad_s:.4g} rad/s, r {jump.before:.3f} to "
            f"{jump.after:.3f}"
        )
    return lines


def write_folder(
    folder: Path, config: RunConfig, loop: HysteresisLoop, machine: tuple[str, str]
) -> list[str]:
    """Write configuration, figures and, where Matplotlib is there, both pictures.

    Args:
        folder: Folder that exists.
        config: Configuration at the start of the sweep.
        loop: The sweep; without pictures where it was interrupted.
        machine: Name and device of the back end.

    Returns:
        Names of the files.
    """
    from engine.recording import describe_environment, to_yaml
    from engine.recording.tables import TableWriter
    from experiments.hysteresis import picture
    from experiments.hysteresis.study import build_study
    from experiments.report.study import STUDY_FILE

    study = build_study(loop, list_findings(loop))
    texts = {
        "config.yaml": to_yaml(asdict(config)),
        "environment.json": json.dumps(describe_environment(*machine), indent=2) + "\n",
        STUDY_FILE: json.dumps(study.to_dict(), indent=2) + "\n",
        "hysteresis.json": json.dumps(loop.to_dict(), indent=2) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    table = TableWriter(folder / "hysteresis.parquet", POINT_COLUMNS)
    for point in loop.points:
        table.add(asdict(point))
    table.close()
    pictures = picture.draw_pictures(folder, loop) if loop.is_complete else []
    return [*texts, "hysteresis.parquet", *pictures]

"""Commands that simulate or foretell, such as run, resume, forecast and replay."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.errors import RecordError
from experiments.cli.sweeps import add_sweep_options, run_sweep_words
from experiments.cli.words import (
    OVERRIDES_HELP,
    Commands,
    add_command,
    add_run_options,
)

_RUN_EPILOG = """\
examples:
  scribble run                                 the default run, about a minute
  scribble run +experiment=demo                a quick look at the controller
  scribble run lattice=triangular lattice.shape=[128,128] dynamics.duration_s=5
  scribble run controller=floor backend=cpu    a group is chosen by its name
  scribble run -m seed=1,2,3 tunnel=default,production
  scribble run -m seed=1,2 --pair lattice.shape=[64,64],[96,96] bridges.per_node=2,4
  scribble run -m --dry-run seed=1,2,3 lattice=square,fcc
  scribble run -m hydra/launcher=ray hydra.launcher.workers=2 seed=range(0,12)
  scribble run --resume runs/2026-11-22_18-00-00
  scribble run --cfg lattice=chain             print the configuration, run nothing
"""
_RESUME_EPILOG = """\
examples:
  scribble resume runs/2026-11-22_18-00-00     from its newest checkpoint that is whole
  scribble resume runs/2026-11-22_18-00-00 --threads 4
  scribble resume runs/2026-11-22_18-00-00 metrics=http record.checkpoint_wall_s=600
Settings of backend, record and metrics hold until the run is stopped again; any other
would make another run of it.
A sweep is resumed by: scribble run --resume SWEEP.
"""
_FORECAST_EPILOG = """\
examples:
  scribble forecast                            the default run, rung by rung
  scribble forecast lattice=chain bridges.per_node=8
  scribble forecast --json tunnel.min_coherence=0.95
"""
_HYSTERESIS_EPILOG = """\
examples:
  scribble hysteresis --from 50 --to 400       K of the default run, up and down
  scribble hysteresis +experiment=hysteresis --from 250 --to 1250
  scribble hysteresis --parameter bridges.strength_rad_s --from 5 --to 200 --points 15
"""
_VERIFY_EPILOG = """\
examples:
  scribble verify                              the quick checks, about a minute
  scribble verify --full backend=cuda          all of them on the GPU
  scribble verify --only mode-decay --only detuned-pair backend=reference
"""


def add_run(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``run``."""
    parser = add_command(commands, "run", "run one simulation, or a sweep", _RUN_EPILOG)
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="run once for every combination of comma-separated values",
    )
    parser.add_argument(
        "--cfg", action="store_true", help="print the resolved configuration and stop"
    )
    add_sweep_options(parser)
    add_run_options(parser)
    parser.set_defaults(command=_run)


def add_resume(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``resume``."""
    text = "go on with a run that was interrupted, killed or failed"
    parser = add_command(commands, "resume", text, _RESUME_EPILOG)
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="settings of backend, record and metrics for the time to come",
    )
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help="compute on another back end; cpu and cuda give the same bits",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="use another number of CPU threads"
    )
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print only one closing line, the run folder last",
    )
    parser.set_defaults(command=_resume)


def add_forecast(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``forecast``."""
    text = "say what a run will reach and cost at every tunnel frequency; run nothing"
    parser = add_command(commands, "forecast", text, _FORECAST_EPILOG)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES_HELP
    )
    parser.set_defaults(command=_forecast)


def add_hysteresis(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``hysteresis``."""
    text = "take a coupling up and down, the state carried over, and measure coherence"
    parser = add_command(commands, "hysteresis", text, _HYSTERESIS_EPILOG)
    numbers: tuple[tuple[str, str, type, object, str], ...] = (
        ("--from", "low_rad_s", float, None, "start of the sweep [rad/s]"),
        ("--to", "high_rad_s", float, None, "where it turns round [rad/s]"),
        ("--points", "point_count", int, 21, "points of each way"),
        ("--settle", "settle_s", float, 0.5, "simulated time before measuring [s]"),
        ("--measure", "measure_s", float, 0.25, "simulated time of measuring [s]"),
    )
    for option, name, kind, default, meaning in numbers:
        parser.add_argument(
            option,
            dest=name,
            type=kind,
            default=default,
            required=default is None,
            metavar=option[2].upper(),
            help=meaning if default is None else f"{meaning}; {default} by default",
        )
    parser.add_argument(
        "--parameter",
        default="lattice.coupling_rad_s",
        metavar="KEY",
        help="lattice.coupling_rad_s (default) or bridges.strength_rad_s",
    )
    parser.add_argument("--folder", type=Path, help="where to write; a new one if not")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES_HELP
    )
    parser.set_defaults(command=_hysteresis)


def add_verify(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``verify``."""
    text = "measure known exact results on this machine and show how well they hold"
    parser = add_command(commands, "verify", text, _VERIFY_EPILOG)
    parser.add_argument("--full", action="store_true", help="the long checks too")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="this check alone, long or not; may be given again",
    )
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="backend=NAME",
        help="where to measure: cpu, reference, cuda or auto",
    )
    parser.set_defaults(command=_verify)


def add_replay(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``replay``."""
    text = "repeat a recorded run on its own trace and compare the digests"
    parser = add_command(commands, "replay", text)
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    add_run_options(parser)
    parser.set_defaults(command=_replay)


def _run(arguments: argparse.Namespace) -> int:
    from experiments.run import print_config, run_single

    if arguments.cfg:
        return print_config(arguments.overrides)
    is_sweep = arguments.multirun or arguments.resume or arguments.retry_failed
    options = (
        arguments.dry_run,
        arguments.pair,
        arguments.in_process,
        arguments.json,
        arguments.job_memory,
    )
    if is_sweep or any(options):
        return run_sweep_words(arguments)
    return run_single(
        arguments.overrides,
        is_quiet=arguments.quiet,
        is_recorded=not arguments.no_record,
    )


def _resume(arguments: argparse.Namespace) -> int:
    from experiments.resume import resume_run
    from experiments.sweep.plan import PLAN_FILE

    folder: Path = arguments.folder
    if (folder / PLAN_FILE).is_file():
        raise RecordError(
            f"{folder} is a sweep, not a run; go on with it by scribble run --resume "
            f"{folder}."
        )
    return resume_run(
        folder,
        arguments.overrides,
        backend=arguments.backend,
        threads=arguments.threads,
        is_quiet=arguments.quiet,
    )


def _forecast(arguments: argparse.Namespace) -> int:
    from experiments.forecast import show_forecast

    return show_forecast(arguments.overrides, is_json=arguments.json)


def _hysteresis(arguments: argparse.Namespace) -> int:
    from experiments.hysteresis import SweepPlan, run_hysteresis

    plan = SweepPlan(
        parameter=arguments.parameter,
        low_rad_s=arguments.low_rad_s,
        high_rad_s=arguments.high_rad_s,
        point_count=arguments.point_count,
        settle_s=arguments.settle_s,
        measure_s=arguments.measure_s,
    )
    return run_hysteresis(
        arguments.overrides,
        plan,
        folder=arguments.folder,
        is_json=arguments.json,
    )


def _verify(arguments: argparse.Namespace) -> int:
    from experiments.verify import show_verification

    return show_verification(
        arguments.overrides,
        only=arguments.only,
        is_full=arguments.full,
        is_json=arguments.json,
    )


def _replay(arguments: argparse.Namespace) -> int:
    from experiments.replay import replay_run

    return replay_run(
        arguments.folder,
        arguments.overrides,
        is_quiet=arguments.quiet,
        is_recorded=not arguments.no_record,
    )

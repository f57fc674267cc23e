"""The console script ``scribble``: words in, one exit code out.

Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted. Commands are imported when
they are called, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine import __version__
from engine.errors import ConfigError
from experiments import outcome

_EPILOG = """\
exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted.
SCRIBBLE_TRACEBACK=1 shows the traceback of any error.
"""
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
_FORECAST_EPILOG = """\
examples:
  scribble forecast                            the default run, rung by rung
  scribble forecast lattice=chain bridges.per_node=8
  scribble forecast --json tunnel.min_coherence=0.95
"""
_REPORT_EPILOG = """\
examples:
  scribble report runs/2026-11-22_18-00-00     a run, or a sweep with all its jobs
  scribble report runs/2026-11-22_18-00-00 --to load.html
The file opens without a network. report.html in the folder itself is the default.
"""
_COMPARE_EPILOG = """\
examples:
  scribble compare runs/2026-11-22_18-00-00 runs/2026-11-22_18-05-00
  scribble compare SWEEP OTHER_SWEEP --to comparison.html
"""
_LOAD_EPILOG = """\
settings (times are wall time; --list shows all with their defaults):
  cpu=0.6  cpu=[0.9,0.1]      share of every allowed core, or of each
  cpu_target=machine          the share is everybody's: fill the cores up to it
  memory=0.2  memory_bytes=2GiB      held and touched, never into headroom=0.1
  gpu=0.5  gpu_target=utilisation  gpu_power_w=250  gpu_memory=0.3
  profile=constant|step|ramp|square|sine|trace  base_level=0.1  start_s=1  period_s=4
  trace=runs/2026-11-22_18-00-00     for profile=trace: utilisation to repeat
  duration_s=60               ends by itself; up to 86400
  temperature_limit_c=90      ends at once when a sensor shows more
examples:
  scribble load cpu=0.6 memory=0.2 profile=square period_s=4 duration_s=20
  scribble load cpu=[1,0] duration_s=10 --folder loads/one_core
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
_HYSTERESIS_EPILOG = """\
examples:
  scribble hysteresis --from 50 --to 400       K of the default run, up and down
  scribble hysteresis +experiment=hysteresis --from 250 --to 1250
  scribble hysteresis --parameter bridges.strength_rad_s --from 5 --to 200 --points 15
"""
_WATCH_EPILOG = """\
examples:
  scribble run metrics=http metrics.port=0     a run that can be watched
  scribble watch runs                          beside it: writes watch/, keeps it fresh
  prometheus --config.file=watch/prometheus.yml
watch/scribble.json is the dashboard: in Grafana, Dashboards > New > Import.
"""
_VERIFY_EPILOG = """\
examples:
  scribble verify                              the quick checks, about a minute
  scribble verify --full backend=cuda          all of them on the GPU
  scribble verify --only mode-decay --only detuned-pair backend=reference
"""
_OVERRIDES_HELP = (
    "a setting such as dynamics.duration_s=5, or a choice such as lattice=bcc"
)


def build_parser() -> argparse.ArgumentParser:
    """Build the command line parser."""
    parser = argparse.ArgumentParser(
        prog="scribble",
        description="Simulate very large networks of phase oscillators, with an eye on "
        "the machine's resources.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"scribble {__version__}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    _add_run(commands)
    _add_sweep(commands)
    _add_forecast(commands)
    _add_hysteresis(commands)
    _add_verify(commands)
    _add_replay(commands)
    _add_report(commands)
    _add_compare(commands)
    _add_render(commands)
    _add_export(commands)
    _add_monitor(commands)
    _add_watch(commands)
    _add_load(commands)
    _add_doctor(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Words after the program's name; those of the process by default.

    Returns:
        Exit code.
    """
    parser = build_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _parse(parser, words)
    except SystemExit as end:  # argparse ends by itself after --help and bad options
        return end.code if isinstance(end.code, int) else outcome.BAD_INPUT
    return outcome.close_command(lambda: arguments.command(arguments))


def _parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Parse, with settings and options in any order."""
    if not words:
        parser.print_help(sys.stderr)
        parser.exit(outcome.BAD_INPUT)
    arguments, rest = parser.parse_known_args(words)
    options = [word for word in rest if word.startswith("-")]
    if options or (rest and not hasattr(arguments, "overrides")):
        parser.error(f"unknown argument: {' '.join(options or rest)}")
    if rest:
        arguments.overrides = [*arguments.overrides, *rest]
    return arguments


_Commands = argparse._SubParsersAction  # argparse has no public name for it


def _add_command(
    commands: _Commands[argparse.ArgumentParser],
    name: str,
    text: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print only one closing line, the run folder last",
    )
    parser.add_argument("--no-record", action="store_true", help="write no run folder")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help=_OVERRIDES_HELP
    )


def _add_run(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add_command(
        commands, "run", "run one simulation, or a sweep", _RUN_EPILOG
    )
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="run once for every combination of comma-separated values",
    )
    parser.add_argument(
        "--cfg", action="store_true", help="print the resolved configuration and stop"
    )
    _add_sweep_options(parser)
    _add_run_options(parser)
    parser.set_defaults(command=_run)


def _add_sweep_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sweeps")
    group.add_argument(
        "--pair",
        action="append",
        nargs="+",
        default=[],
        metavar="KEY=VALUES",
        help="keys that vary together: the lists among the words up to the next option",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="list the jobs with forecast coherence, time and memory; run nothing",
    )
    group.add_argument(
        "--json", action="store_true", help="with --dry-run: the list as JSON"
    )
    again = group.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        type=Path,
        metavar="SWEEP",
        help="go on with a sweep: run what is missing, was interrupted or failed",
    )
    again.add_argument(
        "--retry-failed",
        type=Path,
        metavar="SWEEP",
        help="run again only what failed or was killed; leave the rest alone",
    )
    group.add_argument(
        "--job-memory",
        metavar="SIZE",
        help="most memory a job's process may hold, such as 8GiB; beyond it, it fails",
    )
    group.add_argument(
        "--in-process",
        action="store_true",
        help="no process per job: quicker for tiny jobs, but a kill ends the sweep",
    )


def _add_sweep(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "print the table of a sweep, running or ended, and write sweep.parquet"
    parser = _add_command(commands, "sweep", text)
    parser.add_argument("folder", type=Path, metavar="SWEEP", help="a sweep folder")
    parser.add_argument("--json", action="store_true", help="the rows as JSON")
    parser.set_defaults(command=_show_sweep)


def _add_forecast(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "say what a run will reach and cost at every tunnel frequency; run nothing"
    parser = _add_command(commands, "forecast", text, _FORECAST_EPILOG)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help=_OVERRIDES_HELP
    )
    parser.set_defaults(command=_forecast)


def _add_hysteresis(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "take a coupling up and down, the state carried over, and measure coherence"
    parser = _add_command(commands, "hysteresis", text, _HYSTERESIS_EPILOG)
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
        "overrides", nargs="*", metavar="KEY=VALUE", help=_OVERRIDES_HELP
    )
    parser.set_defaults(command=_hysteresis)


def _add_verify(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "measure known exact results on this machine and show how well they hold"
    parser = _add_command(commands, "verify", text, _VERIFY_EPILOG)
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


def _add_replay(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "repeat a recorded run on its own trace and compare the digests"
    parser = _add_command(commands, "replay", text)
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    _add_run_options(parser)
    parser.set_defaults(command=_replay)


def _add_report(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "write what a run, a sweep or a study found as one HTML file"
    parser = _add_command(commands, "report", text, _REPORT_EPILOG)
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of a run, a sweep or a study"
    )
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="the file; DIR/report.html by default"
    )
    parser.set_defaults(command=_report)


def _add_compare(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "lay two runs or two sweeps side by side"
    parser = _add_command(commands, "compare", text, _COMPARE_EPILOG)
    parser.add_argument("first", type=Path, metavar="A", help="a run or a sweep")
    parser.add_argument("second", type=Path, metavar="B", help="another one")
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="an HTML file to write as well"
    )
    parser.set_defaults(command=_compare)


def _add_render(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "draw the phases, frequencies and phase locking that a run has observed"
    parser = _add_command(commands, "render", text, _RENDER_EPILOG)
    _add_target_options(parser, "the file; its ending tells the format")
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


def _add_export(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "write the snapshots of a run as a Zarr store for xarray, or as NumPy arrays"
    parser = _add_command(commands, "export", text, _EXPORT_EPILOG)
    parser.add_argument(
        "--format", default="zarr", metavar="NAME", help="zarr (default) or npz"
    )
    _add_target_options(parser, "where to write")
    parser.set_defaults(command=_export)


def _add_target_options(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--to", type=Path, metavar="PATH", help=f"{what}; beside RUN by default"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier call wrote"
    )


def _add_monitor(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "show cores, memory and GPUs as a run would see them, until Ctrl-C"
    parser = _add_command(commands, "monitor", text)
    parser.add_argument("--once", action="store_true", help="one look, then stop")
    parser.add_argument("--json", action="store_true", help="one snapshot as JSON")
    parser.set_defaults(command=_monitor)


def _add_watch(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "tell Prometheus and Grafana which runs go on, until Ctrl-C"
    parser = _add_command(commands, "watch", text, _WATCH_EPILOG)
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path("runs"),
        metavar="RUNS",
        help="where run folders are; runs by default",
    )
    parser.add_argument(
        "--to",
        type=Path,
        default=Path("watch"),
        metavar="PATH",
        help="folder of prometheus.yml, targets.json and scribble.json; watch if not",
    )
    parser.add_argument("--once", action="store_true", help="one look, then stop")
    parser.add_argument(
        "--json", action="store_true", help="the targets as JSON; write nothing"
    )
    parser.set_defaults(command=_watch)


def _add_load(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = (
        "load cores, memory and a GPU of this machine, and compare with what is asked"
    )
    parser = _add_command(commands, "load", text, _LOAD_EPILOG)
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print only one closing line"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="record what was achieved here"
    )
    parser.add_argument(
        "--list", action="store_true", help="list every setting and stop"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="a setting such as cpu=0.6"
    )
    parser.set_defaults(command=_load)


def _add_doctor(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "say what was found on this machine, and the cure for what is missing"
    parser = _add_command(commands, "doctor", text)
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.set_defaults(command=_doctor)


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
        return _run_sweep(arguments)
    return run_single(
        arguments.overrides,
        is_quiet=arguments.quiet,
        is_recorded=not arguments.no_record,
    )


def _run_sweep(arguments: argparse.Namespace) -> int:
    from experiments import sweep
    from experiments.wording import parse_bytes

    folder = arguments.resume or arguments.retry_failed
    only = "failed" if arguments.retry_failed else "unfinished"
    _check_sweep_words(arguments, folder)
    if arguments.dry_run:
        return sweep.dry_run_sweep(
            arguments.overrides,
            pairs=arguments.pair,
            folder=folder,
            only=only,
            is_json=arguments.json,
        )
    quiet, size = arguments.quiet, arguments.job_memory
    memory_bytes = None if size is None else parse_bytes(size, "--job-memory")
    if folder is not None:
        return sweep.resume_sweep(
            folder,
            arguments.overrides,
            only=only,
            is_quiet=quiet,
            memory_bytes=memory_bytes,
        )
    options = sweep.SweepOptions(
        quiet, not arguments.no_record, not arguments.in_process, memory_bytes
    )
    return sweep.run_sweep(arguments.overrides, pairs=arguments.pair, options=options)


def _check_sweep_words(arguments: argparse.Namespace, folder: Path | None) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError: They do not.
    """
    if folder is None:
        if arguments.json and not arguments.dry_run:
            raise ConfigError(
                "--json belongs to --dry-run; for a table: scribble sweep."
            )
        if arguments.multirun or arguments.dry_run:
            return
        words = ("pair", "in_process", "job_memory")
        name = next(word for word in words if getattr(arguments, word))
        name = f"--{name.replace('_', '-')}"
        raise ConfigError(f"{name} is for sweeps; add -m.")
    given = {
        "--pair": arguments.pair,
        "--no-record": arguments.no_record,
        "--in-process": arguments.in_process,
    }
    for name, value in given.items():
        if value:
            raise ConfigError(
                f"{name} cannot be given for a sweep that exists; its jobs are planned "
                "already."
            )


def _show_sweep(arguments: argparse.Namespace) -> int:
    from experiments.sweep import show_sweep

    return show_sweep(arguments.folder, is_json=arguments.json)


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


def _report(arguments: argparse.Namespace) -> int:
    from experiments.report.command import show_report

    return show_report(arguments.folder, arguments.to)


def _compare(arguments: argparse.Namespace) -> int:
    from experiments.report.command import show_comparison

    return show_comparison(arguments.first, arguments.second, arguments.to)


def _render(arguments: argparse.Namespace) -> int:
    from experiments.render import render_run

    return render_run(
        arguments.folder,
        target=arguments.to,
        every=arguments.every,
        theme=arguments.theme,
        is_animated=arguments.animate,
        may_replace=arguments.overwrite,
    )


def _export(arguments: argparse.Namespace) -> int:
    from experiments.export import export_run

    return export_run(
        arguments.folder,
        format_name=arguments.format,
        target=arguments.to,
        may_replace=arguments.overwrite,
    )


def _monitor(arguments: argparse.Namespace) -> int:
    from experiments.monitor import show_monitor

    return show_monitor(is_json=arguments.json, is_once=arguments.once)


def _watch(arguments: argparse.Namespace) -> int:
    from experiments.watch import print_targets, watch_runs

    if arguments.json:
        return print_targets(arguments.folder)
    return watch_runs(arguments.folder, arguments.to, is_once=arguments.once)


def _load(arguments: argparse.Namespace) -> int:
    from experiments.load import generate_load, list_settings

    if arguments.list:
        return list_settings()
    return generate_load(
        arguments.overrides, folder=arguments.folder, is_quiet=arguments.quiet
    )


def _doctor(arguments: argparse.Namespace) -> int:
    from experiments.doctor import show_doctor

    return show_doctor(is_json=arguments.json)

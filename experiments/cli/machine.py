"""Commands about the machine: monitor, watch, load, doctor."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.cli.words import (
    Commands,
    add_command,
)

_WATCH_EPILOG = """\
examples:
  scribble run metrics=http metrics.port=0     a run that can be watched
  scribble watch runs                          beside it: writes watch/, keeps it fresh
  prometheus --config.file=watch/prometheus.yml
watch/scribble.json is the dashboard: in Grafana, Dashboards > New > Import.
"""
_LOAD_EPILOG = """\
settings (times are wall time; --list shows all with their defaults):
  cpu=0.6  cpu=[0.9,0.1]      share of every allowed core, or of each
  cpu_target=machine          the share is everybody's: fill the cores up to it
  memory=0.2  memory_bytes=2GiB      held and touched, never into headroom=0.1
  gpu=0.5  gpu_target=utilisation  gpu_power_w=250  gpu_memory=0.3
  profile=constant|step|ramp|square|sine|noise|trace
  base_level=0.1  start_s=1  period_s=4
  trace=runs/2026-11-22_18-00-00     for profile=trace: utilisation to repeat
  duration_s=60               ends by itself; up to 86400
  temperature_limit_c=90      ends at once when a sensor shows more
examples:
  scribble load cpu=0.6 memory=0.2 profile=square period_s=4 duration_s=20
  scribble load cpu=[1,0] duration_s=10 --folder loads/one_core
"""


def add_monitor(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``monitor``."""
    text = "show cores, memory and GPUs as a run would see them, until Ctrl-C"
    parser = add_command(commands, "monitor", text)
    parser.add_argument("--once", action="store_true", help="one look, then stop")
    parser.add_argument("--json", action="store_true", help="one snapshot as JSON")
    parser.set_defaults(command=_monitor)


def add_watch(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``watch``."""
    text = "tell Prometheus and Grafana which runs go on, until Ctrl-C"
    parser = add_command(commands, "watch", text, _WATCH_EPILOG)
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


def add_load(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``load``."""
    text = (
        "load cores, memory and a GPU of this machine, and compare with what is asked"
    )
    parser = add_command(commands, "load", text, _LOAD_EPILOG)
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


def add_doctor(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command ``doctor``."""
    text = "say what was found on this machine, and the cure for what is missing"
    parser = add_command(commands, "doctor", text)
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.set_defaults(command=_doctor)


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

"""Time one lattice step side by side: Scribble against other ways to do the same work.

    python -m benchmarks.peers [--side 1024] [--repeats 15] [--steps 8] [--save FILE]

All contestants advance the same lattice in one process, in turn, and are checked
against the readable `reference` back end before anything is timed; who disagrees is
listed and not timed. Packages that are not installed are listed with their pip line.
Printed are medians, with the machine named: times on shared machines vary, ratios vary
less. Figures go to FILE, the picture (extra `report`) to FILE-light.svg and
FILE-dark.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants import (
    COUPLING_RAD_S,
    DT_S,
    SPREAD_HZ,
    STEP_BYTES,
    TWO_PI,
    Contestant,
    Problem,
    Stepper,
    build_problem,
    build_reference,
    list_cpu_peers,
    list_engines,
    list_floors,
)
from benchmarks.gpu_contestants import list_gpu_contestants
from engine.backends.cpu import count_allowed_cores, name_processor
from engine.backends.probe import CudaProbe, probe_cuda
from engine.errors import ConfigError
from experiments import outcome

CHECK_STEPS = 8
"""Steps after which everybody is compared with the reference [-]."""
TOLERANCE_RAD = 2e-5
"""float32 keeps an angle below 2 pi to 2.4e-7 rad; eight steps add eight roundings, and
neighbours pass errors on, at most by exp(8 * 8 K dt) = 32 [rad]."""
PAUSE_S = 0.005
"""Rest before a turn, in which the threads of the last contestant fall asleep [s]."""
DEFAULT_FILE = Path(__file__).parent / "results" / "peers.json"
GOAL_AGAINST_PEERS = 10.0
"""How many times faster than the best peer the engine wants to be [-]."""


@dataclass
class Entry:
    """A contestant in the race."""

    contestant: Contestant
    side: int
    """Nodes along one axis of the lattice it works on [-]."""
    status: str = "timed"
    """timed, wrong, not installed or failed."""
    note: str = ""
    """What a reader must know."""
    stepper: Stepper | None = None
    error_rad: float | None = None
    """Largest difference from the reference after `CHECK_STEPS` [rad]."""
    start_s: float | None = None
    """Import, building, compiling and the first `CHECK_STEPS` steps [s]."""
    turns_s: list[float] = field(default_factory=list)
    """Time per step, one value per turn [s]."""

    @property
    def ns_per_node_step(self) -> float | None:
        """Median time per node and step, scaled to 12 bytes for a copy [ns]."""
        if not self.turns_s:
            return None
        scale = STEP_BYTES / self.contestant.moved_bytes
        return statistics.median(self.turns_s) / self.side**2 * 1e9 * scale


class Truth:
    """The phases that everybody must reach, by size of the lattice."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Problem, np.ndarray]] = {}

    def __call__(self, side: int) -> tuple[Problem, np.ndarray]:
        """Return the problem and its phases [rad] after `CHECK_STEPS` steps."""
        if side not in self._known:
            problem = build_problem(side)
            stepper = build_reference(problem)
            stepper.state = stepper.leap(stepper.state, CHECK_STEPS)
            self._known[side] = problem, stepper.state.phases
        return self._known[side]


def largest_error_rad(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest phase difference [rad]; not a number counts as infinite."""
    gap = np.abs((found - expected + np.pi) % TWO_PI - np.pi).max()
    return float(gap) if np.isfinite(gap) else float("inf")


def describe_failure(contestant: Contestant, error: BaseException) -> tuple[str, str]:
    """Say in a status and one line why somebody cannot take part."""
    module = getattr(error, "name", None) or ""
    if isinstance(error, ImportError) and module.split(".")[0] == contestant.module:
        return "not installed", f"pip install {contestant.package}"
    lines = str(error).strip().splitlines()
    return "failed", f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def enter_contestant(contestant: Contestant, side: int, truth: Truth) -> Entry:
    """Build a contestant, let it take its first steps and check them."""
    entry = Entry(contestant, min(side, contestant.largest_side or side))
    if entry.side < side:
        entry.note = f"at {entry.side} x {entry.side}"
    problem, expected = truth(entry.side)
    start = time.perf_counter()
    try:
        stepper = contestant.build(problem)
        stepper.advance(CHECK_STEPS)
        entry.start_s = time.perf_counter() - start
        found = stepper.read_phases()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a peer may break anyhow
        entry.status, entry.note = describe_failure(contestant, error)
        return entry
    entry.stepper = stepper
    if contestant.role != "floor":
        entry.error_rad = largest_error_rad(found, expected)
        if entry.error_rad > TOLERANCE_RAD:
            entry.status = "wrong"
            entry.note = f"wrong by {entry.error_rad:.2g} rad, not timed"
    return entry


def measure_in_turn(entries: Iterable[Entry], repeats: int, steps: int) -> None:
    """Time every contestant in each round, so that all meet the same weather.

    A turn is several steps in a row, as in a run: each starts from the caches that the
    step before it left. The order is drawn anew for each round, so that nobody always
    follows a contestant whose threads still spin.
    """
    racing = [entry for entry in entries if entry.status == "timed"]
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        for index in rng.permutation(len(racing)):
            entry = racing[index]
            assert entry.stepper is not None
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            entry.stepper.advance(steps)
            entry.turns_s.append((time.perf_counter() - start) / steps)


def list_contestants(cores: int, *, has_gpu: bool) -> list[Contestant]:
    """List everybody, Scribble first and the copies last."""
    engines, floors = list_engines(cores), list_floors(cores)
    on_gpu = list_gpu_contestants(cores) if has_gpu else []
    return [*engines, *list_cpu_peers(cores), *floors, *on_gpu]


def to_row(entry: Entry, side: int) -> dict[str, Any]:
    """Return the row of a contestant for the table and the JSON file."""
    contestant, value = entry.contestant, entry.ns_per_node_step
    quartiles = None
    if value is not None and len(entry.turns_s) > 1:
        scale = value / statistics.median(entry.turns_s)
        low, _, high = statistics.quantiles(entry.turns_s, n=4, method="inclusive")
        quartiles = [round(low * scale, 4), round(high * scale, 4)]
    return {
        "name": contestant.name,
        "role": contestant.role,
        "device": contestant.device,
        "threads": contestant.threads,
        "side": entry.side,
        "is_full_size": entry.side == side,
        "status": entry.status,
        "ns_per_node_step": None if value is None else round(value, 4),
        "quartiles_ns": quartiles,
        "largest_error_rad": entry.error_rad,
        "start_s": None if entry.start_s is None else round(entry.start_s, 3),
        "note": entry.note,
    }


def find_fastest(
    rows: Iterable[dict[str, Any]], role: str, device: str
) -> dict[str, Any] | None:
    """Return the fastest timed row of a role at the full size, if there is one."""
    timed = [
        row
        for row in rows
        if (row["role"], row["device"], row["status"]) == (role, device, "timed")
        and row["is_full_size"]
    ]
    return min(timed, key=lambda row: row["ns_per_node_step"], default=None)


def judge(rows: Sequence[dict[str, Any]], device: str) -> dict[str, Any] | None:
    """Compare the fastest engine with the best peer and with a copy.

    The copy is the one with as many threads as the engine, 12 bytes per node.

    Returns:
        Names and ratios; None if no engine was timed on the device.
    """
    engine = find_fastest(rows, "engine", device)
    if engine is None:
        return None
    peer = find_fastest(rows, "peer", device)
    alike = [row for row in rows if row["threads"] == engine["threads"]]
    floor = find_fastest(alike, "floor", device)
    value = engine["ns_per_node_step"]
    return {
        "device": device,
        "engine": engine["name"],
        "threads": engine["threads"],
        "ns_per_node_step": value,
        "best_peer": peer and peer["name"],
        "times_faster_than_best_peer": peer
        and round(peer["ns_per_node_step"] / value, 3),
        "copy": floor and floor["name"],
        "speed_against_copy": floor and round(floor["ns_per_node_step"] / value, 3),
    }


def list_versions(contestants: Iterable[Contestant]) -> dict[str, str]:
    """Return the versions of all packages that took part and are installed."""
    versions = {"python": platform.python_version()}
    for name in sorted({contestant.package for contestant in contestants}):
        try:
            base = name.partition("[")[0]
            versions[base] = metadata.version(base)
        except metadata.PackageNotFoundError:
            continue
    return versions


def compare(
    contestants: Sequence[Contestant], side: int, repeats: int, steps: int
) -> dict[str, Any]:
    """Check and time every contestant.

    Args:
        contestants: Who takes part.
        side: Nodes along one axis.
        repeats: Rounds.
        steps: Steps per turn.

    Returns:
        Plain figures, ready for JSON.
    """
    truth = Truth()
    entries = [enter_contestant(one, side, truth) for one in contestants]
    measure_in_turn(entries, repeats, steps)
    rows = [to_row(entry, side) for entry in entries]
    verdicts = [judge(rows, device) for device in ("cpu", "gpu")]
    return {
        "machine": f"{name_processor()}, {count_allowed_cores()} cores, "
        f"{platform.system()} {platform.machine()}",
        "side": side,
        "repeats": repeats,
        "steps_per_turn": steps,
        "coupling_rad_s": COUPLING_RAD_S,
        "spread_hz": SPREAD_HZ,
        "dt_s": DT_S,
        "versions": list_versions(contestants),
        "rows": rows,
        "verdicts": [verdict for verdict in verdicts if verdict],
    }


def format_row(row: dict[str, Any], baseline_ns: float | None) -> str:
    """Write a row of the table; `baseline_ns` is the engine's figure [ns]."""
    value, error, start = (
        row[key] for key in ("ns_per_node_step", "largest_error_rad", "start_s")
    )
    against = f"{value / baseline_ns:9.2f}x" if value and baseline_ns else ""
    return (
        f"{row['name']:26}{row['threads']:8}"
        f"{'' if value is None else f'{value:.3f}':>11}{against:>11}"
        f"{'' if error is None else f'{error:.1e}':>12}"
        f"{'' if start is None else f'{start:.2f}':>9}"
        f"  {_describe_status(row)}"
    ).rstrip()


def _describe_status(row: dict[str, Any]) -> str:
    """Name what went wrong, and the remark; nothing for who was simply timed."""
    status = "" if row["status"] in ("timed", "wrong") else f"{row['status']}: "
    return f"{status}{row['note']}"


def format_table(result: dict[str, Any]) -> str:
    """Write the whole table, CPU and GPU each with its engine as the measure."""
    lines = [
        f"{result['machine']}; {result['side']} x {result['side']} nodes, Euler, "
        f"{result['repeats']} rounds of {result['steps_per_turn']} steps",
        f"{'':26}{'threads':>8}{'ns/node':>11}{'engine x':>11}{'error [rad]':>12}"
        f"{'start[s]':>9}",
    ]
    for device in ("cpu", "gpu"):
        engine = find_fastest(result["rows"], "engine", device)
        baseline = engine and engine["ns_per_node_step"]
        rows = [row for row in result["rows"] if row["device"] == device]
        lines += [format_row(row, baseline) for row in rows]
    return "\n".join(lines) + "\n"


def format_verdict(verdict: dict[str, Any]) -> str:
    """Say how far the engine is from its two goals."""
    plural = "s" if verdict["threads"] > 1 else ""
    lines = [f"{verdict['engine']}, {verdict['threads']} thread{plural}:"]
    if verdict["best_peer"]:
        lines.append(
            f"  {verdict['times_faster_than_best_peer']:.2f} times as fast as the best "
            f"peer ({verdict['best_peer']}); the goal is {GOAL_AGAINST_PEERS:g}"
        )
    if verdict["copy"]:
        lines.append(
            f"  {verdict['speed_against_copy']:.2f} times as fast as a copy of "
            f"{STEP_BYTES} bytes per node ({verdict['copy']}); the goal is 1"
        )
    return "\n".join(lines) + "\n"


def write_results(result: dict[str, Any], path: Path) -> str:
    """Write the figures and, with Matplotlib, the pictures; return a closing line."""
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    from benchmarks.peers_picture import draw_peers
    from experiments import pictures

    try:
        pictures.require_matplotlib()
    except outcome.MissingPackageError:
        return f"Figures in {path}; for the picture: pip install matplotlib.\n"
    for theme in pictures.THEMES:
        draw_peers(result, theme, path.with_name(f"{path.stem}-{theme}.svg"))
    return f"Figures in {path}, pictures beside it.\n"


def build_parser() -> argparse.ArgumentParser:
    """Build the command line parser."""
    parser = outcome.SentenceParser(
        description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--side", type=int, default=1024, help="nodes along one axis")
    parser.add_argument("--repeats", type=int, default=15, help="rounds to time")
    parser.add_argument("--steps", type=int, default=8, help="steps per turn")
    parser.add_argument(
        "--save",
        type=Path,
        default=DEFAULT_FILE,
        metavar="FILE",
        help="JSON file to write; the pictures go beside it",
    )
    return parser


def validate(options: argparse.Namespace) -> None:
    """Check the ranges of the options.

    Raises:
        ConfigError: An option is out of range.
    """
    ranges = {"side": (3, 16384), "repeats": (1, 100_000), "steps": (1, 100_000)}
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise ConfigError(f"--{name} is {value}; it must lie in [{low}, {high}].")
    if options.save.suffix != ".json":
        raise ConfigError(f"--save is {options.save}; it must end in .json.")
    if not options.save.parent.is_dir():
        raise ConfigError(f"--save is {options.save}; make its folder first.")


def run(options: argparse.Namespace) -> int:
    """Compare, print and write."""
    validate(options)
    probe = find_gpu()
    contestants = list_contestants(count_allowed_cores(), has_gpu=probe.is_usable)
    result = compare(contestants, options.side, options.repeats, options.steps)
    result["gpu"] = probe.device if probe.is_usable else f"none: {probe.reason}"
    sys.stdout.write(format_table(result))
    sys.stdout.write(f"GPU: {result['gpu']}\n")
    for verdict in result["verdicts"]:
        sys.stdout.write(format_verdict(verdict))
    sys.stdout.write(write_results(result, options.save))
    return outcome.DONE


def find_gpu() -> CudaProbe:
    """Look for a GPU, and keep JAX from taking all of its memory at once."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return probe_cuda()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison.

    Args:
        argv: Words after the program's name; those of the process by default.

    Returns:
        Exit code.
    """
    options = build_parser().parse_args(argv)
    return outcome.close_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())

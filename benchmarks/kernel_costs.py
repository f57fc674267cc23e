"""Kernel costs: what a run costs, by nodes, bridges, tunnel frequency and threads.

    python -m benchmarks.kernel_costs [--folder benchmarks/results] [--quick]

Real runs at fixed frequencies, and bare lattice steps, are first checked against other
means of the same arithmetic and then measured in turn. Figures and fitted exponents go
to `kernel_costs.json`, the pictures (extra `report`) to `kernel_costs-{light,dark}.svg`
and `roofline-{light,dark}.svg`. What whole runs cost is `scribble run -m
+experiment=scaling`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import kernel_pictures
from benchmarks.rigs import (
    Rig,
    Sample,
    Setting,
    build_checked_rig,
    compare_with_reference,
)
from engine import __version__
from engine.config import TunnelConfig
from engine.errors import ConfigError, EngineError
from experiments import outcome, pictures
from experiments.study.statistics import fit_power

REFERENCE_BOUND = 1e-5
"""Largest difference of r from the reference after a control period [-]: forty steps of
phase errors of 1e-7 rad, which the mean over the lattice does not enlarge."""
OVERHEAD_NODES = 2**16
"""Lattices smaller than this are left out of fits over nodes, if three others remain:
the loop around the kernels weighs there [-]."""
OVERHEAD_EVENTS = 2**12
"""Events per step, likewise, for fits of the time in tunnel events [-]."""


@dataclass(frozen=True)
class Plan:
    """What the study measures."""

    node_exponents: tuple[int, ...] = (12, 14, 16, 18, 20, 22, 24)
    """Sizes of the lattice, as powers of two [-]."""
    base_exponent: int = 18
    """Size where bridges, frequencies and threads vary, as a power of two [-]."""
    bridge_ends_per_node: tuple[int, ...] = (0, 1, 2, 4, 8)
    """Bridge ends per node that are measured [-]."""
    base_bridges: int = 4
    """Bridge ends per node where something else varies [-]."""
    rungs: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    """Rungs of the ladder that are measured [-]."""
    base_rung: int = 4
    """Rung where nodes and threads vary [-]."""
    bridge_rung: int = 1
    """Rung where the bridges vary; high, so that events outweigh planning [-]."""
    near_exponent: int = 20
    """Size of the lattice and the copy in the roofline, as a power of two [-]."""
    far_exponent: int = 25
    """Size of the copy that fits into no cache, as a power of two [-]."""


QUICK = Plan(
    node_exponents=(10, 12, 14, 16),
    base_exponent=12,
    bridge_ends_per_node=(0, 1, 4),
    rungs=(0, 2, 4, 6),
    near_exponent=16,
    far_exponent=22,
)


@dataclass(frozen=True)
class Sweep:
    """Settings that differ in one thing."""

    name: str
    """Key in the JSON file."""
    settings: tuple[Setting, ...]
    """What is measured, side by side."""


def list_threads(cores: int) -> list[int]:
    """Return 1 .. cores, or powers of two and all where there are more than 16."""
    if cores <= 16:
        return list(range(1, cores + 1))
    powers = [2**k for k in range(cores.bit_length())]
    return sorted({*powers, cores})


def plan_sweeps(plan: Plan, backend: str, cores: int) -> list[Sweep]:
    """Write the plan out.

    Args:
        plan: What varies, and where.
        backend: cpu or cuda.
        cores: Threads of the CPU to use [-].
    """
    tunnel = TunnelConfig()
    base = Setting(
        nodes=2**plan.base_exponent,
        bridge_ends_per_node=plan.base_bridges,
        frequency_hz=tunnel.rung_frequency_hz(plan.base_rung),
        threads=cores if backend == "cpu" else None,
        backend=backend,
    )
    bare = replace(base, bridge_ends_per_node=0, frequency_hz=0.0, is_bare=True)
    sizes = [2**exponent for exponent in plan.node_exponents]
    frequencies = [tunnel.rung_frequency_hz(rung) for rung in plan.rungs]
    often = replace(base, frequency_hz=tunnel.rung_frequency_hz(plan.bridge_rung))
    counts = plan.bridge_ends_per_node
    sweeps = [
        Sweep("nodes", tuple(replace(base, nodes=n) for n in sizes)),
        Sweep("lattice_nodes", tuple(replace(bare, nodes=n) for n in sizes)),
        Sweep("bridges", tuple(replace(often, bridge_ends_per_node=n) for n in counts)),
        Sweep("frequency", tuple(replace(base, frequency_hz=f) for f in frequencies)),
    ]
    if backend == "cpu":
        threads = list_threads(cores)
        sweeps += [
            Sweep("threads", tuple(replace(base, threads=n) for n in threads)),
            Sweep("lattice_threads", tuple(replace(bare, threads=n) for n in threads)),
        ]
    near, top_hz = 2**plan.near_exponent, tunnel.maximum_frequency_hz
    kernels = (
        replace(bare, nodes=near),
        replace(base, nodes=near, frequency_hz=top_hz),
    )
    return [*sweeps, Sweep("roofline", kernels)]


def measure_sweep(sweep: Sweep, repeats: int) -> list[dict[str, Any]]:
    """Build, check and measure the settings of a sweep, in turn.

    The order is drawn anew for each round, so that none always follows another.

    Returns:
        A row per setting; one that is wrong or does not fit says so and has no times.
    """
    rigs, rows = _build_rigs(sweep)
    samples: dict[int, list[Sample]] = {place: [] for place in rigs}
    rng = np.random.default_rng(1)
    places = np.array(list(rigs), dtype=np.int64)
    for _ in range(repeats):
        for place in rng.permutation(places):
            samples[place].append(rigs[place].take_turn())
    for place, rig in rigs.items():
        rows[place] |= summarise_samples(samples[place], rig.setting)
        rig.close()
    return rows


def _build_rigs(sweep: Sweep) -> tuple[dict[int, Rig], list[dict[str, Any]]]:
    """Build and check; return the rigs to measure by place, and a row for every one."""
    rigs: dict[int, Rig] = {}
    rows: list[dict[str, Any]] = []
    for place, setting in enumerate(sweep.settings):
        row = {"sweep": sweep.name, **asdict(setting)}
        rows.append(row)
        try:
            rig, is_right, row["check"] = build_checked_rig(setting)
        except EngineError as error:
            row |= {"status": "left out", "check": outcome.describe_error(error)}
            continue
        row["status"] = "timed" if is_right else "wrong"
        if is_right:
            rigs[place] = rig
        else:
            rig.close()
    return rigs, rows


def summarise_samples(samples: Sequence[Sample], setting: Setting) -> dict[str, Any]:
    """Return medians over the turns of a setting, in the units of the JSON file."""
    dt_s = setting.to_config().dynamics.dt_s
    nodes = setting.nodes

    def take_median(measure: Callable[[Sample], float]) -> float:
        return float(statistics.median(measure(sample) for sample in samples))

    walls = [sample.wall_s / (sample.steps * dt_s) for sample in samples]
    has_events = all(sample.events for sample in samples)
    return {
        "turns": len(samples),
        "steps_per_turn": samples[0].steps,
        "wall_s_per_simulated_s": statistics.median(walls),
        "fastest_wall_s_per_simulated_s": min(walls),
        "slowest_wall_s_per_simulated_s": max(walls),
        "ns_per_node_step": take_median(lambda s: s.wall_s / (s.steps * nodes) * 1e9),
        "lattice_ns_per_node_step": take_median(
            lambda s: s.lattice_s / (s.steps * nodes) * 1e9
        ),
        "tunnel_s_per_simulated_s": take_median(lambda s: s.tunnel_s / s.steps / dt_s),
        "events_per_turn": samples[-1].events,
        "ns_per_event": take_median(lambda s: s.tunnel_s / s.events * 1e9)
        if has_events
        else None,
    }


FITS = (
    ("nodes", "nodes", "wall_s_per_simulated_s"),
    ("lattice_nodes", "nodes", "wall_s_per_simulated_s"),
    ("bridges", "bridge_ends_per_node", "tunnel_s_per_simulated_s"),
    ("frequency", "frequency_hz", "tunnel_s_per_simulated_s"),
    ("threads", "threads", "wall_s_per_simulated_s"),
    ("lattice_threads", "threads", "wall_s_per_simulated_s"),
)
"""Sweep, what varies, and the cost that is fitted."""


def select_points(
    rows: Iterable[dict[str, Any]], sweep: str, variable: str
) -> list[dict[str, Any]]:
    """Return the timed rows of a sweep whose variable fits on a logarithmic axis."""
    return [
        row
        for row in rows
        if (row["sweep"], row["status"]) == (sweep, "timed") and row[variable]
    ]


def fit_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fit an exponent to every sweep of `FITS`."""
    fits = []
    for sweep, variable, cost in FITS:
        points = select_points(rows, sweep, variable)
        large = [row for row in points if _outweighs_overhead(row, variable)]
        points = large if len(large) >= 3 else points
        fit = fit_power(
            [row[variable] for row in points], [row[cost] for row in points]
        )
        if fit is not None:
            names = {"sweep": sweep, "variable": variable, "cost": cost}
            fits.append(names | asdict(fit))
    return fits


def _outweighs_overhead(row: dict[str, Any], variable: str) -> bool:
    """Tell whether the kernels of a point are longer than what surrounds them."""
    if variable == "nodes":
        return bool(row["nodes"] >= OVERHEAD_NODES)
    if variable == "threads":
        return True
    return bool(row["events_per_turn"] >= OVERHEAD_EVENTS * row["steps_per_turn"])


def place_kernels(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Place the lattice step and the tunnel event on the roofline."""
    from benchmarks import roofline

    kernels = []
    for row in select_points(rows, "roofline", "nodes"):
        pass_steps = 1
        if row["is_bare"]:
            shape = Setting(row["nodes"]).shape
            due = row["steps_per_turn"]
            pass_steps = roofline.count_pass_steps(shape, due, row["threads"])
            name = f"lattice step, {pass_steps} per pass"
            span_ns = row["ns_per_node_step"]
            counts = roofline.LATTICE_FLOPS, roofline.LATTICE_BYTES
        else:
            name, span_ns = "tunnel event", row["ns_per_event"]
            counts = roofline.EVENT_FLOPS, roofline.EVENT_BYTES
        kernel = roofline.place_kernel(name, *counts, span_ns, pass_steps=pass_steps)
        kernels.append(kernel)
    return kernels


def run_study(plan: Plan, backend: str, repeats: int) -> dict[str, Any]:
    """Measure everything.

    Args:
        plan: What is measured.
        backend: cpu or cuda.
        repeats: Rounds of each sweep [-].

    Returns:
        Plain figures, ready for JSON.
    """
    from engine.backends.cpu import count_allowed_cores, name_processor

    cores = count_allowed_cores()
    sweeps = plan_sweeps(plan, backend, cores)
    first = sweeps[0].settings[0]
    reference = compare_with_reference(first) | {"bound": REFERENCE_BOUND}
    rows: list[dict[str, Any]] = []
    for sweep in sweeps:
        rows += measure_sweep(sweep, repeats)
        sys.stdout.write(format_sweep(rows, sweep.name))
        sys.stdout.flush()
    return {
        "machine": f"{name_processor()}, {cores} cores, {platform.system()} "
        f"{platform.machine()}",
        "device": _name_device(first),
        "backend": backend,
        "version": __version__,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "repeats": repeats,
        "plan": asdict(plan),
        "reference_check": reference,
        "rows": rows,
        "fits": fit_rows(rows),
        "roofline": _measure_roofline(plan, cores, repeats, rows)
        if backend == "cpu"
        else None,
    }


def _name_device(setting: Setting) -> str:
    from engine.backends import select_backend

    return select_backend(setting.to_config().backend, setting.nodes).backend.device


def _measure_roofline(
    plan: Plan, cores: int, repeats: int, rows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    from benchmarks.roofline import measure_roofs

    near, far = 2**plan.near_exponent, 2**plan.far_exponent
    roofs = measure_roofs(near, far, cores, repeats)
    return {**roofs, "kernels": place_kernels(rows)}


def format_sweep(rows: Iterable[dict[str, Any]], name: str) -> str:
    """Write the rows of a sweep for people."""
    lines = [f"{name}:"]
    for row in rows:
        if row["sweep"] != name:
            continue
        what = (
            f"  {row['nodes']:>9} nodes {row['bridge_ends_per_node']} bridge ends/node"
        )
        what += f" {row['frequency_hz']:6.1f} Hz {row['threads'] or '-':>3} threads"
        if row["status"] != "timed":
            lines.append(f"{what}  {row['status']}: {row['check']}")
            continue
        event = row["ns_per_event"]
        lines.append(
            f"{what} {row['wall_s_per_simulated_s']:10.4g} s/s"
            f" {row['ns_per_node_step']:8.3f} ns/node-step"
            + (f" {event:8.2f} ns/event" if event else "")
        )
    return "\n".join(lines) + "\n"


def format_fit(fit: dict[str, Any]) -> str:
    """Write a fitted exponent with its standard error and range."""
    exponent = f"{fit['exponent']:.3f} ± {fit['standard_error']:.3f}"
    return (
        f"{fit['sweep']}: {fit['cost']} ~ {fit['variable']}^{exponent} over "
        f"{fit['low']:.4g} .. {fit['high']:.4g}\n"
    )


def build_parser() -> argparse.ArgumentParser:
    """Build the command line parser."""
    parser = outcome.SentenceParser(
        description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see whether all works"
    )
    parser.add_argument(
        "--repeats", type=int, default=None, help="7, or 3 with --quick"
    )
    parser.add_argument("--backend", default="cpu", help="cpu (default) or cuda")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study and write its files.

    Args:
        argv: Words after the program's name; those of the process by default.

    Returns:
        Exit code.
    """
    options = build_parser().parse_args(argv)
    return outcome.close_command(lambda: write_study(options))


def write_study(options: argparse.Namespace) -> int:
    """Check the options, run the study and write its files.

    Raises:
        ConfigError: An option is out of range.
    """
    repeats = (
        (3 if options.quick else 7) if options.repeats is None else options.repeats
    )
    if not 1 <= repeats <= 1000:
        raise ConfigError(f"--repeats is {repeats}; it must lie in [1, 1000].")
    if options.backend not in ("cpu", "cuda"):
        raise ConfigError(f"--backend is {options.backend}; it must be cpu or cuda.")
    pictures.require_matplotlib()
    # Digests are compared between one and two threads, on machines of one core too.
    os.environ.setdefault("NUMBA_NUM_THREADS", str(max(2, os.cpu_count() or 1)))
    outcome.make_folder(options.folder, "--folder")
    study = run_study(QUICK if options.quick else Plan(), options.backend, repeats)
    text = json.dumps(study, indent=1) + "\n"
    (options.folder / "kernel_costs.json").write_text(text, encoding="utf-8")
    for theme in pictures.THEMES:
        path = options.folder / f"kernel_costs-{theme}.svg"
        kernel_pictures.draw_costs(study, theme, path)
        if study["roofline"]:
            path = options.folder / f"roofline-{theme}.svg"
            kernel_pictures.draw_roofline(study, theme, path)
    sys.stdout.writelines(format_fit(fit) for fit in study["fits"])
    return close_study(study)


def close_study(study: dict[str, Any]) -> int:
    """Say what did not agree; return the exit code."""
    wrong = [row for row in study["rows"] if row["status"] == "wrong"]
    reference = study["reference_check"]
    is_near = reference["difference"] <= reference["bound"]
    if not wrong and is_near:
        return outcome.DONE
    sys.stderr.write(
        f"scribble: error: {len(wrong)} settings disagree with their witness, and r "
        f"is {reference['difference']:.2g} from the reference (bound "
        f"{reference['bound']:g}); see kernel_costs.json.\n"
    )
    return outcome.FAILED


if __name__ == "__main__":
    sys.exit(main())

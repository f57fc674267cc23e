"""The frontier study: coherence against tunnel frequency, and a run under load.

    python -m experiments.frontier [--folder benchmarks/results]

Fixed-frequency runs over the ladder give the frontier; one adaptive run under a
square load shows what the controller makes of it. Figures go to `frontier.json`, the
picture (extra `report`) to `frontier-light.svg` and `frontier-dark.svg`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.config import LoadConfig, RecordConfig, RunConfig
from engine.system import Progress, ScribbleSystem
from experiments import outcome, pictures

SETTLING_SHARE = 0.5
"""First part of a fixed-frequency run that is not averaged [-]."""


def measure_fixed(config: RunConfig, frequency_hz: float) -> dict[str, float]:
    """Run at one frequency and average the coherence after settling.

    Args:
        config: The run; its objective is replaced.
        frequency_hz: Tunnel frequency [Hz].

    Returns:
        Frequency [Hz], coherence [-] and events saved [-].
    """
    controller = replace(
        config.controller, objective="fixed", fixed_frequency_hz=frequency_hz
    )
    values: list[float] = []
    with ScribbleSystem(replace(config, controller=controller)) as system:
        summary = system.run(lambda progress: values.append(progress.coherence))
    settled = values[int(len(values) * SETTLING_SHARE) :]
    return {
        "frequency_hz": frequency_hz,
        "coherence": float(np.mean(settled)),
        "events_saved_factor": summary.events_saved_factor or 1.0,
    }


def measure_adaptive(config: RunConfig) -> list[dict[str, float]]:
    """Run under a square load and keep what a reader wants to see.

    Args:
        config: The run, with its load.

    Returns:
        A row per four control periods: time [s], frequency [Hz], r, availability [-].
    """
    rows: list[dict[str, float]] = []

    def keep(progress: Progress) -> None:
        rows.append(
            {
                "simulated_s": round(progress.simulated_s, 6),
                "frequency_hz": round(progress.frequency_hz, 3),
                "coherence": round(progress.coherence, 6),
                "availability": progress.metrics.availability,
            }
        )

    with ScribbleSystem(config) as system:
        system.run(keep)
    return rows[::4]


def run_study(config: RunConfig, duration_s: float) -> dict[str, Any]:
    """Measure the frontier and the adaptive run.

    Args:
        config: Network and policy.
        duration_s: Simulated time of each fixed-frequency run [s].

    Returns:
        Plain figures, ready for JSON.
    """
    short = replace(config, dynamics=replace(config.dynamics, duration_s=duration_s))
    every_step_hz = 1.0 / config.dynamics.dt_s
    frequencies = [config.tunnel.rung_frequency_hz(rung) for rung in range(10)]
    frontier = [measure_fixed(short, hz) for hz in [every_step_hz, *frequencies]]
    load = LoadConfig(kind="synthetic", profile="square", level=0.95, period_s=4.0)
    long = replace(config.dynamics, duration_s=12.0)
    adaptive = measure_adaptive(replace(config, dynamics=long, load=load))
    with ScribbleSystem(short) as system:
        description = system.description
    return {"system": description, "frontier": frontier, "adaptive": adaptive}


def draw_picture(study: dict[str, Any], floor: float, theme: str, path: Path) -> None:
    """Draw the frontier and the adaptive run side by side.

    Args:
        study: Figures of `run_study`.
        floor: min_coherence [-].
        theme: A key of `pictures.THEMES`.
        path: SVG file to write.
    """
    with pictures.open_picture(path, theme, grid=(1, 2), inches=(10, 3.8)) as opened:
        (left, right), colours = opened
        _draw_frontier(left, study["frontier"], floor, colours)
        _draw_adaptive(right, study["adaptive"], floor, colours)


def _draw_frontier(
    axes: Any, rows: Sequence[dict[str, float]], floor: float, colours: dict[str, str]
) -> None:
    frequencies = [row["frequency_hz"] for row in rows]
    axes.semilogx(
        frequencies,
        [row["coherence"] for row in rows],
        "o-",
        color=colours["accent"],
        markersize=4,
    )
    axes.axhline(floor, color=colours["hot"], linewidth=1, linestyle="--")
    axes.text(min(frequencies), floor + 0.01, f"floor {floor:g}", color=colours["hot"])
    held = [row for row in rows if row["coherence"] >= floor]
    cheapest = min(held, key=lambda row: row["frequency_hz"])
    axes.annotate(
        f"{cheapest['events_saved_factor']:.0f} times fewer events\n"
        f"({cheapest['frequency_hz']:.0f} Hz)",
        (cheapest["frequency_hz"], cheapest["coherence"]),
        xytext=(110, 0.62),
        arrowprops={"arrowstyle": "->", "color": colours["faint"]},
    )
    axes.set_ylim(0.0, 1.0)
    axes.set_xlabel("tunnel frequency of every bridge [Hz]")
    axes.set_ylabel("coherence r")
    axes.set_title("How rarely bridges need to fire")


def _draw_adaptive(
    axes: Any, rows: Sequence[dict[str, float]], floor: float, colours: dict[str, str]
) -> None:
    times = [row["simulated_s"] for row in rows]
    axes.semilogy(times, [row["frequency_hz"] for row in rows], color=colours["accent"])
    ticks = [50, 100, 200, 400, 700]
    axes.set_yticks(ticks, labels=[str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylabel("tunnel frequency [Hz]", color=colours["accent"])
    axes.set_xlabel("simulated time [s]")
    is_busy = [row["availability"] < 0.5 for row in rows]
    axes.fill_between(
        times, 0, 1, is_busy, color=colours["faint"], alpha=0.25, linewidth=0,
        transform=axes.get_xaxis_transform(),
    )  # fmt: skip
    twin = axes.twinx()
    twin.plot(times, [row["coherence"] for row in rows], color=colours["ink"], lw=1)
    twin.axhline(floor, color=colours["hot"], linewidth=1, linestyle="--")
    twin.set_ylim(0.0, 1.0)
    twin.set_ylabel("coherence r")
    twin.spines["right"].set_visible(True)
    axes.set_title("Others load the machine (grey); the floor holds")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study and write its files.

    Args:
        argv: Words after the program's name; those of the process by default.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--duration-s", type=float, default=3.0)
    options = parser.parse_args(argv)
    return outcome.close_command(
        lambda: _write_study(options.folder, options.duration_s)
    )


def _write_study(folder: Path, duration_s: float) -> int:
    """Run the default study, write its files and print the frontier."""
    pictures.require_matplotlib()
    config = RunConfig(record=RecordConfig(forecast=False))
    study = run_study(config, duration_s)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(study, indent=1) + "\n"
    (folder / "frontier.json").write_text(text, encoding="utf-8")
    for theme in pictures.THEMES:
        path = folder / f"frontier-{theme}.svg"
        draw_picture(study, config.tunnel.min_coherence, theme, path)
    for row in study["frontier"]:
        sys.stdout.write(
            f"{row['frequency_hz']:8.1f} Hz  r = {row['coherence']:.4f}  "
            f"{row['events_saved_factor']:7.1f} times fewer events\n"
        )
    return outcome.DONE


if __name__ == "__main__":
    sys.exit(main())

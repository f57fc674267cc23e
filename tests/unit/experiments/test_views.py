"""Views hold their facts and fit their terminal, at 60 and at 140 columns."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from engine.monitor.metrics import MemoryState, ProcessState, ResourceMetrics
from engine.system import Progress
from experiments.doctor import Finding, build_findings_table
from experiments.monitor import render_metrics
from experiments.views.glyphs import ASCII
from experiments.views.live import LiveView, estimate_remaining_s
from experiments.views.plain import PlainView, format_line
from experiments.views.summary import (
    build_summary_table,
    format_summary_line,
    format_summary_lines,
)
from experiments.views.terminal import is_redrawable

Build = Callable[..., Progress]
WIDTHS = pytest.mark.parametrize("width", [60, 140])
DESCRIPTION = {
    "lattice": "square 256x256, 65,536 nodes",
    "bridges": "131,072 (matchings)",
    "backend": "cpu (asked for)",
    "device": "2 threads",
}
SUMMARY = {
    "status": "done",
    "backend": "cpu",
    "device": "2 threads",
    "steps": 8000,
    "wall_seconds": 4.0,
    "stage_seconds": {"lattice": 1.0, "tunnel": 2.9, "control": 0.05, "record": 0.05},
    "node_steps_per_second": 1.31e8,
    "tunnels": {"attempted": 12, "successful": 10, "failed": 2},
    "average_frequency_hz": 412.3,
    "coherence": {
        "final": 0.95,
        "mean": 0.9,
        "minimum_after_settling": 0.91,
        "floor": 0.87,
    },
    "controller_state": "nominal",
    "events_saved_factor": 9.7,
    "state_digest": "ab" * 32,
}


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def open_console(width: int, *, encoding: str = "utf-8") -> Console:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=stream, force_terminal=True, width=width, height=40)


def render_plain(width: int, renderable: object) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def render_live(width: int, *states: Progress) -> str:
    view = LiveView(open_console(width), DESCRIPTION, clock=Clock())
    for state in states:
        view.show(state)
    return render_plain(width, view.render(width))


def assert_fits(text: str, width: int) -> None:
    assert max(len(line) for line in text.splitlines()) <= width


@WIDTHS
def test_live_view_holds_every_fact(width: int, build_progress: Build) -> None:
    text = render_live(width, build_progress())
    assert_fits(text, width)
    for fact in ("square 256x256", "131,072", "25%", "0.50/2 s", "ETA 0:30", "0.934",
                 "floor 0.870", "432 Hz", "of 699 Hz", "offered 437 Hz",
                 "required 39.1 Hz", "1.23 M succeeded", "890 failed",
                 "others 1.5 of 4", "ours 1.2", "12 GiB free of 32 GiB", "62%",
                 "limited by cores", "nominal", "headroom objective"):  # fmt: skip
        assert fact in text
    assert "GPU" not in text


@WIDTHS
def test_live_view_shows_gpus(
    width: int, build_progress: Build, gpu_metrics: ResourceMetrics
) -> None:
    text = render_live(width, build_progress(metrics=gpu_metrics))
    assert_fits(text, width)
    for fact in ("GPU 0", "93% busy", "70 GiB free", "412 W", "61 °C", "GPU is lost"):
        assert fact in " ".join(text.split())


def test_wide_view_stands_side_by_side(build_progress: Build) -> None:
    lines = {
        width: len(render_live(width, build_progress()).splitlines())
        for width in (60, 140)
    }
    assert lines[140] < lines[60]


@WIDTHS
@pytest.mark.parametrize("coherence", [0.0, 0.5, 1.0])
def test_live_view_draws_extreme_states(
    width: int, coherence: float, build_progress: Build
) -> None:
    states = [
        build_progress(step=0, wall_s=0.0, coherence=coherence, frequency_hz=0.0),
        build_progress(step=8000, coherence=coherence, state="unreachable"),
    ]
    for count in (1, 2):
        assert_fits(render_live(width, *states[:count]), width)


def test_live_view_colours_only_from_the_terminals_palette(
    build_progress: Build,
) -> None:
    console = open_console(100)
    with LiveView(console, DESCRIPTION, clock=Clock()) as view:
        view.show(build_progress(coherence=0.5, state="floor-bound"))
    stream = console.file
    assert isinstance(stream, io.TextIOWrapper)
    stream.flush()
    drawn = stream.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert "floor-bound" in drawn
    # 38;2 and 38;5 are fixed colours, 37 and 30 vanish on white or on black.
    for code in ("38;2", "38;5", "[37m", "[97m", "[30m", "[33m", "[93m"):
        assert code not in drawn


def test_forced_colours_do_not_make_a_pipe_redrawable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert Console(file=io.StringIO()).is_terminal
    assert not is_redrawable(Console(file=io.StringIO()))


def test_live_view_draws_in_ascii(build_progress: Build) -> None:
    console = open_console(80, encoding="ascii")
    view = LiveView(console, DESCRIPTION, clock=Clock())
    view.show(build_progress())
    render_plain(80, view.render(80)).encode("ascii")


def test_live_view_draws_at_most_eight_times_a_second(build_progress: Build) -> None:
    clock, console = Clock(), open_console(80)
    draws = []
    with LiveView(console, DESCRIPTION, clock=clock) as view:
        view._draw = lambda: draws.append(clock.now_s)  # type: ignore[method-assign]
        for _ in range(1000):
            view.show(build_progress())
            clock.now_s += 0.002
    # 2 s at one drawing per 0.125 s, the first at once and the last at the end.
    assert len(draws) in (17, 18)


def test_plain_view_writes_every_two_seconds_and_at_the_end(
    build_progress: Build,
) -> None:
    clock, stream = Clock(), io.StringIO()
    with PlainView(stream, DESCRIPTION, clock=clock) as view:
        for step in range(50):
            view.show(build_progress(step=step))
            clock.now_s += 0.1
    lines = stream.getvalue().splitlines()
    assert lines[: len(DESCRIPTION)] == [f"{k}: {v}" for k, v in DESCRIPTION.items()]
    assert len(lines[len(DESCRIPTION) :]) == 4


def test_plain_view_does_not_repeat_the_last_line(build_progress: Build) -> None:
    stream = io.StringIO()
    with PlainView(stream, {}, clock=Clock()) as view:
        view.show(build_progress())
    assert stream.getvalue().count("\n") == 1


def test_plain_line_holds_every_fact(
    build_progress: Build, gpu_metrics: ResourceMetrics
) -> None:
    line = format_line(build_progress(metrics=gpu_metrics))
    assert "\n" not in line
    for fact in ("[0:10]  25%", "0.50/2 s", "coherence 0.934 (floor 0.870)",
                 "frequency 432 Hz (offered 437 Hz, required 39.1 Hz)",
                 "tunnels 1.23 M ok, 890 failed", "cores 1.5/4 by others",
                 "memory 12 GiB free", "GPU 0 93% busy", "available 62%",
                 "| nominal"):  # fmt: skip
        assert fact in line
    assert "Tunnelling" not in line


@pytest.mark.parametrize("state", ["floor-bound", "unreachable", "stale"])
def test_plain_line_says_how_old_its_reason_is(
    state: str, build_progress: Build
) -> None:
    # The reason's r is that of the decision, before the period just run.
    reason = "Coherence 0.004 is below its floor 0.87."
    line = format_line(build_progress(coherence=0.041, state=state, reason=reason))
    assert "coherence 0.041" in line
    assert line.endswith(f"| {state}, decided a period ago: {reason}")


def test_remaining_time_follows_the_mean_pace(build_progress: Build) -> None:
    assert estimate_remaining_s(build_progress()) == 30.0
    assert estimate_remaining_s(build_progress(step=0)) is None


@WIDTHS
def test_summary_table(width: int) -> None:
    text = render_plain(width, build_summary_table(SUMMARY, "runs/mine"))
    assert_fits(text, width)
    for fact in ("done", "final 0.950", "floor 0.870", "412 Hz on average",
                 "9.7 times fewer events", "2 k steps/s", "tunnel 72.5%",
                 "runs/mine"):  # fmt: skip
        assert fact in " ".join(text.split())


def test_summary_of_a_run_that_ended_before_it_settled() -> None:
    coherence = dict.fromkeys(("final", "mean", "minimum_after_settling"))
    early = {
        **SUMMARY,
        "coherence": {**coherence, "floor": 0.87},
        "events_saved_factor": None,
        "wall_seconds": 0.0,
        "stage_seconds": {"lattice": 0.0},
    }
    assert "unknown" in format_summary_lines(early, None)
    assert format_summary_line(early, None).endswith("saving unknown, not recorded")


@WIDTHS
def test_monitor_table(width: int, gpu_metrics: ResourceMetrics) -> None:
    text = render_plain(width, render_metrics(gpu_metrics))
    assert_fits(text, width)
    for fact in ("GPU 0", "9 threads", "quota 4 cores", "limit 32 GiB", "437 Hz"):
        assert fact in text


def test_absent_figures_are_unknown_not_zero(metrics: ResourceMetrics) -> None:
    cores = replace(metrics.cores, utilisation=None, others_cores=None)
    blind = replace(
        metrics,
        cores=cores,
        memory=MemoryState(1, 1, 1, 1.0),
        process=ProcessState(),
        cgroup=None,
        is_stale=True,
        age_s=7.0,
    )
    text = render_plain(100, render_metrics(blind, "ascii"))
    assert "4 allowed, use unknown" in text
    assert "process    unknown" in text
    assert "cgroup" not in text
    assert "sample 7 s old" in text
    assert ASCII.full in text


@WIDTHS
def test_findings_table(width: int) -> None:
    findings = [
        Finding("Python", "ok", "3.11.7 on Linux"),
        Finding("CUDA", "note", "not used: no driver " * 6, "install a driver"),
    ]
    text = render_plain(width, build_findings_table(findings))
    assert_fits(text, width)
    assert "cure: install a driver" in text

"""ScribbleSystem: the loop, its ends, and what it refuses before it begins."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from pyarrow import parquet

from engine.backends import BackendChoice, register_backend
from engine.backends.cpu import CpuBackend
from engine.backends.reference import ReferenceBackend
from engine.config import BackendConfig, LoadConfig, RunConfig
from engine.errors import (
    ClosedError,
    ConfigError,
    EngineError,
    RecordError,
    ResourceError,
    ShapeError,
)
from engine.forecast import estimate_memory
from engine.monitor import ResourceMonitor, SyntheticSource
from engine.system import Progress, ScribbleSystem, parts

ROOT = Path(__file__).parents[2]
BuildConfig = Callable[..., RunConfig]


def live_threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def test_context_manager_stops_what_it_started(build_config: BuildConfig) -> None:
    before = live_threads()
    with ScribbleSystem(build_config(load={"kind": "none"})) as system:
        assert live_threads() > before
        assert system.run().status == "done"
    assert live_threads() == before
    system.close()


def test_run_ends_exactly_at_its_step_count(build_config: BuildConfig) -> None:
    # 201 steps in periods of 40: the last period is shorter.
    with ScribbleSystem(build_config(dynamics={"duration_s": 0.05025})) as system:
        steps: list[int] = []
        summary = system.run(lambda progress: steps.append(progress.step))
    assert steps == [40, 80, 120, 160, 200, 201]
    assert summary.steps == 201
    assert summary.simulated_seconds == pytest.approx(0.05025)


def test_progress_tells_what_the_summary_sums_up(build_config: BuildConfig) -> None:
    reports: list[Progress] = []
    with ScribbleSystem(build_config(tunnel={"max_probability": 0.7})) as system:
        summary = system.run(reports.append)
        assert system.coherence == reports[-1].coherence == summary.coherence["final"]
    last = reports[-1]
    assert (last.step, last.step_count) == (200, 200)
    assert last.simulated_s == pytest.approx(last.duration_s)
    assert last.successful == summary.tunnels["successful"]
    assert last.failed == summary.tunnels["failed"]
    assert (last.floor, last.state) == (0.87, summary.controller_state)
    assert all(r.frequency_hz <= r.maximum_hz * (1 + 1e-12) for r in reports)
    assert summary.coherence["mean"] == pytest.approx(
        np.mean([report.coherence for report in reports])
    )


def test_period_length_does_not_change_the_dynamics(build_config: BuildConfig) -> None:
    # With a fixed frequency a period is only where one looks: merged half steps
    # become two, which differ by their rounding to binary angles alone.
    ends = []
    for period_steps in (1, 40, 200):
        config = build_config(
            backend={"name": "reference"},
            dynamics={"integrator": "rk4", "duration_s": 0.02},
            controller={"objective": "fixed", "period_steps": period_steps},
            tunnel={"slice_steps": 1},
        )
        with ScribbleSystem(config) as system:
            summary = system.run()
            ends.append((summary.tunnels, system.coherence))
    assert ends[0][0] == ends[1][0] == ends[2][0]
    # rk4 in two halves is more exact: its local error is (K z dt)^5 ~ 1e-4 of it.
    assert ends[0][1] == pytest.approx(ends[1][1], abs=1e-3)


def test_request_stop_ends_after_the_period(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with ScribbleSystem(build_config(record={"folder": str(folder)})) as system:

        def stop(progress: Progress) -> None:
            if progress.step == 80:
                system.request_stop()

        summary = system.run(stop)
    assert (summary.status, summary.steps) == ("interrupted", 80)
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    assert parquet.read_table(folder / "trace.parquet").num_rows == 2


def test_request_stop_from_another_thread(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config(dynamics={"duration_s": 5e5})) as system:
        started = threading.Event()

        def stop() -> None:
            assert started.wait(timeout=60.0)
            system.request_stop()

        other = threading.Thread(target=stop)
        other.start()
        summary = system.run(lambda _: started.set())
        other.join()
    assert summary.status == "interrupted"


LONG_RUN = """
import sys
from engine.config import *
from engine.system import ScribbleSystem
config = RunConfig(
    lattice=LatticeConfig(shape=(16, 16)),
    dynamics=DynamicsConfig(duration_s=5e5),
    backend=BackendConfig("cpu"),
    record=RecordConfig(folder=sys.argv[1]),
)
with ScribbleSystem(config) as system:
    summary = system.run(lambda progress: print(progress.step, flush=True))
sys.exit(130 if summary.status == "interrupted" else 3)
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_process_with_a_complete_summary(
    kind: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "40", process.stderr.read()
        process.send_signal(kind)
        rest, complaint = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, complaint
    assert complaint == ""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["status"] == "interrupted"
    # The period in progress was finished, recorded and reported.
    assert summary["steps"] % 40 == 0
    assert summary["steps"] == int(rest.split()[-1] if rest else 40)
    rows = parquet.read_table(folder / "timeseries.parquet").to_pydict()
    assert rows["step"][-1] == summary["steps"]
    assert rows["attempts"][-1] == summary["tunnels"]["attempted"]


def test_signal_handlers_are_put_back(build_config: BuildConfig) -> None:
    before = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    during = []
    with ScribbleSystem(build_config()) as system:
        system.run(lambda _: during.append(signal.getsignal(signal.SIGINT)))
    after = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    assert after == before
    assert during[0] != before[0]


def test_second_signal_acts_as_usual(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config(dynamics={"duration_s": 5e5})) as system:

        def interrupt(_: Progress) -> None:
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

        assert system.run(interrupt).status == "interrupted"


def test_failure_in_the_loop_is_written_down(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    def fail(progress: Progress) -> None:
        if progress.step == 120:
            raise ArithmeticError("the sky fell")

    with (
        ScribbleSystem(build_config(record={"folder": str(folder)})) as system,
        pytest.raises(ArithmeticError, match="the sky fell"),
    ):
        system.run(fail)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert (summary["status"], summary["steps"]) == ("failed", 120)
    resumable = "scribble resume goes on from step 120"
    assert summary["notes"] == ["ArithmeticError: the sky fell", resumable]
    assert parquet.read_table(folder / "timeseries.parquet").num_rows == 3


def test_failure_in_the_backend_is_written_down(
    build_config: BuildConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("device lost")

    config = build_config(
        backend={"name": "reference"}, record={"folder": str(tmp_path / "run")}
    )
    with ScribbleSystem(config) as system:
        monkeypatch.setattr(ReferenceBackend, "step_tunnels", fail)
        with pytest.raises(RuntimeError, match="device lost"):
            system.run()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("failed", 0)


def test_simulate_load_is_felt_and_forgotten(build_config: BuildConfig) -> None:
    config = build_config(load={"level": 0.3})
    with ScribbleSystem(config) as system:
        source = system.monitor.source
        summary = system.simulate_load(0.8, duration_s=0.1)
        assert summary.steps == 400
        assert system.monitor.metrics.availability == pytest.approx(0.2)
        assert system.controller.decision is not None
        assert system.controller.decision.offered_hz == pytest.approx(
            0.2 * config.tunnel.maximum_frequency_hz
        )
        assert system.monitor.source is source
        # Time goes on from there.
        assert system.simulate_load(0.0, duration_s=0.05).steps == 600


def test_closed_system_is_read_but_runs_no_more(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config()) as system:
        system.advance(0.01)
        digest = system.state_digest()
    for go_on in (
        system.run,
        lambda: system.advance(0.01),
        lambda: system.simulate_load(0.5, 0.01),
    ):
        with pytest.raises(ClosedError, match="has been closed"):
            go_on()
    system.close()
    assert system.step == 40
    assert system.state_digest() == digest == system.summarise().state_digest


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
def test_simulate_load_checks_the_level(
    level: float, build_config: BuildConfig
) -> None:
    with (
        ScribbleSystem(build_config()) as system,
        pytest.raises(ConfigError, match=r"load\.level is"),
    ):
        system.simulate_load(level)
    assert system.step == 0


@pytest.mark.parametrize("duration_s", [0.0, -1.0, float("nan"), float("inf")])
def test_simulate_load_checks_the_duration(
    duration_s: float, build_config: BuildConfig
) -> None:
    with (
        ScribbleSystem(build_config()) as system,
        pytest.raises(ConfigError, match="duration"),
    ):
        system.simulate_load(0.5, duration_s)


def test_run_after_simulate_load_runs_the_configured_time(
    build_config: BuildConfig,
) -> None:
    with ScribbleSystem(build_config(dynamics={"duration_s": 0.05})) as system:
        before = system.simulate_load(0.5, duration_s=0.05).steps
        # "Run the configured time", whatever came before.
        assert system.run().steps - before == 200


def test_given_monitor_is_used(build_config: BuildConfig) -> None:
    source = SyntheticSource(LoadConfig(kind="synthetic", level=0.6))
    with ScribbleSystem(
        build_config(), monitor=ResourceMonitor(source=source)
    ) as system:
        system.run()
        assert system.monitor.metrics.availability == pytest.approx(0.4)


def test_tunnel_stats_of_every_node(build_config: BuildConfig) -> None:
    config = build_config(tunnel={"max_probability": 0.7})
    with ScribbleSystem(config) as system:
        stats = system.monitor.tunnel_stats
        assert (len(stats), stats[0].attempts) == (256, 0)
        summary = system.run()
        rows = [stats[node] for node in stats]
        # Every event has two ends.
        assert sum(row.attempts for row in rows) == 2 * summary.tunnels["attempted"]
        assert sum(row.successes for row in rows) == 2 * summary.tunnels["successful"]
        assert all(0.0 <= row.coherence <= 1.0 for row in rows)
        assert rows[0].mean_frequency_hz == system.network.frequency_hz
        for node in (-1, 256):
            with pytest.raises(KeyError):
                stats[node]


def test_node_without_bridges(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config(bridges={"kind": "none"})) as system:
        summary = system.run()
        found = system.monitor.tunnel_stats[3]
    assert (found.attempts, found.mean_frequency_hz, found.coherence) == (0, 0.0, 0.0)
    assert summary.bridges == summary.tunnels["attempted"] == 0
    assert summary.events_saved_factor is None
    assert summary.average_frequency_hz == 0.0


def test_active_tunnels_see_the_run(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config()) as system:
        summary = system.run()
        tunnels = system.controller.active_tunnels
        assert sum(each.attempts for each in tunnels) == summary.tunnels["attempted"]
        assert sum(each.successes for each in tunnels) == summary.tunnels["successful"]


def test_description_is_for_people(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config()) as system:
        assert system.description["backend"] == "cpu (asked for)"
        assert system.description["lattice"] == "square 16x16, 256 nodes"
        assert "512" in system.description["bridges"]
        assert system.description["device"]


def test_description_names_how_the_nodes_move(build_config: BuildConfig) -> None:
    config = build_config(
        lattice={"coupling_range": "all", "phase_lag_rad": 0.3},
        dynamics={"diffusion_rad2_s": 2.0},
        bridges={"kind": "none"},
    )
    with ScribbleSystem(config) as system:
        assert system.description["lattice"] == (
            "square 16x16, 256 nodes, all coupled to the mean, phase lag 0.3 rad, "
            "noise 2 rad^2/s"
        )


def write_edges(folder: Path) -> str:
    path = folder / "loop.csv"
    path.write_text("source,target\n3,3\n", encoding="utf-8")
    return str(path)


def write_frequencies(folder: Path) -> str:
    path = folder / "short.npy"
    np.save(path, np.ones(3))
    return str(path)


BAD_INPUT: dict[str, tuple[Callable[[Path], dict[str, Any]], type[Exception]]] = {
    "range": (lambda _: {"tunnel": {"min_coherence": 1.3}}, ConfigError),
    "choice": (lambda _: {"lattice": {"kind": "hexagonal"}}, ConfigError),
    "time step": (
        lambda _: {"lattice": {"spread_hz": 400.0}, "dynamics": {"dt_s": 0.001}},
        ConfigError,
    ),
    "odd": (lambda _: {"lattice": {"shape": (15, 15)}}, ConfigError),
    "threads": (lambda _: {"backend": {"threads": 4096}}, ConfigError),
    "edges": (
        lambda folder: {"bridges": {"kind": "file", "path": write_edges(folder)}},
        ShapeError,
    ),
    "no edges": (
        lambda folder: {"bridges": {"kind": "file", "path": str(folder / "no.csv")}},
        RecordError,
    ),
    "frequencies": (
        lambda folder: {
            "lattice": {
                "distribution": "given",
                "frequencies_path": write_frequencies(folder),
            }
        },
        ShapeError,
    ),
    # The largest lattice that ids allow, with all bridges: 18 TiB.
    "memory": (
        lambda _: {"lattice": {"shape": (46340, 46340)}, "bridges": {"per_node": 64}},
        ResourceError,
    ),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_sentence_and_no_folder(
    name: str, tmp_path: Path, build_config: BuildConfig
) -> None:
    build, kind = BAD_INPUT[name]
    groups = build(tmp_path)
    before, threads = set(tmp_path.iterdir()), live_threads()
    config = build_config(
        record={"folder": str(tmp_path / "run")}, load={"kind": "none"}
    )
    config = build_changed(config, groups)
    with pytest.raises(kind) as caught:
        ScribbleSystem(config)
    assert isinstance(caught.value, EngineError)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert set(tmp_path.iterdir()) == before
    assert live_threads() == threads


def build_changed(config: RunConfig, groups: dict[str, dict[str, Any]]) -> RunConfig:
    from dataclasses import replace

    changed = {
        group: replace(getattr(config, group), **values)
        for group, values in groups.items()
    }
    return replace(config, **changed)


def test_memory_is_refused_with_the_bytes_before_anything_is_allocated(
    build_config: BuildConfig,
) -> None:
    config = build_config(lattice={"shape": (46340, 46340)}, bridges={"per_node": 64})
    need = estimate_memory(config, "cpu").host_bytes
    tracemalloc.start()
    try:
        with pytest.raises(ResourceError) as caught:
            ScribbleSystem(config)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert f"needs {need} bytes" in str(caught.value)
    assert "shrink lattice.shape or bridges.per_node" in str(caught.value)
    # One byte per node would be 2 GiB.
    assert peak < 20e6


def test_registered_backend_runs_a_whole_system(
    build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.backends._BUILDERS", {})
    register_backend("mine", lambda config: CpuBackend(1))
    config = build_config(backend={"name": "mine"}, dynamics={"duration_s": 0.02})
    with ScribbleSystem(config) as system:
        assert system.run().status == "done"


def test_stopped_system_runs_again(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config(dynamics={"duration_s": 0.02})) as system:
        system.request_stop()
        assert system.run().status == "interrupted"
        assert system.step == 0
        assert system.run().status == "done"


def test_what_the_trace_lacks_is_noted(build_config: BuildConfig) -> None:
    config = build_config(dynamics={"duration_s": 0.02})
    with ScribbleSystem(config) as system:
        assert system.run().notes == ()
        (note,) = system.run().notes
        assert note.startswith("not replayable: ")
        assert "steps were run before" in note
    with ScribbleSystem(config) as system:
        system.network[0].frequency = 100.0
        assert system.run().notes == ("not replayable: bridges were pinned by hand",)


def test_threads_follow_the_real_machine_only(
    build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[float] = []
    monkeypatch.setattr(
        CpuBackend, "share_cores", lambda self, idle_cores: heard.append(idle_cores)
    )
    short = {"duration_s": 0.02}
    cpu = {"name": "cpu"}
    synthetic = {"kind": "synthetic", "level": 1.0}
    with ScribbleSystem(
        build_config(dynamics=short, backend=cpu, load=synthetic)
    ) as system:
        system.run()
    assert heard == []
    live = {"kind": "none"}
    with ScribbleSystem(build_config(dynamics=short, backend=cpu, load=live)) as system:
        system.run()
    assert heard


def test_own_monitor_is_told_of_the_gpus_and_left_open(
    build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReferenceBackend, "gpu_identifiers", ("GPU-1",))
    load = LoadConfig(kind="synthetic")
    with ResourceMonitor(source=SyntheticSource(load)) as monitor:
        watched: list[object] = []
        closed: list[bool] = []
        monkeypatch.setattr(monitor, "watch_gpus", watched.append)
        monkeypatch.setattr(monitor, "close", lambda: closed.append(True))
        config = build_config(backend={"name": "reference"})
        ScribbleSystem(config, monitor=monitor).close()
        assert watched == [("GPU-1",)]
        assert closed == []


def test_auto_leaves_a_gpu_that_is_too_small(
    build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = mock.create_autospec(CpuBackend, instance=True)
    small.name, small.device = "cuda", "a small GPU"
    small.memory_free_bytes.return_value = 1000
    real = parts.select_backend

    def choose(config: BackendConfig, nodes: int) -> BackendChoice:
        if config.name == "auto":
            return BackendChoice(small, "usable")
        return real(config, nodes)

    monkeypatch.setattr(parts, "select_backend", choose)
    with ScribbleSystem(build_config(backend={"name": "auto"})) as system:
        assert system.backend.name == "cpu"
        assert "a small GPU has 1000 bytes free" in system.description["backend"]

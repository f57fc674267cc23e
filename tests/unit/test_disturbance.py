"""A real load beside a run: seen as others', ended with it, replayed without it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.config import RunConfig
from engine.errors import ConfigError, RecordError, ResourceError
from engine.load import generator as room
from engine.load.children import Child
from engine.load.cores import WORKER, CoreLoad
from engine.load.limits import Stop
from engine.monitor.host import HostSampler
from engine.recording.checkpoint import list_checkpoints, read_checkpoint
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]
REAL = {"kind": "real", "level": 0.3, "profile": "constant"}


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Process numbers of every worker on a core that is started."""
    found: list[int] = []

    def start(*arguments: Any, **options: Any) -> CoreLoad:
        load = CoreLoad(*arguments, **options)
        found.extend(load.pids)
        return load

    monkeypatch.setattr(room, "CoreLoad", start)
    return found


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid)


def test_run_under_real_load_replays_to_the_bit(
    build_config: BuildConfig, pids: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "live"
    seen: list[list[bool]] = []
    config = build_config(load=REAL, record={"folder": str(folder)})
    with ScribbleSystem(config) as system:
        summary = system.run(lambda _: seen.append([is_running(p) for p in pids]))
    assert summary.status == "done"
    assert seen and all(all(alive) for alive in seen)
    assert pids and not any(is_running(pid) for pid in pids)
    assert summary.load is not None
    assert summary.load["ended_by"] == "run"
    assert json.loads((folder / "summary.json").read_text())["load"] == summary.load
    pids.clear()
    load = replace(config.load, kind="replay", trace=str(folder))
    replayed = replace(config, load=load, record=replace(config.record, folder=None))
    with ScribbleSystem(replayed) as system:
        again = system.run()
    assert again.state_digest == summary.state_digest
    assert (again.load, pids) == (None, [])


def test_load_ends_with_a_run_that_fails(
    build_config: BuildConfig, pids: list[int]
) -> None:
    def fail(_: object) -> None:
        raise ValueError("on purpose")

    with (
        ScribbleSystem(build_config(load=REAL)) as system,
        pytest.raises(ValueError, match="on purpose"),
    ):
        system.run(fail)
    assert pids and not any(is_running(pid) for pid in pids)


def test_load_ends_with_a_run_that_is_stopped(
    build_config: BuildConfig, pids: list[int]
) -> None:
    config = build_config(load=REAL, dynamics={"duration_s": 1000.0})
    with ScribbleSystem(config) as system:
        summary = system.run(lambda _: system.request_stop())
    assert summary.status == "interrupted"
    assert pids and not any(is_running(pid) for pid in pids)


def test_run_goes_on_when_a_limit_ends_the_load(
    build_config: BuildConfig, pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(self: object, *_: object) -> Stop:
        return Stop("temperature", "a sensor shows 99 °C and the limit is 90 °C")

    monkeypatch.setattr("engine.load.limits.Limits.judge", judge)
    config = build_config(load=REAL, dynamics={"duration_s": 1000.0})
    with ScribbleSystem(config) as system:
        # As soon as the load has gone, the run may go too: no clock decides.
        def stop_when_gone(_: object) -> None:
            if pids and not any(is_running(pid) for pid in pids):
                system.request_stop()

        summary = system.run(stop_when_gone)
    (note,) = summary.notes
    assert note.endswith("before the run: a sensor shows 99 °C and the limit is 90 °C")
    assert summary.load is not None
    assert summary.load["ended_by"] == "temperature"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"profile": "trace"}, ConfigError, "load.trace is not set"),
        ({"profile": "trace", "trace": "/nowhere"}, RecordError, "/nowhere"),
    ],
)
def test_impossible_load_is_refused_before_anything_is_built(
    change: dict[str, Any],
    error: type[Exception],
    words: str,
    build_config: BuildConfig,
) -> None:
    with pytest.raises(error, match=words):
        ScribbleSystem(build_config(load={**REAL, **change}))


def test_load_goes_on_where_a_run_was_cut_off(
    build_config: BuildConfig, pids: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    config = build_config(
        load=REAL, record={"folder": str(folder)}, dynamics={"duration_s": 1000.0}
    )
    with ScribbleSystem(config) as system:
        system.run(lambda _: system.request_stop())
    kept = read_checkpoint(list_checkpoints(folder)[0]).state
    assert kept is not None
    assert kept["load"]["stop"] is None
    pids.clear()
    with ScribbleSystem.resume(folder) as system:
        assert system._disturbance.to_state() == kept["load"]
        summary = system.run(lambda _: system.request_stop())
    assert pids and not any(is_running(pid) for pid in pids)
    assert summary.load is not None
    assert summary.load["seconds"] > kept["load"]["passed_s"] > 0.0


def test_load_that_a_limit_ended_stays_ended(
    build_config: BuildConfig,
    pids: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    config = build_config(
        load=REAL, record={"folder": str(folder)}, dynamics={"duration_s": 1000.0}
    )

    def stop_when_gone(_: object) -> None:
        if pids and not any(is_running(pid) for pid in pids):
            system.request_stop()

    with monkeypatch.context() as hot, ScribbleSystem(config) as system:
        stop = Stop("temperature", "a sensor shows 99 °C and the limit is 90 °C")
        hot.setattr("engine.load.limits.Limits.judge", lambda *_: stop)
        first = system.run(stop_when_gone)
    pids.clear()
    with ScribbleSystem.resume(folder) as system:
        second = system.run(lambda _: system.request_stop())
    assert pids == []
    assert second.load == first.load
    assert second.notes[-1] == first.notes[-1]
    assert "limit is 90" in second.notes[-1]


def test_load_that_failed_stays_so_in_a_resumed_run(
    build_config: BuildConfig,
    pids: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def fail(_: object) -> None:
        raise ResourceError("a worker cannot be reached")

    config = build_config(
        load=REAL,
        record={"folder": str(tmp_path / "run")},
        dynamics={"duration_s": 1000.0},
    )

    def stop_when_gone(_: object) -> None:
        if pids and not any(is_running(pid) for pid in pids):
            system.request_stop()

    with monkeypatch.context() as ill, ScribbleSystem(config) as system:
        ill.setattr("engine.load.generator.LoadGenerator.step", fail)
        first = system.run(stop_when_gone)
    pids.clear()
    with ScribbleSystem.resume(tmp_path / "run") as system:
        second = system.run(lambda _: system.request_stop())
    assert pids == []
    assert second.load == first.load
    assert first.load is not None
    assert first.load["ended_by"] == "failure"
    note = "the load failed: a worker cannot be reached"
    assert first.notes[-1] == second.notes[-1] == note


def test_a_second_run_begins_its_load_anew(
    build_config: BuildConfig, pids: list[int]
) -> None:
    with ScribbleSystem(build_config(load=REAL)) as system:
        system.run()
        first, count = system.summarise(), len(pids)
        again = system.run()
    assert len(pids) == 2 * count
    assert again.steps > first.steps


def test_a_level_of_nothing_is_a_load_whose_workers_rest(
    build_config: BuildConfig, pids: list[int]
) -> None:
    with ScribbleSystem(build_config(load={**REAL, "level": 0.0})) as system:
        summary = system.run()
    assert (summary.status, summary.notes) == ("done", ())
    assert pids and not any(is_running(pid) for pid in pids)
    assert summary.load is not None
    assert summary.load["ended_by"] == "run"


def test_worker_counts_as_others_and_not_as_own_use() -> None:
    sampler = HostSampler()
    child = Child(WORKER, 60.0, -1)
    child.wait_ready()
    sampler.prime()
    began_s, before_s = time.monotonic(), child.read()[1]
    own_before_s = time.process_time()
    child.send(1.0)
    # Half a second of processor time, however long the machine takes for it.
    while child.read()[1] - before_s < 0.5:
        time.sleep(0.01)
    state = sampler.sample()
    window_s = time.monotonic() - began_s
    own_s = time.process_time() - own_before_s
    child.close()
    others, own = state.cores.others_cores, state.process.cores_used
    assert others is not None
    assert own is not None
    # The kernel counts in ticks of 10 ms; half of what was used is a wide margin.
    assert others * window_s > 0.25
    assert own * window_s == pytest.approx(own_s, abs=0.05)

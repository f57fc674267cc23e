"""What a run shows of single nodes, against what physics says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from engine.config import ObserveConfig, RunConfig
from engine.errors import RecordError
from engine.observation import (
    SnapshotWriter,
    choose_probe,
    find_cluster,
    open_locking,
    open_nodes,
    open_snapshots,
)
from engine.system import Progress, ScribbleSystem

BuildConfig = Callable[..., RunConfig]
NODES = 256
ALL = {"snapshot_every_s": 0.02, "frequency_window_s": 0.03, "probe_count": 16}
EVENLESS = {"kind": "none"}


def run(config: RunConfig) -> tuple[ScribbleSystem, Any]:
    with ScribbleSystem(config) as system:
        return system, system.run()


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_free_nodes_turn_at_their_natural_frequency(
    name: str, build_config: BuildConfig
) -> None:
    config = build_config(
        lattice={"coupling_rad_s": 0.0, "initial_phases": "aligned"},
        bridges=EVENLESS,
        backend={"name": name},
        observe={"frequency_window_s": 0.03},
    )
    system, summary = run(config)
    effective = system.observer.effective_frequencies_hz
    natural = system.lattice.natural_frequencies_hz
    # float32 rounds dt, the rate and their product; the angle is rounded each step.
    detuning = np.abs(system.lattice.detunings_hz).max()
    bound = 4.0 * 2.0**-24 * detuning + 2.0**-33 / config.dynamics.dt_s
    assert np.abs(effective - natural).max() < bound
    assert summary.observation["frequency"]["mean_hz"] == pytest.approx(432.0, abs=1e-3)
    # Quantiles of a law 34.4 Hz wide: few of 256 lie within 1/2 turn in 0.03 s.
    assert summary.observation["frequency"]["cluster"]["share"] < 0.3


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_locked_nodes_turn_at_the_mean_frequency(
    name: str, build_config: BuildConfig
) -> None:
    config = build_config(
        lattice={"shape": (8, 8), "spread_hz": 1.0, "initial_phases": "aligned"},
        bridges=EVENLESS,
        dynamics={"duration_s": 0.3},
        backend={"name": name},
        observe={"frequency_window_s": 0.1, "probe_count": 64},
    )
    system, summary = run(config)
    # The slowest mode decays at 2 K (1 - cos(2 pi / 8)) = 126 / s: e^-25 is left.
    effective = system.observer.effective_frequencies_hz
    assert np.abs(effective - 432.0).max() < 1e-6
    assert summary.observation["frequency"]["cluster"]["share"] == 1.0
    assert summary.observation["locking"]["mean"] > 0.999
    # r of the last two thirds still creeps by e^-8 of what it has lost at all.
    assert summary.coherence["metastability"] < 1e-6


def test_coherence_that_stands_still_has_no_metastability(
    build_config: BuildConfig,
) -> None:
    still = {"spread_hz": 0.0, "initial_phases": "aligned"}
    _, summary = run(build_config(lattice=still))
    assert summary.coherence["metastability"] == 0.0
    _, summary = run(build_config(lattice={"coupling_rad_s": 0.0}, bridges=EVENLESS))
    assert summary.coherence["metastability"] > 1e-3


@pytest.fixture
def two_clusters(build_config: BuildConfig, tmp_path: Path) -> RunConfig:
    """A chain whose halves turn 40 Hz apart, joined by one edge of K = 8 Hz."""
    frequencies = np.where(np.arange(64) < 32, 412.0, 452.0)
    np.save(tmp_path / "halves.npy", frequencies)
    return build_config(
        lattice={
            "kind": "chain",
            "shape": (64,),
            "periodic": (False,),
            "coupling_rad_s": 50.0,
            "distribution": "given",
            "frequencies_path": str(tmp_path / "halves.npy"),
            "initial_phases": "aligned",
        },
        bridges=EVENLESS,
        dynamics={"duration_s": 1.0},
        # Not a multiple of the beat of 40 Hz, or the halves would look locked.
        controller={"period_steps": 37},
        observe={"frequency_window_s": 0.5, "probe_count": 64},
    )


def test_two_clusters_are_two_peaks_and_two_blocks(two_clusters: RunConfig) -> None:
    system, summary = run(two_clusters)
    effective = system.observer.effective_frequencies_hz
    low, high = effective[:32], effective[32:]
    # The edge between them pulls both ways and drags neither half along.
    assert np.abs(low - 412.0).max() < 1.0
    assert np.abs(high - 452.0).max() < 1.0
    found = summary.observation["frequency"]
    counts = np.array(found["histogram"]["counts"])
    assert counts[: counts.size // 3].sum() == 32
    assert counts[-(counts.size // 3) :].sum() == 32
    assert found["cluster"]["share"] == 0.5
    matrix = system.observer.locking.matrix
    assert matrix[:32, :32].min() > 0.9
    assert matrix[32:, 32:].min() > 0.9
    # The two at the edge linger at each beat: (d - sqrt(d^2 - (2 K)^2)) / 2 K = 0.21
    # with d = 2 pi 40 Hz; the others less.
    assert matrix[:32, 32:].max() < 0.21


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_observing_changes_no_bit(
    name: str, build_config: BuildConfig, tmp_path: Path
) -> None:
    alone = build_config(backend={"name": name})
    seen = replace(
        alone,
        observe=ObserveConfig(**ALL),
        record=replace(alone.record, folder=str(tmp_path / "run")),
    )
    assert run(seen)[1].state_digest == run(alone)[1].state_digest


def test_observed_run_replays_to_the_bit(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build_config(observe=ALL, record={"folder": str(tmp_path / "live")})
    _, live = run(config)
    replayed = replace(
        config,
        load=replace(config.load, kind="replay", trace=str(tmp_path / "live")),
        record=replace(config.record, folder=str(tmp_path / "again")),
    )
    _, again = run(replayed)
    assert again.state_digest == live.state_digest
    assert again.observation == live.observation
    for name in ("nodes.parquet", "snapshots.arrow"):
        first, second = (tmp_path / each / name for each in ("live", "again"))
        assert first.read_bytes() == second.read_bytes()


def test_run_folder_holds_what_was_seen(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    system, summary = run(build_config(observe=ALL, record={"folder": str(tmp_path)}))
    snapshots = open_snapshots(tmp_path)
    # Periods of 0.01 s: at the start, and at each end at or after a multiple.
    assert snapshots.times_s == pytest.approx([0.0, 0.02, 0.04])
    table = parquet.read_table(tmp_path / "nodes.parquet")
    assert table.column_names == [
        "node", "x", "y", "natural_frequency_hz", "effective_frequency_hz", "phase",
    ]  # fmt: skip
    assert table.num_rows == NODES
    rows = table.to_pydict()
    assert (rows["x"][18], rows["y"][18]) == (1, 2)
    assert table.schema.field("effective_frequency_hz").metadata[b"units"] == b"Hz"
    nodes, locking = open_nodes(tmp_path), open_locking(tmp_path)
    assert nodes is not None
    assert locking is not None
    assert nodes.window_s == system.observer.window_s
    assert np.array_equal(nodes.phases, system.lattice.phases)
    assert np.array_equal(
        nodes.effective_frequencies_hz, system.observer.effective_frequencies_hz
    )
    assert np.array_equal(
        nodes.natural_frequencies_hz, system.lattice.natural_frequencies_hz
    )
    assert np.array_equal(locking.nodes, choose_probe(NODES, 16))
    stored = json.loads((tmp_path / "summary.json").read_text())["observation"]
    assert stored == json.loads(json.dumps(summary.observation))
    assert stored["snapshots"] == 3
    assert stored["frequency"]["window_s"] == pytest.approx(0.03)
    cluster = find_cluster(nodes.effective_frequencies_hz, 0.03)
    assert stored["frequency"]["cluster"]["share"] == cluster.share
    assert sum(stored["frequency"]["histogram"]["counts"]) == NODES


def test_window_begins_no_later_than_asked(build_config: BuildConfig) -> None:
    # Counting begins between periods of 0.01 s, so 0.025 s become 0.03.
    _, summary = run(build_config(observe={"frequency_window_s": 0.025}))
    assert summary.observation["frequency"]["window_s"] == pytest.approx(0.03)
    _, summary = run(build_config(observe={"frequency_window_s": 0.05}))
    assert summary.observation["frequency"]["window_s"] == pytest.approx(0.05)


def test_nothing_is_observed_unless_asked_for(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    system, summary = run(build_config(record={"folder": str(tmp_path)}))
    assert summary.observation is None
    assert system.observer.locking is None
    names = {path.name for path in tmp_path.iterdir()}
    assert not names & {"snapshots.arrow", "nodes.parquet", "locking.npz"}


def test_interrupted_run_keeps_what_it_has(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build_config(
        observe={"snapshot_every_s": 0.01, "frequency_window_s": 0.01},
        record={"folder": str(tmp_path)},
    )
    with ScribbleSystem(config) as system:

        def stop(progress: Progress) -> None:
            if progress.step == 80:
                system.request_stop()

        summary = system.run(stop)
    assert summary.status == "interrupted"
    assert len(open_snapshots(tmp_path)) == summary.observation["snapshots"] == 3
    assert summary.observation["frequency"] is None
    nodes = open_nodes(tmp_path)
    assert nodes is not None
    assert nodes.effective_frequencies_hz is None


def test_failed_run_leaves_snapshots_and_counts_no_more(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build_config(
        observe={"snapshot_every_s": 0.01, "frequency_window_s": 0.05},
        record={"folder": str(tmp_path)},
    )

    def fail(_: Progress) -> None:
        raise RuntimeError("no more")

    with ScribbleSystem(config) as system:
        with pytest.raises(RuntimeError):
            system.run(fail)
        assert system.lattice.state.turn_count is None
    assert len(open_snapshots(tmp_path)) == 2
    assert open_nodes(tmp_path) is None


def test_second_run_is_observed_afresh(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build_config(
        observe=ALL, record={"folder": str(tmp_path / "run"), "overwrite": True}
    )
    with ScribbleSystem(config) as system:
        system.run()
        system.simulate_load(0.5, 0.02)
        again = system.run()
    assert again.observation["frequency"]["window_s"] == pytest.approx(0.03)
    assert open_snapshots(tmp_path / "run").times_s[0] == pytest.approx(0.07)


def test_full_disk_ends_the_run_with_a_sentence(
    build_config: BuildConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = SnapshotWriter.add

    def fill(writer: SnapshotWriter, step: int, *rest: Any) -> None:
        if step:
            raise writer._fail(OSError(28, "No space left on device"))
        add(writer, step, *rest)

    monkeypatch.setattr(SnapshotWriter, "add", fill)
    config = build_config(observe=ALL, record={"folder": str(tmp_path)})
    with ScribbleSystem(config) as system, pytest.raises(RecordError, match="No space"):
        system.run()
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "failed"


def test_error_windows_are_not_observed(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build_config(
        observe=ALL,
        controller={"error_windows": 2, "error_window_s": 0.02},
        record={"folder": str(tmp_path)},
    )
    _, summary = run(config)
    assert summary.simulated_seconds > 0.1
    assert open_snapshots(tmp_path).times_s == pytest.approx([0.0, 0.02, 0.04])
    assert summary.observation["frequency"]["window_s"] == pytest.approx(0.03)


def test_stronger_coupling_is_counted_as_carefully(build_config: BuildConfig) -> None:
    config = build_config(observe={"frequency_window_s": 0.05})
    with ScribbleSystem(config) as system:
        seen = []

        def strengthen(progress: Progress) -> None:
            if progress.step == 80:
                system.adjust_coupling(300.0)
            if system.lattice.state.turn_count is not None:
                seen.append(system.lattice.state.turn_count.fastest_hz)

        system.run(strengthen)
    # Four neighbours pull by K each.
    more_hz = 4.0 * (300.0 - 216.0) / (2.0 * np.pi)
    assert seen[-1] - seen[0] == pytest.approx(more_hz)

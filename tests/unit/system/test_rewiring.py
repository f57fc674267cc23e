"""Rewiring a network that lives: counters, clocks, refusals, on every back end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.bridge import BridgeNetwork
from engine.config import LoadConfig, RunConfig
from engine.errors import ConfigError
from engine.system import ScribbleSystem
from engine.tunnel import transmission_probability

BuildConfig = Callable[..., RunConfig]
BACKENDS = ["reference", "cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=BACKENDS)
def changed(request: pytest.FixtureRequest) -> dict[str, object]:
    if request.param == "cuda":
        request.getfixturevalue("require_cuda")()
    return {"name": request.param}


def get_stored(system: ScribbleSystem) -> BridgeNetwork:
    assert isinstance(system.network, BridgeNetwork)
    return system.network


def test_counters_and_pins_live_on(
    build_config: BuildConfig, changed: dict[str, object]
) -> None:
    with ScribbleSystem(build_config(backend=changed)) as system:
        network = get_stored(system)
        network.pin(5, 102.0)
        system.advance(0.02)
        before, old = network.columns_by_id(), network.edges
        report = system.optimize_paths()
        after, new = network.columns_by_id(), network.edges
        moved = np.flatnonzero(
            (old.sources != new.sources) | (old.targets != new.targets)
        )
        stays = np.setdiff1d(np.arange(len(network)), moved)
        assert report.retired == len(moved) > 400
        assert (after.sources == new.sources).all()
        assert (after.targets == new.targets).all()
        for name in ("ids", "attempts", "successes"):
            assert (getattr(after, name) == getattr(before, name)).all()
        for name in ("last_ticks", "locking_cos", "locking_sin"):
            assert (getattr(after, name)[stays] == getattr(before, name)[stays]).all()
        assert (after.last_ticks[moved] == system.step).all()
        assert not network.coherences()[moved].any()
        assert network[5].frequency == pytest.approx(102.0, rel=1e-3)
        detunings = system.lattice.detunings_hz.astype(np.float64)
        gaps = detunings[new.targets] - detunings[new.sources]
        law = transmission_probability(gaps, system.config.tunnel)
        np.testing.assert_allclose(network.probabilities, law, rtol=1e-12)
        system.advance(0.02)
        grown = network.columns_by_id()
        assert (grown.attempts.astype(int) >= after.attempts).all()
        assert grown.attempts.sum() > after.attempts.sum()


def test_back_ends_rewire_alike(build_config: BuildConfig) -> None:
    ends = []
    for name in ("reference", "cpu"):
        with ScribbleSystem(build_config(backend={"name": name})) as system:
            system.advance(0.01)
            report = system.optimize_paths()
            edges = get_stored(system).edges
            ends.append((report, edges.sources.tolist(), edges.targets.tolist()))
    assert ends[0] == ends[1]


def test_rewired_run_is_reproducible(build_config: BuildConfig) -> None:
    digests = []
    for threads in (1, 1, 2):
        config = build_config(backend={"name": "cpu", "threads": threads})
        with ScribbleSystem(config) as system:
            system.advance(0.02)
            system.optimize_paths()
            system.advance(0.02)
            digests.append(system.state_digest())
    assert len(set(digests)) == 1
    with ScribbleSystem(build_config()) as system:
        system.advance(0.04)
        assert system.state_digest() not in digests


def test_rewiring_raises_coherence(build_config: BuildConfig) -> None:
    config = build_config(
        lattice={"shape": (32, 32)},
        controller={"objective": "fixed", "fixed_frequency_hz": 43.0},
    )
    with ScribbleSystem(config) as system:
        system.advance(0.6)
        before = system.coherence
        report = system.optimize_paths()
        system.advance(0.4)
        # Forecast 0.89 and 0.94, each good to 0.01.
        assert system.coherence > before + 0.02
        assert report.coherence_after > report.coherence_before


def test_run_is_not_replayable(build_config: BuildConfig, tmp_path: Path) -> None:
    config = build_config(record={"folder": str(tmp_path / "run")})
    with ScribbleSystem(config) as system:
        system.network.pin(3, 102.0)
        system.optimize_paths()
        summary = system.run()
    assert "not replayable: bridges were rewired by hand" in summary.notes
    assert "not replayable: bridges were pinned by hand" in summary.notes
    assert summary.forecast["reason"] == "bridges were rewired by hand"


def test_second_rewiring_that_moves_nothing_is_no_deed(
    build_config: BuildConfig,
) -> None:
    config = build_config(bridges={"placement": "aligned"}, mesh={"rule": "none"})
    with ScribbleSystem(config) as system:
        assert system.optimize_paths().retired == 0
        summary = system.run()
    assert not summary.notes
    assert summary.forecast["coherence"] is not None


def write_edges(folder: Path) -> str:
    path = folder / "edges.csv"
    rows = [f"{node},{128 + 7 * node % 128}" for node in range(64)]
    path.write_text("\n".join(["source,target", *rows]) + "\n", encoding="utf-8")
    return str(path)


def test_given_edges_are_changed_only_if_asked(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build_config(bridges={"kind": "file", "path": write_edges(tmp_path)})
    with ScribbleSystem(config) as system:
        edges = get_stored(system).edges
        with pytest.raises(ConfigError, match="is_user_given_allowed=True"):
            system.optimize_paths()
        assert get_stored(system).edges is edges
        report = system.optimize_paths(is_user_given_allowed=True)
        assert report.retired > 0
        assert report.misalignment_after < report.misalignment_before
        system.advance(0.01)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"bridges": {"kind": "none"}}, "bridges=none makes none"),
        ({"bridges": {"kind": "procedural"}}, "keyed permutation; use bridges=match"),
        ({"bridges": {"directed": True}}, "512 are directed"),
        ({"bridges": {"repulsive_share": 1.0}}, "512 of 512 bridges repel"),
        ({"lattice": {"coupling_range": "all"}}, "lattice.coupling_range is 'all'"),
    ],
)
def test_what_cannot_be_rewired(
    build_config: BuildConfig, groups: dict[str, dict[str, object]], words: str
) -> None:
    config = build_config(backend={"name": "reference"}, **groups)
    with ScribbleSystem(config) as system:
        with pytest.raises(ConfigError, match=words):
            system.optimize_paths()
        system.advance(0.01)


def test_rollout_keeps_its_bridges(build_config: BuildConfig) -> None:
    config = build_config(
        rollout={
            "target": "alpha",
            "window_s": 0.2,
            "start_s": 0.1,
            "settle_s": 0.1,
            "objective": "floor",
        },
        dynamics={"duration_s": 1.0},
    )
    with (
        ScribbleSystem(config) as system,
        pytest.raises(ConfigError, match="use rollout=none"),
    ):
        system.optimize_paths()


def build_rewired(build_config: BuildConfig, **groups: dict[str, object]) -> RunConfig:
    """Configure a run of 0.05 s whose periods last 0.01 s."""
    bridges = {"rewire_every_s": 0.02} | groups.pop("bridges", {})
    return build_config(bridges=bridges, **groups)


def test_configured_rewiring_comes_in_time_and_counts(
    build_config: BuildConfig,
) -> None:
    with ScribbleSystem(build_rewired(build_config)) as system:
        drawn = get_stored(system).edges
        seen = []
        summary = system.run(lambda _: seen.append(get_stored(system).edges is drawn))
    # It comes before the period that begins at 0.02 s, and again at 0.04 s.
    assert seen == [True, True, False, False, False]
    assert summary.paths is not None
    assert summary.paths["rewirings"] == 2
    last = summary.paths["last"]
    assert summary.paths["retired"] > 400 > last["retired"]
    assert last["misalignment_after"] <= last["misalignment_before"]
    assert summary.forecast["reason"] == "bridges were rewired during the run"
    assert not summary.notes


def test_configured_rewiring_is_replayed(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    config = build_rewired(build_config, record={"folder": str(folder)})
    with ScribbleSystem(config) as system:
        first = system.run()
    replay = replace(
        config,
        load=LoadConfig(kind="replay", trace=str(folder)),
        record=replace(config.record, folder=None),
    )
    with ScribbleSystem(replay) as system:
        again = system.run()
    assert again.state_digest == first.state_digest
    assert again.paths is not None
    assert again.paths["last"] == first.paths["last"]
    with ScribbleSystem(build_config()) as system:
        plain = system.run()
    assert plain.paths is None
    assert plain.state_digest != first.state_digest


def test_drawn_repulsion_is_refused_before_the_run(build_config: BuildConfig) -> None:
    config = build_rewired(build_config, bridges={"strength_spread_rad_s": 200.0})
    with pytest.raises(ConfigError, match="bridges repel and 0 are directed"):
        ScribbleSystem(config)


def test_error_windows_see_one_network(build_config: BuildConfig) -> None:
    config = build_rewired(
        build_config,
        controller={"error_windows": 1, "error_window_s": 0.05},
    )
    with ScribbleSystem(config) as system:
        summary = system.run()
        assert summary.paths is not None
        assert system.simulated_s > 0.1
        assert summary.paths["rewirings"] == 2

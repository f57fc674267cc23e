"""CrystalLattice: its natural frequencies, its phases and its refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends.philox import Stream
from engine.backends.protocol import TABLEAUS, Backend, Motion
from engine.config import DynamicsConfig, LatticeConfig
from engine.crystal import CrystalLattice, draw_detunings, draw_phases
from engine.errors import ConfigError, EngineError, RecordError, ShapeError

SPREAD_HZ = 10.0
NODES = 4096
MOMENT = {"gaussian": SPREAD_HZ, "uniform": SPREAD_HZ / math.sqrt(3.0)}


def draw(seed: int = 0, **changes: Any) -> np.ndarray:
    config = LatticeConfig(shape=(64, 64), spread_hz=SPREAD_HZ, **changes)
    return draw_detunings(config, seed).astype(np.float64)


@pytest.mark.parametrize("distribution", ["gaussian", "lorentzian", "uniform"])
def test_quantile_values_are_the_same_for_every_seed(distribution: str) -> None:
    first, second = (draw(seed, distribution=distribution) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first), np.sort(second))


@pytest.mark.parametrize(("distribution", "deviation"), list(MOMENT.items()))
def test_quantile_moments(distribution: str, deviation: float) -> None:
    values = draw(distribution=distribution)
    # Symmetric by construction; float32 rounds each value by 2^-24 of its size.
    assert values.mean() == pytest.approx(0.0, abs=SPREAD_HZ * 2.0**-24)
    # The midpoint rule misses the tails' outermost 1/2N: less than 1/N in each.
    assert values.std() == pytest.approx(deviation, rel=4.0 / NODES)


@pytest.mark.parametrize(("distribution", "deviation"), list(MOMENT.items()))
def test_random_moments(distribution: str, deviation: float) -> None:
    values = draw(distribution=distribution, sampling="random")
    # Five standard errors of the mean and of the deviation (at most gaussian).
    assert abs(values.mean()) < 5.0 * deviation / math.sqrt(NODES)
    assert values.std() == pytest.approx(deviation, rel=5.0 / math.sqrt(2.0 * NODES))
    assert len(np.unique(values)) > 0.99 * NODES
    assert not np.array_equal(np.sort(values), np.sort(draw(distribution=distribution)))


def test_lorentzian_quantiles() -> None:
    values = np.sort(draw(distribution="lorentzian"))
    # Half of a Lorentzian lies within its half-width.
    assert np.mean(np.abs(values) < SPREAD_HZ) == 0.5
    assert values[-1] == pytest.approx(
        SPREAD_HZ / math.tan(math.pi * 0.5 / NODES), rel=1e-6
    )


@pytest.mark.parametrize("sampling", ["quantile", "random"])
@pytest.mark.parametrize("distribution", ["gaussian", "lorentzian", "uniform"])
def test_cutoff_truncates_and_keeps_the_shape(distribution: str, sampling: str) -> None:
    values = draw(distribution=distribution, sampling=sampling, cutoff_hz=8.0)
    largest = np.abs(values).max()
    assert 7.9 < largest <= 8.0 * (1.0 + 2.0**-23)
    whole = draw(distribution=distribution)
    inside = whole[np.abs(whole) < 8.0]
    # Quartiles as those of the untruncated draws inside: five standard errors of
    # N values at a density of at least 1/40 Hz, sqrt(3/16/4096) / (1/40) = 0.27 Hz.
    for share in (0.25, 0.5, 0.75):
        assert np.quantile(values, share) == pytest.approx(
            np.quantile(inside, share), abs=5.0 * 0.27
        )


def test_cutoff_beyond_a_uniform_range_changes_nothing() -> None:
    assert np.array_equal(
        draw(distribution="uniform", cutoff_hz=11.0), draw(distribution="uniform")
    )


def test_no_spread_means_no_detuning() -> None:
    config = LatticeConfig(shape=(4, 4), spread_hz=0.0, cutoff_hz=1.0)
    assert not draw_detunings(config, 0).any()


@pytest.fixture
def build_given(tmp_path: Path) -> Callable[[Any], LatticeConfig]:
    def build(values: Any) -> LatticeConfig:
        path = tmp_path / "frequencies.npy"
        if isinstance(values, str):
            path.write_text(values, encoding="utf-8")
        else:
            np.save(path, values, allow_pickle=True)
        return LatticeConfig(
            shape=(4, 4), distribution="given", frequencies_path=str(path)
        )

    return build


@pytest.mark.parametrize("kind", ["<f8", ">f4", "i4"])
def test_given_frequencies(
    build_given: Callable[[Any], LatticeConfig], kind: str, reference: Backend
) -> None:
    values = (400 + np.arange(16)).reshape(4, 4).astype(kind)
    lattice = CrystalLattice(build_given(values), reference)
    assert lattice.natural_frequencies_hz.tolist() == list(range(400, 416))


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        (np.ones(15), ShapeError, "holds 15 values"),
        (np.ones(16, complex), ShapeError, "type complex128"),
        (np.array(["432"] * 16), ShapeError, "needs 16 numbers"),
        (np.array([np.nan] * 16), ShapeError, "not finite"),
        (np.array([432.0] * 15 + [np.inf]), ShapeError, "not finite"),
        (np.array([432.0] * 15 + [1e300]), ShapeError, "frequencies_path"),
        (np.array([{}] * 16), RecordError, "cannot be read as .npy"),
        ("432\n" * 16, RecordError, "cannot be read as .npy"),
        ("", RecordError, "cannot be read as .npy"),
    ],
    ids=["few", "complex", "text", "nan", "inf", "huge", "objects", "csv", "empty"],
)
def test_bad_given_frequencies(
    build_given: Callable[[Any], LatticeConfig],
    values: Any,
    kind: type[EngineError],
    words: str,
) -> None:
    with pytest.raises(kind, match=words):
        draw_detunings(build_given(values), 0)


def test_missing_file_of_frequencies(tmp_path: Path) -> None:
    config = LatticeConfig(
        distribution="given", frequencies_path=str(tmp_path / "absent.npy")
    )
    with pytest.raises(RecordError, match=r"absent\.npy cannot be read"):
        draw_detunings(config, 0)


def test_archive_instead_of_an_array(tmp_path: Path) -> None:
    path = tmp_path / "frequencies.npz"
    np.savez(path, frequencies=np.full(16, 432.0))
    config = LatticeConfig(
        shape=(4, 4), distribution="given", frequencies_path=str(path)
    )
    with pytest.raises(EngineError, match="frequencies_path"):
        draw_detunings(config, 0)


def test_initial_phases() -> None:
    config = LatticeConfig(shape=(64, 64))
    aligned = draw_phases(replace(config, initial_phases="aligned"), 0)
    assert aligned.dtype == np.uint32
    assert not aligned.any()
    random = draw_phases(config, 0)
    # Independent phases: |r| has the mean square 1/N; five times that deviation.
    assert abs(np.exp(2j * np.pi * random / 2.0**32).mean()) < 5.0 / math.sqrt(NODES)
    assert not np.array_equal(random, draw_phases(config, 1))


def test_phases_and_frequencies_are_independent() -> None:
    config = LatticeConfig(shape=(64, 64))
    phases, values = draw_phases(config, 0), draw_detunings(config, 0)
    correlation = np.corrcoef(phases, values)[0, 1]
    assert abs(correlation) < 5.0 / math.sqrt(NODES)


def build_lattice(backend: Backend, **changes: Any) -> CrystalLattice:
    return CrystalLattice(LatticeConfig(shape=(8, 8), **changes), backend, seed=3)


def test_adjust_resonance_moves_frequencies_and_keeps_phases(backend: Backend) -> None:
    lattice = build_lattice(backend)
    phases, detunings = lattice.phases, lattice.detunings_hz.copy()
    natural = lattice.natural_frequencies_hz
    assert lattice.resonance_frequency == 432.0
    lattice.adjust_resonance(500.0)
    assert lattice.resonance_frequency == 500.0
    assert np.array_equal(lattice.phases, phases)
    assert np.array_equal(lattice.detunings_hz, detunings)
    assert lattice.natural_frequencies_hz - natural == pytest.approx(68.0)


def test_resonance_does_not_change_the_motion_in_its_frame(reference: Backend) -> None:
    ends = []
    for resonance_hz in (432.0, 5000.0):
        lattice = build_lattice(reference)
        lattice.adjust_resonance(resonance_hz)
        for _ in range(10):
            reference.step_lattice(lattice.state, TABLEAUS["rk2"], 0.00025)
        ends.append(lattice.phases)
    assert np.array_equal(*ends)


@pytest.mark.parametrize("frequency", [0.0, -1.0, math.inf, math.nan])
def test_bad_resonance(reference: Backend, frequency: float) -> None:
    with pytest.raises(ConfigError, match=r"^frequency is"):
        build_lattice(reference).adjust_resonance(frequency)


@pytest.mark.parametrize(
    "changes",
    [
        {"spread_hz": 400.0},
        {"coupling_rad_s": 5000.0},
        {"distribution": "lorentzian"},
    ],
    ids=str,
)
def test_refused_time_step_names_one_that_passes(
    reference: Backend, changes: dict[str, Any]
) -> None:
    lattice = build_lattice(reference, **changes)
    with pytest.raises(ConfigError) as caught:
        lattice.check_time_step(0.0025)
    message = str(caught.value)
    assert message.startswith("dynamics.dt_s is 0.0025 s, too long")
    assert "lattice.cutoff_hz" in message
    cure = message.partition("dt_s <= ")[2].partition(",")[0]
    lattice.check_time_step(float(cure))


def test_refused_noise_names_a_time_step_that_passes(reference: Backend) -> None:
    config = LatticeConfig(shape=(4, 4), spread_hz=0.0)
    dynamics = DynamicsConfig(diffusion_rad2_s=100.0)
    lattice = CrystalLattice(config, reference, 0, dynamics)
    lattice.check_time_step(0.00025)
    with pytest.raises(ConfigError, match="diffusion_rad2_s=100") as caught:
        lattice.check_time_step(0.0004)
    cure = str(caught.value).partition("dt_s <= ")[2].partition(",")[0]
    lattice.check_time_step(0.999 * float(cure))


def test_mean_field_pulls_as_one_neighbour(reference: Backend) -> None:
    # Its K is divided by the number of nodes.
    shared = {"coupling_rad_s": 400.0, "spread_hz": 0.0}
    build_lattice(reference, coupling_range="all", **shared).check_time_step(0.0025)
    with pytest.raises(ConfigError, match="too long"):
        build_lattice(reference, **shared).check_time_step(0.0025)


def test_motion_follows_the_configuration(reference: Backend) -> None:
    config = LatticeConfig(shape=(4, 4), phase_lag_rad=0.3, coupling_range="all")
    dynamics = DynamicsConfig("leapfrog", inertia_s=0.01, diffusion_rad2_s=2.0)
    lattice = CrystalLattice(config, reference, 7, dynamics)
    assert lattice.state.motion == Motion(0.3, True, 0.01, 2.0, (7, Stream.NOISE))
    assert lattice.state.velocities.shape == (16,)
    plain = CrystalLattice(LatticeConfig(shape=(4, 4)), reference).state
    assert plain.motion.is_steady
    assert plain.velocities is None


@pytest.mark.parametrize(
    "phases",
    [np.zeros(63, np.uint32), np.zeros((8, 8), np.uint32), np.zeros(64, np.int64)],
    ids=["short", "square", "signed"],
)
def test_phases_of_another_shape_or_type(backend: Backend, phases: np.ndarray) -> None:
    lattice = build_lattice(backend)
    before = lattice.phases
    with pytest.raises(ShapeError, match=r"shape \(64,\) and type uint32"):
        lattice.phases = phases
    assert np.array_equal(lattice.phases, before)


def test_phases_are_copies(backend: Backend) -> None:
    lattice = build_lattice(backend)
    before = lattice.phases
    lattice.phases[:] = 0
    assert np.array_equal(lattice.phases, before)


def test_update_tunnel_frequencies_passes_the_frequency_on(reference: Backend) -> None:
    class Follower:
        frequency_hz = 0.0

        def follow(self, frequency_hz: float) -> None:
            self.frequency_hz = frequency_hz

    class Source:
        frequency_hz = 123.0

    lattice = build_lattice(reference)
    lattice.update_tunnel_frequencies(Source())  # without bridges, nothing to do
    lattice.bridges = follower = Follower()
    lattice.update_tunnel_frequencies(Source())
    assert follower.frequency_hz == 123.0


def test_invalid_configuration_is_refused(reference: Backend) -> None:
    with pytest.raises(ConfigError, match=r"lattice\.spread_hz"):
        build_lattice(reference, spread_hz=-1.0)

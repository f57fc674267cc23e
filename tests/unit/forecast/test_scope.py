"""What the forecast does not know is named in one readable phrase."""

from __future__ import annotations

from collections.abc import Callable

from engine.config import RunConfig
from engine.forecast.scope import SCOPE, find_obstacle

BuildConfig = Callable[..., RunConfig]


def test_plain_network_has_no_obstacle(build_config: BuildConfig) -> None:
    assert find_obstacle(build_config()) == ""


def test_obstacles_are_listed_as_a_sentence_does(build_config: BuildConfig) -> None:
    lag = {"phase_lag_rad": 0.3}
    noise = {"diffusion_rad2_s": 2.0}
    assert find_obstacle(build_config(lattice=lag)) == (
        f"lattice.phase_lag_rad is 0.3, but {SCOPE}"
    )
    assert find_obstacle(build_config(lattice=lag, dynamics=noise)) == (
        f"lattice.phase_lag_rad is 0.3 and dynamics.diffusion_rad2_s is 2, but {SCOPE}"
    )
    bridges = {"kind": "procedural", "directed": True}
    config = build_config(lattice=lag, dynamics=noise, bridges=bridges)
    assert find_obstacle(config) == (
        "lattice.phase_lag_rad is 0.3, dynamics.diffusion_rad2_s is 2 and all bridges "
        f"are directed, but {SCOPE}"
    )

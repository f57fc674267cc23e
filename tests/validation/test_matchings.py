"""Procedural matchings hold a network together exactly as stored ones do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.config import RunConfig
from engine.system import ScribbleSystem

pytestmark = pytest.mark.validation

SEEDS = 10


@pytest.mark.parametrize("frequency_hz", [24.0, 63.0])
def test_coherence_is_that_of_stored_matchings(
    frequency_hz: float, build_config: Callable[..., RunConfig]
) -> None:
    # r = 0.797 +- 0.004 and 0.913 +- 0.001 in eight runs of either kind: far enough
    # from 1 to tell, and the golden-ratio order of stored slots makes no difference.
    finals: dict[str, list[float]] = {"matchings": [], "procedural": []}
    for kind, values in finals.items():
        for seed in range(SEEDS):
            config = build_config(
                seed=seed,
                lattice={"shape": (64, 64)},
                bridges={"kind": kind},
                dynamics={"duration_s": 1.0},
                controller={"objective": "fixed", "fixed_frequency_hz": frequency_hz},
            )
            with ScribbleSystem(config) as system:
                values.append(system.run().coherence["final"])
    means = [np.mean(values) for values in finals.values()]
    errors = [np.var(values, ddof=1) / SEEDS for values in finals.values()]
    # Student's t of 18 degrees of freedom passes 4.5 by luck once in 3600 times.
    assert abs(means[0] - means[1]) < 4.5 * np.sqrt(sum(errors))

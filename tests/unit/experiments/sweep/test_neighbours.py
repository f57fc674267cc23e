"""Jobs that load the machine for real keep apart."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ConfigError
from experiments.sweep.neighbours import refuse_neighbours

JOBLIB = "hydra_plugins.scribble.JoblibLauncher"
SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"


@pytest.mark.parametrize(
    ("launcher", "cure"),
    [
        ({"_target_": JOBLIB, "n_jobs": -1}, "set hydra.launcher.n_jobs=1 or leave"),
        ({"_target_": JOBLIB, "n_jobs": 4}, "set hydra.launcher.n_jobs=1 or leave"),
        (
            {"_target_": "hydra_plugins.scribble.RayLauncher", "workers": None},
            "set hydra.launcher.workers=1",
        ),
        (
            {"_target_": f"{SUBMITIT}.SlurmLauncher", "array_parallelism": 256},
            "set hydra.launcher.array_parallelism=1",
        ),
        ({"_target_": f"{SUBMITIT}.LocalLauncher"}, "; leave hydra/launcher out"),
    ],
)
def test_launchers_that_run_several_are_refused(
    launcher: dict[str, Any], cure: str
) -> None:
    with pytest.raises(ConfigError, match="may not run side by side") as refusal:
        refuse_neighbours(launcher)
    assert cure in str(refusal.value)


@pytest.mark.parametrize(
    "launcher",
    [
        {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"},
        {"_target_": JOBLIB, "n_jobs": 1},
        {"_target_": "somebody.Launcher"},
        {
            "_target_": f"{SUBMITIT}.SlurmLauncher",
            "array_parallelism": 256,
            "additional_parameters": {"exclusive": True},
        },
    ],
)
def test_one_at_a_time_and_nodes_of_their_own_are_not(launcher: dict[str, Any]) -> None:
    refuse_neighbours(launcher)

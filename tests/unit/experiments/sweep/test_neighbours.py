"""Jobs that load the machine for real, or want one port, keep apart."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from engine.config import MetricsConfig
from engine.errors import ConfigError
from experiments.sweep.neighbours import refuse_neighbours, refuse_ports

JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
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


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_one_port_for_jobs_that_run_side_by_side(free_port: int) -> None:
    served = MetricsConfig(http=True, port=free_port)
    with pytest.raises(ConfigError, match=rf"metrics\.port is {free_port} for jobs"):
        refuse_ports([served, served], 3, {"_target_": JOBLIB, "n_jobs": 2})


@pytest.mark.parametrize(
    ("endpoints", "job_count", "launcher"),
    [
        ([MetricsConfig(http=True, port=0)], 3, {"_target_": JOBLIB, "n_jobs": 2}),
        ([MetricsConfig(port=9)], 3, {"_target_": JOBLIB, "n_jobs": 2}),
        ([MetricsConfig(http=True, port=9)], 3, {"_target_": f"{SUBMITIT}.Slurm"
         "Launcher"}),
        ([MetricsConfig(http=True, port=70000)], 1, {"_target_": JOBLIB}),
    ],
    ids=["any-port", "not-served", "elsewhere", "no-port"],
)  # fmt: skip
def test_ports_that_are_left_to_the_jobs(
    endpoints: list[MetricsConfig], job_count: int, launcher: dict[str, Any]
) -> None:
    refuse_ports(endpoints, job_count, launcher)


def test_one_port_for_one_job_after_another(free_port: int) -> None:
    served = MetricsConfig(http=True, port=free_port)
    refuse_ports([served], 3, {"_target_": JOBLIB, "n_jobs": 1})
    refuse_ports([served, MetricsConfig(port=free_port)], 2, {"_target_": JOBLIB})

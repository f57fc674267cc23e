"""One job of a sweep, composed and run in a worker of whatever launcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from experiments.sweep import process

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

STOP_GRACE_S: Final = process.STOP_GRACE_S + 10.0
"""How long workers may take to end their jobs [s]; a little more than a job itself may,
for what is killed then keeps no account."""
LOOK_S: Final = 0.2
"""Time between two looks at whether jobs have ended [s]."""
Shared = tuple[Any, Any, Any, Any]
"""Hydra's context, the configuration of the sweep, the task function and the state of
Hydra's singletons."""


def share_parts(parts: tuple[Any, Any, Any]) -> Shared:
    """Put together what every worker needs.

    Args:
        parts: Hydra's context, the configuration of the sweep and the task function.
    """
    from hydra.core.singleton import Singleton

    return (*parts, Singleton.get_state())


def run_task(shared: Shared, words: list[str], number: int) -> JobReturn:
    """Compose and run one job.

    Args:
        shared: What `share_parts` gave.
        words: What sets the job apart.
        number: Number of the job.

    Raises:
        KeyboardInterrupt: The job was interrupted.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.singleton import Singleton
    from hydra.core.utils import run_job, setup_globals
    from omegaconf import open_dict

    context, config, task_function, state = shared
    setup_globals()
    Singleton.set_state(state)
    composed = context.config_loader.load_sweep_config(config, words)
    with open_dict(composed):
        composed.hydra.job.id = f"{composed.hydra.job.name}_{number}"
        composed.hydra.job.num = number
    HydraConfig.instance().set_config(composed)
    return run_job(
        hydra_context=context,
        config=composed,
        task_function=task_function,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )

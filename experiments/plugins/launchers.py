"""Launchers of several jobs at a time: joblib's workers on this machine, and Ray.

Not ``hydra-joblib-launcher``: there a worker that is killed takes all others along, and
Ctrl-C kills jobs before they have written anything. Not ``hydra-ray-launcher``: it pins
an old cloudpickle and brings a cloud's tools.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class TaskLauncher(Launcher):
    """Hands every job to a worker, which watches the job's own process.

    Args:
        settings: Fields of the launcher's settings in `experiments.plugins`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        """Keep what every job needs.

        Args:
            hydra_context: Hydra's loader and callbacks.
            task_function: What runs one job.
            config: Hydra's configuration of the sweep.
        """
        self.parts = (hydra_context, config, task_function)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run jobs and wait for all of them.

        Args:
            job_overrides: The words of each.
            initial_job_idx: Number of the first.

        Returns:
            What came of those whose workers lived.
        """
        run_tasks = self.find_runner()
        return run_tasks(self.settings, self.parts, job_overrides, initial_job_idx)

    @abstractmethod
    def find_runner(self) -> Callable[..., Sequence[JobReturn]]:
        """Import what runs the jobs; only now is its package needed."""


class JoblibLauncher(TaskLauncher):
    """Starts each job in a process of joblib's kind (`JoblibLauncherSettings`)."""

    def find_runner(self) -> Callable[..., Sequence[JobReturn]]:
        """Import joblib's."""
        from experiments.sweep.joblib_tasks import run_tasks

        return run_tasks


class RayLauncher(TaskLauncher):
    """Starts each job as a Ray task (`RayLauncherSettings`)."""

    def find_runner(self) -> Callable[..., Sequence[JobReturn]]:
        """Import Ray's."""
        from experiments.sweep.ray_tasks import run_tasks

        return run_tasks

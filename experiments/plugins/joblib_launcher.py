"""The launcher on joblib's workers: several jobs at a time on this machine.

Not ``hydra-joblib-launcher``: there a worker that is killed takes all others along,
and Ctrl-C kills jobs before they have written anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.plugins.launcher import Launcher

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class JoblibLauncher(Launcher):
    """Starts each job in a process of joblib's kind.

    Args:
        settings: Fields of `experiments.plugins.JoblibLauncherSettings`.
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
        from experiments.sweep.joblib_tasks import run_tasks

        return run_tasks(self.settings, self.parts, job_overrides, initial_job_idx)

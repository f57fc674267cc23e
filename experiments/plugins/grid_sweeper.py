"""The sweeper of lists and pairs: hands planned jobs that are due to the launcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Starts the jobs of a sweep's plan.

    Args:
        only: ``unfinished`` or ``failed``, the jobs to start.
        max_batch_size: Most jobs that the launcher gets at once.
        params: Read when the plan was made.
        pairs: Likewise.
    """

    def __init__(
        self, only: str, max_batch_size: int | None, params: Any, pairs: Any
    ) -> None:
        self.only = only
        self.max_batch_size = max_batch_size

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        """Build the launcher.

        Args:
            hydra_context: Hydra's loader and callbacks.
            task_function: What runs one job.
            config: Hydra's configuration of the sweep.
        """
        from hydra.core.plugins import Plugins

        self.folder = str(config.hydra.sweep.dir)
        self.starter = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Start the jobs that are due, whatever the words say: they are planned.

        Args:
            arguments: Words of the run.
        """
        from experiments.sweep.launch import launch_due

        launch_due(self.starter, self.folder, self.only, self.max_batch_size)

"""The sweepers: of planned lists and pairs, and the one that searches.

The search is on today's Optuna (Hydra's own sweeper of that name wants Optuna 2.10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class _Starter(Sweeper):
    """Has a launcher that starts jobs.

    Args:
        settings: Fields of the sweeper's settings in `experiments.plugins`.
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


class GridSweeper(_Starter):
    """Starts the jobs of a sweep's plan; its axes were read when that was made."""

    def sweep(self, arguments: list[str]) -> Any:
        """Start the jobs that are due, whatever the words say: they are planned.

        Args:
            arguments: Words of the run.
        """
        from experiments.sweep.launch import launch_due

        most = self.settings["max_batch_size"]
        launch_due(self.starter, self.folder, self.settings["only"], most)


class OptunaSweeper(_Starter):
    """Looks for the values that optimise a figure of the summary."""

    def sweep(self, arguments: list[str]) -> Any:
        """Start trials until there are enough.

        Args:
            arguments: Words of the run; the plan holds them too.
        """
        from experiments.sweep.search import run_search

        run_search(self.starter, self.folder, self.settings)

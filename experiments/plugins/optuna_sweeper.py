"""The sweeper that searches, on today's Optuna (Hydra's own wants Optuna 2.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Looks for the values that optimise a figure of the summary.

    Args:
        settings: Fields of `experiments.plugins.OptunaSweeperSettings`.
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

        self.folder: str = config.hydra.sweep.dir
        self.starter = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Start trials until there are enough.

        Args:
            arguments: Words of the run; the plan holds them too.
        """
        from experiments.sweep.search import run_search

        run_search(self.starter, self.folder, self.settings)

"""Hydra's multirun, which starts the jobs of a sweep by launcher and sweeper."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from experiments.hydra_errors import translate_error
from experiments.overrides import (
    CONF_PACKAGE,
    CONFIG_NAME,
    VERSION_BASE,
)
from experiments.plugins import register_plugins
from experiments.schema import register_schema

if TYPE_CHECKING:
    from hydra.types import TaskFunction


def launch_multirun(job: TaskFunction, words: Sequence[str]) -> None:
    """Hand a sweep to Hydra, which reads its words from `sys.argv`.

    Args:
        job: What runs one job.
        words: Overrides, those for Hydra among them.

    Raises:
        ConfigError: Hydra refuses a word.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register_schema()
    register_plugins()
    entry = hydra.main(
        version_base=VERSION_BASE,
        config_path=f"pkg://{CONF_PACKAGE}",
        config_name=CONFIG_NAME,
    )(job)
    with _hydra_process(["scribble", "--multirun", *words]):
        try:
            entry()
        except (HydraException, OmegaConfBaseException) as error:
            raise translate_error(error, words) from error


@contextmanager
def _hydra_process(argv: Sequence[str]) -> Iterator[None]:
    """Lend Hydra an argument list, and have it raise errors instead of exiting."""
    kept_argv, kept_variable = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = list(argv)
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = kept_argv
        if kept_variable is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = kept_variable

"""Many runs through Hydra's multirun: each job in its own folder, none hides another.

Hydra stops a sweep at the first exception, so a job catches its own, leaves a status
file, and the sweep is judged by those files at its end.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import ConfigError, RecordError
from engine.recording.folder import STATUS_FILE
from experiments import outcome
from experiments.overrides import (
    CONF_PACKAGE,
    CONFIG_NAME,
    VERSION_BASE,
    compose_node,
    convert_node,
    open_hydra,
    require_hydra,
    tidy_overrides,
    translate_error,
)
from experiments.run import execute_run, set_folder
from experiments.schema import register_schema

if TYPE_CHECKING:
    from omegaconf import DictConfig

SWEEP_KEY: Final = "hydra.sweep.dir"
"""Hydra's own key for the folder of a sweep."""


@dataclass(frozen=True)
class JobStatus:
    """How one job of a sweep ended."""

    job: int
    """Number of the job, >= 0."""
    overrides: list[str]
    """What sets it apart."""
    status: str
    """``done``, ``failed`` or ``interrupted``."""
    exit_code: int
    """What a single run would have returned."""
    message: str
    """Why it failed; empty otherwise."""


def run_sweep(
    overrides: Sequence[str], *, is_quiet: bool = False, is_recorded: bool = True
) -> int:
    """Run every combination of the overrides' values.

    What can be told before the first job (unknown keys, choices, types) refuses the
    whole sweep and leaves nothing on disk; values that turn out to be impossible
    together fail their own job only.

    Args:
        overrides: Words as typed, such as ``seed=1,2,3``.
        is_quiet: Show only a line per job.
        is_recorded: Whether jobs write run folders.

    Returns:
        Exit code: 1 if any job failed, 130 if the sweep was interrupted.

    Raises:
        ConfigError: An override is not allowed.
        RecordError: The folder of the sweep cannot be made.
        MissingPackageError: Hydra is not installed.
    """
    require_hydra()
    tidy = tidy_overrides(overrides)
    folder, planned = _check_overrides(tidy)
    _make_folder(folder)
    words = [word for word in tidy if not word.startswith(f"{SWEEP_KEY}=")]
    job = build_job(is_quiet=is_quiet, is_recorded=is_recorded)
    is_interrupted = False
    try:
        _launch(job, [*words, f"{SWEEP_KEY}={_quote(str(folder))}"])
    except KeyboardInterrupt:
        is_interrupted = True
    code = _close_sweep(folder, planned)
    return outcome.INTERRUPTED if is_interrupted else code


def build_job(
    *, is_quiet: bool = False, is_recorded: bool = True
) -> Callable[[DictConfig], None]:
    """Build the function that Hydra calls once per job.

    Args:
        is_quiet: Show only a line per job.
        is_recorded: Whether the job writes a run folder.
    """

    def run_job(composed: DictConfig) -> None:
        from hydra.core.hydra_config import HydraConfig

        own = HydraConfig.get()
        folder = Path(own.runtime.output_dir)
        words = [str(word) for word in own.overrides.task]
        sys.stdout.write(f"\njob {own.job.num}: {' '.join(words) or 'defaults'}\n")
        sys.stdout.flush()
        code, message = 0, ""
        try:
            config = set_folder(
                convert_node(composed, words), is_recorded=is_recorded, folder=folder
            )
            status = execute_run(config, is_quiet=is_quiet).status
            code = outcome.code_of_status(status)
        except KeyboardInterrupt:  # while the system was being built
            status, code = "interrupted", outcome.INTERRUPTED
        except Exception as error:  # noqa: BLE001 - one job must not end the others
            status, message = "failed", outcome.describe_error(error)
            code = outcome.report_error(error)
        job = JobStatus(int(own.job.num), words, status, code, message)
        _write_status(folder, job)
        if status == "interrupted":
            raise KeyboardInterrupt

    return run_job


def read_statuses(folder: Path) -> list[JobStatus]:
    """Read how the jobs of a sweep ended.

    Args:
        folder: Folder of the sweep.

    Returns:
        One status per job that ended, by number.
    """
    texts = [path.read_text("utf-8") for path in folder.rglob(STATUS_FILE)]
    return sorted((JobStatus(**json.loads(t)) for t in texts), key=lambda s: s.job)


def _write_status(folder: Path, job: JobStatus) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(job), indent=2)
    (folder / STATUS_FILE).write_text(f"{text}\n", encoding="utf-8")


def _check_overrides(words: Sequence[str]) -> tuple[Path, int]:
    """Compose every value of every override once; return folder and count of jobs."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        raise translate_error(error, words) from error
    variants = []
    for override, word in zip(parsed, words, strict=True):
        if not override.is_sweep_override():
            variants.append([word])
        elif override.is_discrete_sweep():
            key = override.get_key_element()
            values = override.sweep_string_iterator()
            variants.append([f"{key}={value}" for value in values])
    with open_hydra():
        for combination in _vary_one_by_one(variants):
            node = compose_node(combination, with_hydra=True)
            _refuse_shared_folder(node)
    folder = Path(str(node.hydra.sweep.dir)).absolute()
    if read_statuses(folder):
        raise ConfigError(
            f"{SWEEP_KEY} is {folder}, which holds another sweep; name a new folder."
        )
    return folder, math.prod(len(values) for values in variants)


def _refuse_shared_folder(node: DictConfig) -> None:
    from omegaconf import OmegaConf

    record = OmegaConf.to_container(node.record, resolve=False)
    named = record.get("folder") if isinstance(record, dict) else None
    if named is not None:
        raise ConfigError(
            f"record.folder is {named!r}, but every job of a sweep is recorded in a "
            f"folder of its own; leave it out and name their parent by {SWEEP_KEY}."
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(
            f"{SWEEP_KEY} is {folder}, which cannot be made: {error.strerror}; name a "
            "folder that you may write to."
        ) from error


def _vary_one_by_one(variants: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """List combinations in which every value occurs: their sum, not their product."""
    first = [values[0] for values in variants]
    yield first
    for index, values in enumerate(variants):
        for value in values[1:]:
            yield [*first[:index], value, *first[index + 1 :]]


def _launch(job: Callable[[DictConfig], None], words: Sequence[str]) -> None:
    """Hand the sweep to Hydra, which reads its words from `sys.argv`."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register_schema()
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


def _quote(text: str) -> str:
    """Quote a text for Hydra's grammar."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _close_sweep(folder: Path, planned: int) -> int:
    """Print how the sweep went and choose its exit code."""
    jobs = read_statuses(folder)
    failed = [job for job in jobs if job.status != "done"]
    # A sweeper of the user's own may start more jobs than the values say.
    count = max(planned, len(jobs))
    done, waiting = len(jobs) - len(failed), count - len(jobs)
    sys.stdout.write(f"\n{done} of {count} jobs done: {folder}\n")
    sys.stdout.flush()
    if done == count:
        return outcome.DONE
    facts = []
    if failed:
        numbers = ", ".join(str(job.job) for job in failed)
        first = failed[0].message or failed[0].status
        facts.append(
            f"{len(failed)} of {count} jobs did not finish ({numbers}); the first one: "
            f"{first}"
        )
    if waiting:
        facts.append(f"{waiting} of {count} jobs were not started")
    sys.stderr.write(f"scribble: error: {'; '.join(reversed(facts))}\n")
    return outcome.FAILED

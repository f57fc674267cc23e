"""``scribble load``: a real load on this machine, shown, compared and recorded."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.config import GeneratorConfig
from engine.disk import refuse_closed, write_text
from engine.errors import RecordError
from experiments import outcome
from experiments.settings import describe_fields, parse_settings

if TYPE_CHECKING:
    from engine.load.generator import LoadGenerator
    from engine.load.sample import LoadSample
    from experiments.growing import GrowingTable
    from experiments.views.load import LoadView

LOAD_FILE: Final = "load.parquet"
"""A row per comparison; readable while the load goes on, and after a kill."""


def generate_load(
    words: Sequence[str],
    *,
    folder: Path | None = None,
    is_quiet: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Load this machine until the time is over, a limit is met, or Ctrl-C.

    Args:
        words: Settings as typed, such as ``cpu=0.6``.
        folder: Where to record; None records nothing.
        is_quiet: Show nothing but the closing line.
        wait: Waits for a span [s].

    Returns:
        Exit code: 1 where a limit or a fault ended the load early.

    Raises:
        EngineError: A setting, the machine or the folder does not allow it.
    """
    config = parse_settings(GeneratorConfig, words)
    config.validate()
    if folder is not None:
        _check_folder(folder)
    from engine.load.generator import LoadGenerator
    from experiments.views.load import open_load_view, print_outcome

    generator = LoadGenerator(config)
    with generator, open_load_view(config, is_quiet=is_quiet) as view:
        recorder = LoadRecorder(folder, generator) if folder is not None else None
        try:
            _drive(generator, view, recorder, wait)
        except KeyboardInterrupt:
            generator.end("interrupted", "it was interrupted")
        finally:
            generator.end("failed", "the command failed")
            if recorder is not None:
                recorder.finish()
    print_outcome(describe_outcome(generator), folder, is_quiet=is_quiet)
    return _code_of(generator)


def list_settings() -> int:
    """Print every setting with its default and its meaning.

    Returns:
        Exit code.
    """
    for name, default, meaning in describe_fields(GeneratorConfig):
        sys.stdout.write(f"{name}={default}\n    {meaning}\n")
    return outcome.DONE


def describe_outcome(generator: LoadGenerator) -> dict[str, Any]:
    """Sum a finished load up.

    Args:
        generator: The load, ended.

    Returns:
        Content of ``summary.json``.
    """
    stop = generator.stop
    assert stop is not None
    status = {"duration": "done", "interrupted": "interrupted"}.get(stop.kind, "failed")
    return {
        "status": status,
        "reason": stop.sentence,
        "stopped_by": stop.kind,
        "elapsed_seconds": generator.ended_s,
        "processors": generator.cpus,
        "cpu_target": generator.config.cpu_target,
        "gpu_target": "power"
        if generator.config.gpu_power_w
        else generator.config.gpu_target,
        **generator.tally.to_dict(),
    }


class LoadRecorder:
    """Writes the folder of a load: what was asked, every comparison, the outcome.

    Args:
        folder: Folder to make; must be absent or empty.
        generator: The load.

    Raises:
        RecordError: The folder cannot be written.
    """

    def __init__(self, folder: Path, generator: LoadGenerator) -> None:
        from engine.recording.folder import CONFIG_FILE, to_yaml

        self._folder = folder
        self._generator = generator
        self._table: GrowingTable | None = None
        outcome.make_folder(folder, "--folder")
        text = to_yaml(asdict(generator.config))
        write_text(folder / CONFIG_FILE, text)

    def add(self, sample: LoadSample) -> None:
        """Append one comparison.

        Args:
            sample: The comparison.

        Raises:
            RecordError: The disk takes no more.
        """
        from experiments.growing import GrowingTable

        row = sample.to_row()
        if self._table is None:
            kinds = {n: "int64" if n.endswith("_bytes") else "float64" for n in row}
            self._table = GrowingTable(self._folder / LOAD_FILE, kinds)
        self._table.add(row)

    def finish(self) -> None:
        """Write what is left and the summary.

        Raises:
            WriteError: The disk takes no more.
        """
        if self._table is not None:
            self._table.write()
        text = json.dumps(describe_outcome(self._generator), indent=2) + "\n"
        write_text(self._folder / "summary.json", text)


def _drive(
    generator: LoadGenerator,
    view: LoadView,
    recorder: LoadRecorder | None,
    wait: Callable[[float], None],
) -> None:
    """Turn the loop until the load has ended."""
    from engine.load.generator import TICK_S

    while generator.stop is None:
        sample = generator.step()
        if sample is not None:
            view.show(sample)
            if recorder is not None:
                recorder.add(sample)
        wait(TICK_S)


def _check_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecordError(
            f"--folder {folder} exists and is not an empty folder; name another."
        )
    refuse_closed(folder, f"--folder {folder}", "name another")


def _code_of(generator: LoadGenerator) -> int:
    status = describe_outcome(generator)["status"]
    if status == "failed" and generator.stop is not None:
        sys.stderr.write(f"scribble: load ended early: {generator.stop.sentence}.\n")
    return outcome.code_of_status(status)

"""A real load beside a run: started with it, ended with it, however it ends."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Any, Final, Self

from engine.config import LoadConfig, to_generator
from engine.errors import EngineError
from engine.load.generator import TICK_S, LoadGenerator
from engine.load.sample import LoadSample

logger = logging.getLogger(__name__)

_JOIN_TIMEOUT_S: Final = 5.0


class Disturbance:
    """Runs a load generator in a thread; the monitor sees its workers as others.

    A load that a limit ends leaves the run going; the summary then says so. Nothing
    happens for any other kind of load.

    Args:
        load: The load of the run.

    Raises:
        ConfigError: The load does not fit this machine.
        RecordError: Its trace cannot be read.
    """

    def __init__(self, load: LoadConfig) -> None:
        self._generator: LoadGenerator | None = None
        if load.kind == "real":
            self._generator = LoadGenerator(to_generator(load), may_rest=True)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._last: LoadSample | None = None
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        """Start the load.

        Raises:
            ResourceError: A worker does not start.
            BackendUnavailableError: A GPU is asked for and none can be used.
        """
        if self._generator is not None:
            # Here and not in the thread: the kernel ties workers to who starts them.
            self._generator.start()
            self._thread = threading.Thread(
                target=self._drive, name="load-generator", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the load."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(_JOIN_TIMEOUT_S)
        if self._generator is not None:
            self._generator.end("run", "the run ended")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the summary must know."""
        stop = self._generator.stop if self._generator else None
        if self._error is not None:
            return (f"the load failed: {self._error}",)
        if stop is None or stop.kind == "run" or self._generator is None:
            return ()
        return (
            f"the load ended after {self._generator.ended_s:.1f} s of wall time, "
            f"before the run: {stop.sentence}",
        )

    def to_series_row(self) -> dict[str, float | None]:
        """Return what `timeseries.parquet` holds of the load: the newest comparison."""
        sample = self._last
        return {
            "load_asked": sample.asked if sample else None,
            "load_achieved": sample.achieved if sample else None,
        }

    def to_dict(self) -> dict[str, Any] | None:
        """Return the entry `load` of `summary.json`; None without a real load."""
        generator = self._generator
        if generator is None:
            return None
        ended_by = generator.stop.kind if generator.stop else None
        return {
            "seconds": generator.ended_s,
            "ended_by": ended_by,
            **generator.tally.to_dict(),
        }

    def _drive(self) -> None:
        generator = self._generator
        assert generator is not None
        try:
            while generator.stop is None and not self._end.wait(TICK_S):
                self._last = generator.step() or self._last
            if not self._end.is_set() and generator.stop is not None:
                self._last = None
                logger.warning("the load ended: %s", generator.stop.sentence)
        except (EngineError, OSError, ValueError) as error:
            self._error = error
            generator.close()

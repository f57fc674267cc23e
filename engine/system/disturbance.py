"""A real load beside a run: started with it, ended with it, however it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from engine.config import LoadConfig, to_generator
from engine.errors import CheckpointError, EngineError
from engine.load.generator import TICK_S, LoadGenerator
from engine.load.sample import LoadSample
from engine.state import State

logger = logging.getLogger(__name__)

RUN_ENDED: Final = "run"
"""Why a load ended that nothing but its run ended."""
LOAD_FAILED: Final = "failure"
"""Why a load ended that met an error."""
NOTHING_COMPARED: Final[Mapping[str, float | None]] = {
    "load_asked": None,
    "load_achieved": None,
}
"""Columns of the time series before the first comparison."""
_JOIN_TIMEOUT_S: Final = 5.0


class Disturbance:
    """Runs a load generator in a thread; the monitor sees its workers as others.

    A load that a limit ends leaves the run going; the summary then says so. Nothing
    happens for any other kind of load. In a run that is resumed the load goes on where
    it was in its profile, and not at all where it had ended.

    Args:
        load: The load of the run.

    Raises:
        ConfigError: The load does not fit this machine.
        RecordError: Its trace cannot be read.
    """

    def __init__(self, load: LoadConfig) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._begin_anew()

    def _begin_anew(self, passed_s: float = 0.0) -> None:
        self._generator: LoadGenerator | None = None
        if self._load.kind == "real":
            self._generator = LoadGenerator(
                to_generator(self._load), passed_s=passed_s, may_rest=True
            )
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._last = NOTHING_COMPARED

    def prepare(self, *, goes_on: bool) -> None:
        """Be ready for a run.

        Args:
            goes_on: Whether it goes on from a state that was taken over.
        """
        if not goes_on:
            self._begin_anew()

    def to_state(self) -> State:
        """Return how far the load has come, and what it has come to."""
        generator = self._generator
        if generator is None:
            return {"passed_s": None}
        with self._lock:
            stop = generator.stop
            is_over = stop is not None and stop.kind != RUN_ENDED
            return {
                "passed_s": generator.elapsed_s,
                "stop": list(stop) if stop is not None and is_over else None,
                "tally": generator.tally.to_state(),
                "last": dict(self._last),
            }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state at the next run.

        Raises:
            CheckpointError: It is not one of such a load.
        """
        if (state["passed_s"] is None) != (self._generator is None):
            raise CheckpointError("A load disturbs the one run, and not the other.")
        if self._generator is None:
            return
        self._begin_anew(float(state["passed_s"]))
        self._generator.tally.from_state(state["tally"])
        if state["stop"] is not None:
            self._generator.end(*map(str, state["stop"]))
        shares = {name: state["last"][name] for name in NOTHING_COMPARED}
        self._last = {k: None if v is None else float(v) for k, v in shares.items()}

    def __enter__(self) -> Self:
        """Start the load, unless it has ended before.

        Raises:
            ResourceError: A worker does not start.
            BackendUnavailableError: A GPU is asked for and none can be used.
        """
        if self._generator is not None and self._generator.stop is None:
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
            self._generator.end(RUN_ENDED, "the run ended")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the summary must know."""
        stop = self._generator.stop if self._generator else None
        if stop is None or stop.kind == RUN_ENDED or self._generator is None:
            return ()
        if stop.kind == LOAD_FAILED:
            return (f"the load failed: {stop.sentence}",)
        return (
            f"the load ended after {self._generator.ended_s:.1f} s of wall time, "
            f"before the run: {stop.sentence}",
        )

    def to_series_row(self) -> dict[str, float | None]:
        """Return what `timeseries.parquet` holds of the load: the newest comparison."""
        return dict(self._last)

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
                with self._lock:
                    self._compare(generator.step())
            if not self._end.is_set() and generator.stop is not None:
                self._last = NOTHING_COMPARED
                logger.warning("the load ended: %s", generator.stop.sentence)
        except (EngineError, OSError, ValueError) as error:
            with self._lock:
                generator.end(LOAD_FAILED, str(error))

    def _compare(self, sample: LoadSample | None) -> None:
        """Keep the newest comparison."""
        if sample is not None:
            shares = {"load_asked": sample.asked, "load_achieved": sample.achieved}
            self._last = shares

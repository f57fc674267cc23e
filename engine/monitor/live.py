"""The live source: a daemon thread that samples this machine with its own clock.

Imports only `engine.config` and this room.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from engine.config import ResourcesConfig
from engine.monitor.gpu import GpuProbe, GpuSampler
from engine.monitor.host import MINIMUM_WINDOW_S, HostSampler
from engine.monitor.metrics import ResourceSample

_JOIN_TIMEOUT_S: Final = 2.0
_START_PATIENCE_S: Final = 10.0
"""How long a driver may take to wake up before a run begins without it [s]."""


class LiveSource:
    """Samples host, control groups and GPUs in the background.

    Readers get the newest sample at once and never wait for a sensor. A sensor that
    fails or hangs leaves the last sample in place, so its age tells.

    Args:
        config: Periods, and whether GPUs are asked at all.
        clock: Steady clock [s].
        host: Sampler of the host; the real one by default.
        gpus: Sampler of the GPUs; NVML by default, if `config.use_gpus`.
    """

    is_live: Final = True

    def __init__(
        self,
        config: ResourcesConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        host: HostSampler | None = None,
        gpus: GpuSampler | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._host = host or HostSampler(clock=clock)
        self._gpus = gpus or (GpuSampler(config) if config.use_gpus else None)
        self._latest: ResourceSample | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._opener: threading.Thread | None = None
        self._error: Exception | None = None
        self._error_count = 0

    @property
    def error(self) -> Exception | None:
        """What the last sample failed with; None after one that worked."""
        return self._error

    @property
    def error_count(self) -> int:
        """Samples that failed since the start."""
        return self._error_count

    @property
    def probe(self) -> GpuProbe:
        """What was found out about the GPUs."""
        if self._is_driver_silent:
            return GpuProbe(
                f"NVML: no answer within {_START_PATIENCE_S:g} s; GPU figures are "
                "absent until it comes. Look at dmesg for the driver's messages."
            )
        return self._gpus.probe if self._gpus else GpuProbe("NVML: switched off.")

    @property
    def _is_driver_silent(self) -> bool:
        """Whether a call to open NVML has not come back yet."""
        return self._opener is not None and self._opener.is_alive()

    def start(self) -> None:
        """Take a first sample and start the thread; while it runs, do nothing.

        Takes about 50 ms, since the first rate needs a window to look back on, and
        longer where a driver wakes up; one that hangs is not waited for.

        Raises:
            psutil.Error: Not even the first sample can be taken.
        """
        if self._thread is not None:
            return
        self._stop = threading.Event()
        self._host.prime()
        began_s = time.monotonic()
        if self._gpus is not None and not self._is_driver_silent:
            self._opener = _run_aside(self._gpus.start, _START_PATIENCE_S)
        # A little above the least window, and the real clock: this one is a wait.
        self._stop.wait(max(0.0, 1.1 * MINIMUM_WINDOW_S - time.monotonic() + began_s))
        self.sample()
        self._thread = threading.Thread(
            target=self._run, args=(self._stop,), name="resource-sampler", daemon=True
        )
        self._thread.start()

    def sample(self) -> ResourceSample:
        """Read every sensor now and publish the result.

        Returns:
            The new sample.

        Raises:
            psutil.Error: Memory or the own process cannot be read.
        """
        now_s = self._clock()
        host = self._host.sample()
        asked = None if self._is_driver_silent else self._gpus
        gpus = () if asked is None else asked.sample(now_s)
        self._latest = ResourceSample(now_s, *host, gpus=gpus)
        return self._latest

    def read(self, simulated_s: float) -> ResourceSample:
        """Give the newest sample; simulated time means nothing to a real machine.

        Only before `start` this reads the sensors itself.

        Args:
            simulated_s: Ignored [s].

        Returns:
            The newest sample.

        Raises:
            psutil.Error: Before `start`, as `sample` does.
        """
        del simulated_s
        return self._latest or self.sample()

    def close(self) -> None:
        """Stop the thread and release NVML; a second call changes nothing."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_JOIN_TIMEOUT_S)
        # A thread that hangs inside the driver must not have it closed under it.
        hangs = self._is_driver_silent or (thread is not None and thread.is_alive())
        if self._gpus is not None and not hangs:
            _run_aside(self._gpus.close, _JOIN_TIMEOUT_S)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._config.sample_period_s):
            try:
                self.sample()
            except Exception as error:  # noqa: BLE001 - the thread outlives sensors
                self._error = error
                self._error_count += 1
            else:
                self._error = None


def _run_aside(call: Callable[[], object], patience_s: float) -> threading.Thread:
    """Make a call that may hang inside a driver, and wait for it within bounds."""
    thread = threading.Thread(target=call, name="nvml-call", daemon=True)
    thread.start()
    thread.join(patience_s)
    return thread

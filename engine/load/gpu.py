"""The load on a GPU: one worker, told and compared. CuPy is imported there only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from engine.config import GeneratorConfig
from engine.errors import BackendUnavailableError, ResourceError
from engine.load.children import Child
from engine.load.sample import GpuSample

WORKER: Final = "engine.load.gpu_worker"


class GpuLoad:
    """A worker that keeps one GPU busy.

    Args:
        config: What is asked of the GPU.
        limit_s: Time after which the worker ends in any case [s].
        start_child: Starts a worker.

    Raises:
        BackendUnavailableError: No GPU can be used, with the reason.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        limit_s: float,
        *,
        start_child: Callable[..., Child] = Child,
    ) -> None:
        self.target = "power" if config.gpu_power_w else config.gpu_target
        self._peak = config.gpu_power_w or config.gpu
        held = (config.gpu_memory, config.headroom)
        self._child = start_child(
            WORKER, limit_s, config.gpu_device, self.target, *held
        )
        try:
            self._child.wait_ready()
        except ResourceError as error:
            self._child.close()
            if self._child.failure:
                message = f"{self._child.failure}."
                raise BackendUnavailableError(message) from error
            raise
        self._asked: float | None = None
        self._asked_sum, self._asked_count = 0.0, 0
        self._before = self._child.read()
        self._is_closed = False

    @property
    def failure(self) -> str | None:
        """Why the load is no longer whole; None while it is."""
        if self._is_closed or self._child.is_alive:
            return None
        return self._child.failure or "the worker process of the GPU has ended"

    def ask(self, weight: float) -> None:
        """Set the target.

        Args:
            weight: Part of the peak [-], in [0, 1].
        """
        asked = round(weight * self._peak, 4)
        self._asked_sum += asked
        self._asked_count += 1
        if asked != self._asked:
            self._child.send(asked)
            self._asked = asked

    def compare(self) -> GpuSample:
        """Compare asked and achieved since the last call."""
        before, after = self._before, self._child.read()
        self._before = after
        window_s = max(after[0] - before[0], 1e-9)
        busy, duty_asked = ((after[i] - before[i]) / window_s for i in (1, 2))
        utilisation, power_w, temperature_c = (_known(after[i]) for i in (3, 4, 5))
        asked = self._asked_sum / max(1, self._asked_count)
        self._asked_sum, self._asked_count = 0.0, 0
        achieved = {"power": power_w, "utilisation": utilisation}.get(self.target, busy)
        return GpuSample(
            asked=duty_asked if self.target == "duty" else asked,
            achieved=achieved,
            busy=busy,
            utilisation=utilisation,
            power_w=power_w,
            temperature_c=temperature_c,
            held_bytes=int(after[6]),
        )

    def close(self) -> None:
        """End the worker; harmless to repeat."""
        self._is_closed = True
        self._child.close()


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure

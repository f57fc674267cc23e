"""ResourceMonitor: one look at the resources, and the tunnel frequency they allow.

Imports only `engine.config`, `engine.constants`, `engine.errors`, `engine.state` and
this room.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Any, Self

from engine.config import ResourcesConfig, TunnelConfig
from engine.constants import BASE_FREQUENCY_HZ
from engine.errors import CheckpointError, ConfigError, RecordError
from engine.monitor.availability import Availability, judge_availability
from engine.monitor.faults import FaultySource
from engine.monitor.metrics import (
    CoreState,
    GpuState,
    MemoryState,
    ResourceMetrics,
    ResourceSample,
    TunnelStatistics,
)
from engine.monitor.plausibility import discard_readings, find_flaw
from engine.monitor.sources import LiveSource, Source
from engine.state import State


class ResourceMonitor:
    """Telemetry of host, container and GPU, as one availability and one frequency.

        a = least availability of all resources, in (0, 1]
        optimal tunnel frequency = a * base_frequency / phi_coefficient       [Hz]

    The source is started at once, so every attribute has a value from the beginning.

    Args:
        config: Thresholds and periods.
        tunnel: The frequency ladder.
        source: Where samples come from; this machine by default.
        resonance_frequency_hz: Mean natural frequency of the network [Hz], > 0.
        gpu_uuids: UUIDs or PCI addresses of the GPUs that the run uses.
        clock: Steady clock [s]; ages of live samples are told by it.

    Raises:
        ConfigError: A value is out of range.
        psutil.Error: The machine cannot be sampled at all.

    Example:
        >>> with ResourceMonitor() as monitor:
        ...     frequency = monitor.get_optimal_tunnel_frequency()
        >>> 0 < frequency <= 432.0 * 1.618033988749895
        True
    """

    def __init__(
        self,
        config: ResourcesConfig | None = None,
        *,
        tunnel: TunnelConfig | None = None,
        source: Source | None = None,
        resonance_frequency_hz: float = BASE_FREQUENCY_HZ,
        gpu_uuids: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config or ResourcesConfig()
        self._tunnel = tunnel or TunnelConfig()
        self._config.validate()
        self._tunnel.validate()
        self.resonance_frequency = resonance_frequency_hz
        self._gpu_uuids = frozenset(gpu_uuids)
        self._clock = clock
        self._tunnel_stats: Mapping[int, TunnelStatistics] = MappingProxyType({})
        self._judged: tuple[ResourceSample, Availability] | None = None
        self._trusted: tuple[ResourceMetrics, float] | None = None
        self._known: frozenset[str] = frozenset()
        self._source = source or LiveSource(self._config, clock=clock)
        self._started = [self._source]
        self._source.start()
        self._metrics = self.update()

    @property
    def cores(self) -> CoreState:
        """Processor cores at the last update."""
        return self._metrics.cores

    @property
    def memory(self) -> MemoryState:
        """Main memory at the last update."""
        return self._metrics.memory

    @property
    def gpus(self) -> tuple[GpuState, ...]:
        """Every GPU that NVML shows, at the last update."""
        return self._metrics.gpus

    @property
    def metrics(self) -> ResourceMetrics:
        """What the last update returned."""
        return self._metrics

    @property
    def source(self) -> Source:
        """Where samples come from."""
        return self._source

    @property
    def resonance_frequency(self) -> float:
        """Mean natural frequency of the watched network [Hz], > 0.

        Raises:
            ConfigError: The one set is not finite or not above 0.
        """
        return self._resonance_frequency

    @resonance_frequency.setter
    def resonance_frequency(self, frequency_hz: float) -> None:
        if not 0.0 < frequency_hz < float("inf"):
            raise ConfigError(
                f"resonance_frequency is {frequency_hz:g} Hz; it must be finite and "
                "above 0."
            )
        self._resonance_frequency = float(frequency_hz)

    @property
    def tunnel_stats(self) -> Mapping[int, TunnelStatistics]:
        """Node -> what its bridges have done; empty until `watch_tunnels`."""
        return self._tunnel_stats

    def watch_tunnels(self, statistics: Mapping[int, TunnelStatistics]) -> None:
        """Show the statistics of a network from now on.

        Args:
            statistics: Node -> statistics; kept as it is, so it may be a live view.
        """
        self._tunnel_stats = statistics

    def watch_gpus(self, gpu_uuids: Collection[str]) -> None:
        """Name the GPUs that the run uses; others stay visible but do not count.

        Args:
            gpu_uuids: UUIDs or PCI addresses.
        """
        self._gpu_uuids = frozenset(gpu_uuids)
        self._judged, self._known = None, frozenset()

    def use_source(self, source: Source) -> Source:
        """Take samples from another source.

        The old one goes on running, so switching back is immediate; `close` ends all.

        Args:
            source: The new source; it is started here.

        Returns:
            The source used before.
        """
        source.start()
        if source.is_live and source not in self._started:
            self._started.append(source)
        previous, self._source = self._source, source
        self._judged, self._trusted, self._known = None, None, frozenset()
        return previous

    def update(self, simulated_s: float = 0.0) -> ResourceMetrics:
        """Look at the newest sample; costs microseconds and never blocks.

        What cannot be true is not believed: a reading that fails, values that no
        machine can have, a resource that was known and is not any more. The last
        metrics that were believed are held then, marked as stale, and age.

        Args:
            simulated_s: Simulated time, for synthetic and replayed loads [s].

        Returns:
            What is known of the resources, immutable.

        Raises:
            OSError: The first reading failed; or whatever else its source raises.
        """
        sample, flaw = self._read(simulated_s)
        if sample is not None and not flaw:
            metrics = self._believe(sample)
            flaw = "" if sample.recorded else self._find_loss(metrics)
            if not flaw:
                self._trusted = metrics, simulated_s
                self._metrics = metrics
                return metrics
        self._metrics = self._hold(sample, flaw, simulated_s)
        return self._metrics

    def get_optimal_tunnel_frequency(self) -> float:
        """Scale the top of the ladder by the availability of the last update.

        Returns:
            a * base_frequency / phi_coefficient [Hz], above 0 and at most the top.
        """
        return self._frequency_hz(self._metrics.availability)

    def to_state(self) -> State:
        """Return what is held and known, and what a faulty sensor remembers.

        Metrics are kept as text, for a sensor may show what strict JSON does not have.
        """
        trusted, since_s = self._trusted or (None, 0.0)
        source = self._source
        text = json.dumps(trusted.to_dict()) if trusted is not None else None
        return {
            "sensor": _name_sensor(source),
            "clock_s": self._clock() if source.is_live else 0.0,
            "trusted": text,
            "since_s": since_s,
            "known": sorted(self._known),
            "flaw": self._metrics.flaw,
            "fault": source.to_state() if isinstance(source, FaultySource) else None,
        }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; what another kind of sensor has shown does not count.

        A live sensor is looked at anew: the machine may be another. Only what a fault
        made on purpose has held back is held on, by the clock of this process.

        Raises:
            CheckpointError: It is not one of a monitor.
        """
        source, clock_s = self._source, float(state["clock_s"])
        if state["sensor"] != _name_sensor(source):
            return
        shift_s = self._clock() - clock_s if source.is_live else 0.0
        try:
            if isinstance(source, FaultySource):
                source.from_state(state["fault"], shift_s)
            if source.is_live and not (state["flaw"] and state["fault"]):
                return
            self._take_trusted(state, shift_s)
        except RecordError as error:
            raise CheckpointError(f"The monitor's state is damaged. {error}") from error

    def _take_trusted(self, state: Mapping[str, Any], shift_s: float) -> None:
        """Take over the metrics that were believed last."""
        self._judged = self._trusted = None
        if state["trusted"] is not None:
            found = ResourceMetrics.from_dict(json.loads(state["trusted"]))
            found = replace(found, timestamp_s=found.timestamp_s + shift_s)
            self._trusted = found, float(state["since_s"])
            flaw = str(state["flaw"])
            self._metrics = replace(found, is_stale=True, flaw=flaw) if flaw else found
        if not self._source.is_live:
            self._known = frozenset(map(str, state["known"]))

    def close(self) -> None:
        """Stop every source that was started; a second call changes nothing."""
        for source in self._started:
            source.close()

    def __enter__(self) -> Self:
        """Enter a block that closes the monitor at its end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the monitor."""
        self.close()

    def _frequency_hz(self, availability: float) -> float:
        return availability * self._tunnel.maximum_frequency_hz

    def _read(self, simulated_s: float) -> tuple[ResourceSample | None, str]:
        """Read the source; say why the reading cannot be believed, if so."""
        try:
            sample = self._source.read(simulated_s)
        # Whatever it is: a run outlives its sensors.
        except Exception as error:
            if self._trusted is None:
                raise
            return None, f"no reading: {error}"
        is_known = self._judged is not None and self._judged[0] is sample
        if is_known or sample.recorded is not None:
            return sample, ""
        return sample, find_flaw(sample, self._gpu_uuids)

    def _believe(self, sample: ResourceSample) -> ResourceMetrics:
        """Turn a sample that can be true into metrics."""
        if sample.recorded is not None:
            return self._take_recorded(sample, sample.recorded)
        age_s = sample.held_s
        if self._source.is_live:
            age_s = max(0.0, self._clock() - sample.timestamp_s)
        return self._measure(sample, age_s)

    def _measure(self, sample: ResourceSample, age_s: float) -> ResourceMetrics:
        verdict = self._judge(sample)
        return ResourceMetrics(
            timestamp_s=sample.timestamp_s,
            cores=sample.cores,
            memory=sample.memory,
            process=sample.process,
            cgroup=sample.cgroup,
            gpus=sample.gpus,
            availability=verdict.value,
            availability_by_resource=verdict.by_resource,
            limiting_resource=verdict.limiting_resource,
            tunnel_frequency=self._frequency_hz(verdict.value),
            is_stale=age_s > self._config.stale_after_s,
            age_s=age_s,
        )

    def _take_recorded(
        self, sample: ResourceSample, recorded: ResourceMetrics
    ) -> ResourceMetrics:
        """Take recorded metrics as they were, but for what a fault adds here."""
        if getattr(self._source, "judges_anew", False):
            recorded = self._judge_anew(sample, recorded)
        if not sample.held_s:
            return recorded
        age_s = recorded.age_s + sample.held_s
        is_stale = recorded.is_stale or age_s > self._config.stale_after_s
        return replace(recorded, age_s=age_s, is_stale=is_stale)

    def _find_loss(self, metrics: ResourceMetrics) -> str:
        """Name a resource that was known before and is not any more."""
        known = frozenset(metrics.availability_by_resource)
        lost = self._known - known
        if lost:
            return f"{min(lost)} is not known any more"
        self._known = known
        return ""

    def _hold(
        self, sample: ResourceSample | None, flaw: str, simulated_s: float
    ) -> ResourceMetrics:
        """Hold the last metrics that were believed; they age."""
        if self._trusted is None:
            assert sample is not None
            empty = self._measure(discard_readings(sample), 0.0)
            self._trusted = empty, simulated_s
        trusted, since_s = self._trusted
        age_s = trusted.age_s + max(0.0, simulated_s - since_s)
        if self._source.is_live:
            age_s = max(0.0, self._clock() - trusted.timestamp_s)
        return replace(trusted, age_s=age_s, is_stale=True, flaw=flaw)

    def _judge_anew(
        self, sample: ResourceSample, recorded: ResourceMetrics
    ) -> ResourceMetrics:
        """Judge a recorded sample by this monitor's thresholds and ladder."""
        # The GPUs that counted then count now, whatever this run computes on.
        names = [name.split(":") for name in recorded.availability_by_resource]
        used = [":".join(parts[1:-1]) for parts in names if parts[0] == "gpu"]
        verdict = judge_availability(sample, self._config, used)
        return replace(
            recorded,
            availability=verdict.value,
            availability_by_resource=verdict.by_resource,
            limiting_resource=verdict.limiting_resource,
            tunnel_frequency=self._frequency_hz(verdict.value),
            is_stale=bool(recorded.flaw) or recorded.age_s > self._config.stale_after_s,
        )

    def _judge(self, sample: ResourceSample) -> Availability:
        """Judge a sample once, however often it is read."""
        if self._judged is None or self._judged[0] is not sample:
            verdict = judge_availability(sample, self._config, self._gpu_uuids)
            self._judged = (sample, verdict)
        return self._judged[1]


def _name_sensor(source: Source) -> str:
    """Name the kind of a source, that of the sound one where it is made faulty."""
    if isinstance(source, FaultySource):
        return f"faulty {_name_sensor(source.source)}"
    return type(source).__name__

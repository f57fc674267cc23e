"""What the monitor knows: immutable states, and their form in a recorded trace.

An absent value is `None`, never 0. Imports only the error family and the
checks of types; reads nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from engine.config.hints import (
    check_type,
    is_optional,
    list_hints,
    strip_none,
    wrong_type,
)
from engine.errors import RecordError, quote

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class CoreState:
    """Processor cores of the host and the part of them this process may use."""

    logical_count: int
    """Logical processors of the host, >= 1."""
    physical_count: int | None
    """Physical cores of the host, >= 1."""
    allowed_cores: float
    """Cores this process may use: affinity, then quota; may be fractional, > 0."""
    utilisation: float | None
    """Busy share of all logical processors [-], in [0, 1]."""
    others_cores: float | None
    """Cores that other processes use on the processors allowed to us, >= 0."""
    idle_cores: float | None
    """Cores left for us: idle plus our own use, in [0, allowed_cores]."""


@dataclass(frozen=True, slots=True)
class MemoryState:
    """Main memory of the host, after the limits of the control groups."""

    total_bytes: int
    """Physical memory of the host [byte], > 0."""
    limit_bytes: int
    """Most that this process may ever hold [byte], in (0, total_bytes]."""
    available_bytes: int
    """Memory that can still be taken without swapping [byte], >= 0."""
    available_share: float
    """(available + own private memory) / limit [-], in [0, 1]."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """This process; a synthetic source knows none of it."""

    cores_used: float | None = None
    """Cores used by all its threads since the sample before, >= 0."""
    rss_bytes: int | None = None
    """Resident memory [byte], > 0."""
    thread_count: int | None = None
    """Threads, >= 1."""


@dataclass(frozen=True, slots=True)
class CgroupState:
    """Limits of the control groups around this process, the tightest of each kind."""

    version: int
    """Version of the hierarchy, 1 or 2."""
    cpu_quota_cores: float | None = None
    """Processor quota [cores], > 0; None where there is no quota."""
    cpu_used_cores: float | None = None
    """Cores used by the group that holds the quota, this process included, >= 0."""
    throttled_share: float | None = None
    """Share of quota periods that ended throttled since the last sample, [0, 1]."""
    memory_limit_bytes: int | None = None
    """Memory limit [byte], > 0; None where there is no limit."""
    memory_used_bytes: int | None = None
    """Memory held by the group with that limit, less reclaimable cache [byte]."""
    memory_available_bytes: int | None = None
    """Least headroom over all groups with a limit [byte], >= 0."""


@dataclass(frozen=True, slots=True)
class GpuState:
    """One GPU, or one MIG instance, as NVML sees it."""

    index: int
    """NVML index; it may change on reboot, so it is never used to match, >= 0."""
    uuid: str
    """NVML's unique name, `GPU-...` or `MIG-...`."""
    name: str | None = None
    """Product name."""
    pci_bus_id: str | None = None
    """PCI address, domain:bus:device.function."""
    status: str = "ok"
    """`ok`, or the sentence that says why no figure can be had."""
    utilisation: float | None = None
    """Share of time in which some kernel ran [-], in [0, 1]."""
    memory_total_bytes: int | None = None
    """Device memory [byte], > 0."""
    memory_used_bytes: int | None = None
    """Device memory in use by anyone [byte], >= 0."""
    memory_free_bytes: int | None = None
    """Device memory that can be allocated [byte], >= 0."""
    power_w: float | None = None
    """Board power [W], >= 0."""
    energy_j: float | None = None
    """Energy counter since the driver was loaded [J], >= 0; take differences."""
    temperature_c: float | None = None
    """Core temperature [deg C]."""
    sm_clock_mhz: int | None = None
    """Clock of the multiprocessors [MHz], >= 0."""
    memory_clock_mhz: int | None = None
    """Clock of the memory [MHz], >= 0."""
    clock_event_reasons: tuple[str, ...] | None = None
    """Why the clocks are held down; empty where nothing holds them."""
    own_memory_bytes: int | None = None
    """Device memory of this process [byte], >= 0."""
    own_utilisation: float | None = None
    """Utilisation caused by this process [-], in [0, 1]."""

    @property
    def is_lost(self) -> bool:
        """Whether the device or its driver stopped answering."""
        return self.status != "ok"

    @property
    def others_utilisation(self) -> float | None:
        """Utilisation caused by other processes [-], in [0, 1]; None if unknown."""
        if self.utilisation is None or self.own_utilisation is None:
            return None
        return max(0.0, self.utilisation - self.own_utilisation)

    @property
    def available_memory_share(self) -> float | None:
        """(free + own) / total device memory [-], in [0, 1]; None if unknown."""
        free, own = self.memory_free_bytes, self.own_memory_bytes
        if free is None or own is None or not self.memory_total_bytes:
            return None
        return min(1.0, (free + own) / self.memory_total_bytes)

    def is_named(self, identifier: str) -> bool:
        """Tell whether a UUID or a PCI address means this device.

        Args:
            identifier: UUID with or without its prefix, or a PCI address with a
                domain of any length, as CUDA and NVML write them.
        """
        wanted = identifier.strip().lower()
        if wanted.count("-") < wanted.count(":"):
            return _short_pci(wanted) == _short_pci((self.pci_bus_id or "").lower())
        return _bare_uuid(wanted) == _bare_uuid(self.uuid.lower())


def _bare_uuid(uuid: str) -> str:
    return uuid.removeprefix("gpu-").removeprefix("mig-")


def _short_pci(address: str) -> tuple[str, ...]:
    """Split an address, its domain as short as can be: CUDA pads to 4, NVML to 8."""
    domain, *rest = address.split(":") if address.count(":") > 1 else ("", address)
    return (domain.lstrip("0"), *":".join(rest).split(":"))


@dataclass(frozen=True, slots=True)
class TunnelStatistics:
    """What the bridges at one node have done."""

    attempts: int
    """Tunnel attempts, >= 0."""
    successes: int
    """Attempts that succeeded, in [0, attempts]."""
    mean_frequency_hz: float
    """Mean tunnel frequency of the node's bridges [Hz], >= 0."""
    coherence: float
    """Mean phase-locking value of the node's bridges [-], in [0, 1]."""


@dataclass(frozen=True, slots=True)
class ResourceMetrics:
    """One look at the resources, and the tunnel frequency that they allow.

    `to_dict` and `from_dict` round-trip exactly, through JSON and Parquet as well.
    """

    timestamp_s: float
    """When the sample was taken, on its source's clock [s]: a monotonic clock for
    live telemetry, simulated time for a synthetic load."""
    cores: CoreState
    """Processor cores."""
    memory: MemoryState
    """Main memory."""
    process: ProcessState
    """This process."""
    cgroup: CgroupState | None
    """Control groups; None where the system has none."""
    gpus: tuple[GpuState, ...]
    """Every GPU that NVML shows, used by the run or not."""
    availability: float
    """Least availability of all resources, floored [-], in (0, 1]."""
    availability_by_resource: Mapping[str, float]
    """Availability of each known resource before the floor [-], in [0, 1]."""
    limiting_resource: str
    """Name of the resource with the least availability; `none` at 1.0."""
    tunnel_frequency: float
    """Tunnel frequency that the resources allow [Hz], > 0."""
    is_stale: bool = False
    """Whether the sample is too old to be trusted."""
    age_s: float = 0.0
    """Age of the sample when it was read [s], >= 0."""
    flaw: str = ""
    """Why the newest reading was not believed, this sample being held instead; empty
    where it was believed."""

    def __post_init__(self) -> None:
        """Freeze the mapping as well, unless it was taken over from other metrics."""
        known = self.availability_by_resource
        if not isinstance(known, MappingProxyType):
            frozen = MappingProxyType(dict(known))
            object.__setattr__(self, "availability_by_resource", frozen)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the recorded form, since a read-only mapping cannot be pickled."""
        return ResourceMetrics.from_dict, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        """Convert to nested plain dicts and lists.

        The mapping becomes a list of `{"resource", "availability"}` rows: Parquet
        would otherwise turn it into a struct with every key that any row has.

        Returns:
            Values of JSON types only, keys as the field names.
        """
        row = {name: _plain(getattr(self, name)) for name in _names(type(self))}
        row["availability_by_resource"] = [
            {"resource": name, "availability": value}
            for name, value in self.availability_by_resource.items()
        ]
        return row

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> ResourceMetrics:
        """Rebuild the metrics from what `to_dict` gave.

        Args:
            row: The nested dict, also after a round trip through JSON or Parquet.

        Returns:
            Metrics equal to the recorded ones.

        Raises:
            RecordError: A field is missing, or holds what no monitor tells.
        """
        values = _take(cls, {"flaw": "", **row})
        values |= _rebuild_states(row)
        pairs = _take_list(row, "availability_by_resource")
        values["availability_by_resource"] = dict(map(_take_pair, pairs))
        _check_verdict(values)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """What a source gives: raw states, or a recording that is already judged."""

    timestamp_s: float
    """When it was taken, on the source's clock [s]."""
    cores: CoreState
    """Processor cores."""
    memory: MemoryState
    """Main memory."""
    process: ProcessState
    """This process."""
    cgroup: CgroupState | None = None
    """Control groups; None where the system has none."""
    gpus: tuple[GpuState, ...] = ()
    """Every GPU that NVML shows."""
    recorded: ResourceMetrics | None = None
    """replay: the metrics as they were recorded; nothing is judged again."""
    held_s: float = 0.0
    """Simulated time for which a faulty sensor has held it back [s], >= 0."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to nested plain dicts and lists; a recording is kept as it is."""
        names = [name for name in _names(type(self)) if name != "recorded"]
        row = {name: _plain(getattr(self, name)) for name in names}
        return {**row, "recorded": self.recorded and self.recorded.to_dict()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> ResourceSample:
        """Rebuild the sample from what `to_dict` gave.

        Args:
            row: The nested dict, also after a round trip through JSON.

        Raises:
            RecordError: A field is missing, or holds what no monitor tells.
        """
        values = _take(cls, row)
        values |= _rebuild_states(row)
        for name in ("timestamp_s", "held_s"):
            check_type(f"ResourceSample.{name}", values[name], float)
        if row["recorded"] is not None:
            values["recorded"] = ResourceMetrics.from_dict(row["recorded"])
        return cls(**values)


def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain(value: object) -> Any:
    """Turn a state into a dict and a tuple into a list, all the way down."""
    if is_dataclass(value):
        return {name: _plain(getattr(value, name)) for name in _names(type(value))}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _take(kind: type[Any], row: Any) -> dict[str, Any]:
    names = _names(kind)
    if not isinstance(row, Mapping):
        raise RecordError(
            f"A recorded {kind.__name__} is {quote(row)}, no table of names and "
            "values; record the run again."
        )
    missing = [name for name in names if name not in row]
    if missing:
        raise RecordError(
            f"A recorded {kind.__name__} lacks {', '.join(missing)}; the trace comes "
            "from another version, or is not a resource trace. Record it again."
        )
    return {name: row[name] for name in names}


def _rebuild_states(row: Mapping[str, Any]) -> dict[str, Any]:
    """Rebuild the states that samples and metrics share."""
    group = row["cgroup"]
    return {
        "cores": _rebuild(CoreState, row["cores"]),
        "memory": _rebuild(MemoryState, row["memory"]),
        "process": _rebuild(ProcessState, row["process"]),
        "cgroup": None if group is None else _rebuild(CgroupState, group),
        "gpus": tuple(_rebuild(GpuState, gpu) for gpu in _take_list(row, "gpus")),
    }


def _rebuild(kind: type[State], row: Mapping[str, Any]) -> State:
    values = _take(kind, row)
    for name, hint in list_hints(kind).items():
        value = values[name]
        if isinstance(value, list):
            values[name] = value = tuple(value)
        if value is not None:
            check_type(f"{kind.__name__}.{name}", value, strip_none(hint))
        elif not is_optional(hint):
            raise wrong_type(f"{kind.__name__}.{name}", value, hint)
    return kind(**values)


def _take_list(row: Mapping[str, Any], name: str) -> list[Any]:
    """Take a list, also where a file has none for an empty one."""
    values = row[name]
    if values is None:
        return []
    if not isinstance(values, list | tuple):
        raise RecordError(
            f"A recorded {name} is {quote(values)}, no list; record the run again."
        )
    return list(values)


def _take_pair(pair: Any) -> tuple[str, float]:
    """Take the availability of one resource."""
    is_pair = isinstance(pair, Mapping) and {"resource", "availability"} <= set(pair)
    if not is_pair or not isinstance(pair["resource"], str):
        raise RecordError(
            f"A recorded availability is {quote(pair)}, not that of a resource; record "
            "the run again."
        )
    check_type(pair["resource"], pair["availability"], float)
    return pair["resource"], pair["availability"]


def _check_verdict(values: Mapping[str, Any]) -> None:
    """Refuse a recorded verdict that no controller could act upon."""
    for name in ("timestamp_s", "availability", "tunnel_frequency", "age_s"):
        check_type(f"ResourceMetrics.{name}", values[name], float)
    shares = (values["availability"], *values["availability_by_resource"].values())
    is_sane = all(0.0 <= share <= 1.0 for share in shares)
    is_sane &= 0.0 < values["tunnel_frequency"] < math.inf
    is_sane &= values["age_s"] >= 0.0 and math.isfinite(values["timestamp_s"])
    if not is_sane or not isinstance(values["limiting_resource"], str):
        raise RecordError(
            "A recorded sample has an availability outside [0, 1], or a frequency or a "
            "time that is no positive number; record the run again."
        )

"""Limits of Linux control groups, versions 1 and 2.

A limit may sit on any group between the process and the root, so each reading walks
up to the mount and keeps the tightest. Imports only this room's metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from engine.monitor.metrics import CgroupState

CGROUP_MOUNT: Final = Path("/sys/fs/cgroup")
SELF_CGROUP: Final = Path("/proc/self/cgroup")

# Version 1 writes "no limit" as the largest page multiple below 2^63, and the page
# size moves it; no machine has 2^60 bytes, so everything above means "none".
_UNLIMITED_BYTES: Final = 2**60


class _Names(NamedTuple):
    """File names and units in which the two versions differ."""

    memory_limits: tuple[str, ...]
    memory_used: str
    reclaimable: str
    usage_file: str
    usage_key: str
    usage_unit_s: float


_V1: Final = _Names(
    ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file",
    "cpuacct.usage", "", 1e-9,
)  # fmt: skip
_V2: Final = _Names(
    ("memory.max", "memory.high"), "memory.current", "inactive_file",
    "cpu.stat", "usage_usec", 1e-6,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Counters:
    """Counters of the group that holds the quota; they only ever grow."""

    folder: Path
    time_s: float
    usage_s: float | None
    periods: int
    throttled: int


class CgroupReader:
    """Reads the groups around this process; remembers counters between readings.

    Args:
        mount: Where the hierarchies are mounted.
        membership: The file that names this process's group in each hierarchy.
    """

    def __init__(
        self, mount: Path = CGROUP_MOUNT, membership: Path = SELF_CGROUP
    ) -> None:
        self._mount = mount
        self._membership = membership
        self._before: _Counters | None = None

    def read(self, now_s: float) -> CgroupState | None:
        """Read the tightest limits and what is used of them.

        Args:
            now_s: Time of the reading, on any steady clock [s].

        Returns:
            The state, or None where no control groups are mounted.
        """
        version = self._version()
        if version is None:
            return None
        names = _V1 if version == 1 else _V2
        quota, holder = _tightest_quota(self._groups(version, "cpu"))
        used_cores, throttled = self._rates(names, holder, now_s)
        limit, used, available = _tightest_memory(
            names, self._groups(version, "memory")
        )
        return CgroupState(
            version=version,
            cpu_quota_cores=quota,
            cpu_used_cores=used_cores,
            throttled_share=throttled,
            memory_limit_bytes=limit,
            memory_used_bytes=used,
            memory_available_bytes=available,
        )

    def _version(self) -> int | None:
        if (self._mount / "cgroup.controllers").exists():
            return 2
        known = ("cpu", "memory", "cpu,cpuacct")
        return 1 if any((self._mount / name).is_dir() for name in known) else None

    def _groups(self, version: int, controller: str) -> list[Path]:
        """List the group of this process and its parents, innermost first."""
        for line in (_read(self._membership) or "").splitlines():
            _, names, path = line.split(":", 2)
            if version == 1 and controller in names.split(","):
                roots = (self._mount / names, self._mount / controller)
                root = next((root for root in roots if root.is_dir()), roots[1])
                return list(_ancestors(root, path))
            if version != 1 and not names:
                return list(_ancestors(self._mount, path))
        # Without a membership file the mount itself is the best guess: that is how
        # a container sees its own group.
        return [self._mount if version != 1 else self._mount / controller]

    def _rates(
        self, names: _Names, holder: Path | None, now_s: float
    ) -> tuple[float | None, float | None]:
        """Give cores used and throttled share since the reading before."""
        if holder is None:
            self._before = None
            return None, None
        stat = _read_table(holder / "cpu.stat")
        after = _Counters(
            folder=holder,
            time_s=now_s,
            usage_s=_read_usage(names, holder),
            periods=stat.get("nr_periods", 0),
            throttled=stat.get("nr_throttled", 0),
        )
        before, self._before = self._before, after
        if before is None or before.folder != holder:
            return None, None
        return _cores_between(before, after), _throttled_between(before, after)


def _cores_between(before: _Counters, after: _Counters) -> float | None:
    elapsed_s = after.time_s - before.time_s
    if before.usage_s is None or after.usage_s is None or elapsed_s <= 0:
        return None
    return max(0.0, after.usage_s - before.usage_s) / elapsed_s


def _throttled_between(before: _Counters, after: _Counters) -> float:
    """Share of periods throttled; a group that ran in none was not held back."""
    periods = after.periods - before.periods
    throttled = after.throttled - before.throttled
    return min(1.0, max(0, throttled) / periods) if periods > 0 else 0.0


def _ancestors(root: Path, path: str) -> Iterator[Path]:
    """Walk from a group up to its mount; just the mount if the group is hidden."""
    relative = Path(path.strip().lstrip("/"))
    if ".." in relative.parts or not (root / relative).is_dir():
        yield root
        return
    for part in (relative, *relative.parents):
        yield root / part
        if part == Path():
            return


def _tightest_quota(groups: list[Path]) -> tuple[float | None, Path | None]:
    found = [(_read_quota(group), group) for group in groups]
    limits = [(quota, group) for quota, group in found if quota is not None]
    return min(limits, key=lambda pair: pair[0], default=(None, None))


def _tightest_memory(
    names: _Names, groups: list[Path]
) -> tuple[int | None, int | None, int | None]:
    """Give limit and use of the tightest group, and the least headroom of any."""
    tightest: int | None = None
    used: int | None = None
    available: int | None = None
    for group in groups:
        found = [_read_bytes(group / name) for name in names.memory_limits]
        limits = [value for value in found if value]
        if not limits:
            continue
        limit, held = min(limits), _read_working_set(names, group)
        if tightest is None or limit < tightest:
            tightest, used = limit, held
        if held is not None:
            room = max(0, limit - held)
            available = room if available is None else min(available, room)
    return tightest, used, available


def _read_working_set(names: _Names, group: Path) -> int | None:
    """Memory in use less inactive file pages, which the kernel drops on demand."""
    used = _read_bytes(group / names.memory_used)
    if used is None:
        return None
    reclaimable = _read_table(group / "memory.stat").get(names.reclaimable, 0)
    return max(0, used - reclaimable)


def _read_quota(group: Path) -> float | None:
    words = (_read(group / "cpu.max") or "").split()
    if not words:
        quota = _read(group / "cpu.cfs_quota_us") or "-1"
        words = [quota.strip(), (_read(group / "cpu.cfs_period_us") or "0").strip()]
    try:
        quota_us, period_us = (int(word) for word in words)
    except ValueError:
        return None  # "max", or a file from no kernel known here
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _read_usage(names: _Names, group: Path) -> float | None:
    """Processor time of a group [s]."""
    if names.usage_key:
        ticks = _read_table(group / names.usage_file).get(names.usage_key)
    else:
        ticks = _read_count(group / names.usage_file)
    return None if ticks is None else ticks * names.usage_unit_s


def _read_table(path: Path) -> dict[str, int]:
    rows = (line.partition(" ") for line in (_read(path) or "").splitlines())
    return {name: int(value) for name, _, value in rows if value.isdigit()}


def _read_bytes(path: Path) -> int | None:
    value = _read_count(path)
    return None if value is None or value >= _UNLIMITED_BYTES else value


def _read_count(path: Path) -> int | None:
    text = (_read(path) or "").strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str | None:
    """Read a file that may be missing, hidden or gone."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None

"""Control groups: fake trees of both versions, then this machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.monitor.cgroup import CGROUP_MOUNT, CgroupReader

GIB = 2**30


def write_tree(root: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def build_reader(root: Path, membership: str, files: dict[str, object]) -> CgroupReader:
    write_tree(root / "fs", files)
    (root / "membership").write_text(membership)
    return CgroupReader(root / "fs", root / "membership")


def test_no_hierarchy_gives_none(tmp_path: Path) -> None:
    assert CgroupReader(tmp_path / "nowhere", tmp_path / "nothing").read(0.0) is None


def test_v2_takes_the_tightest_limit_of_all_parents(tmp_path: Path) -> None:
    state = build_reader(
        tmp_path,
        "0::/pod/box\n",
        {
            "cgroup.controllers": "cpu memory",
            "pod/cpu.max": "150000 100000",
            "pod/cpu.stat": "usage_usec 0\nnr_periods 0\nnr_throttled 0",
            "pod/memory.max": 4 * GIB,
            "pod/memory.current": 3 * GIB,
            "pod/memory.stat": f"anon 5\ninactive_file {GIB}",
            "pod/box/cpu.max": "max 100000",
            "pod/box/memory.max": "max",
            "pod/box/memory.current": GIB,
        },
    ).read(0.0)
    assert state is not None
    assert state.version == 2
    assert state.cpu_quota_cores == 1.5
    assert state.memory_limit_bytes == 4 * GIB
    assert state.memory_used_bytes == 2 * GIB
    assert state.memory_available_bytes == 2 * GIB


def test_v2_soft_limit_counts_and_headroom_is_the_least_of_all(tmp_path: Path) -> None:
    state = build_reader(
        tmp_path,
        "0::/pod/box\n",
        {
            "cgroup.controllers": "memory",
            "pod/memory.max": 32 * GIB,
            "pod/memory.current": 31 * GIB,
            "pod/box/memory.max": 16 * GIB,
            "pod/box/memory.high": 8 * GIB,
            "pod/box/memory.current": GIB,
        },
    ).read(0.0)
    assert state is not None
    assert state.memory_limit_bytes == 8 * GIB
    assert state.memory_used_bytes == GIB
    assert state.memory_available_bytes == GIB  # the parent is nearly full
    assert state.cpu_quota_cores is None
    assert state.throttled_share is None


def test_v2_rates_are_differences_of_counters(tmp_path: Path) -> None:
    files: dict[str, object] = {
        "cgroup.controllers": "cpu",
        "cpu.max": "200000 100000",
        "cpu.stat": "usage_usec 1000000\nnr_periods 100\nnr_throttled 10",
    }
    reader = build_reader(tmp_path, "0::/\n", files)
    first = reader.read(10.0)
    assert first is not None
    assert (first.cpu_used_cores, first.throttled_share) == (None, None)
    files["cpu.stat"] = "usage_usec 4000000\nnr_periods 120\nnr_throttled 15"
    write_tree(tmp_path / "fs", files)
    second = reader.read(12.0)
    assert second is not None
    assert second.cpu_used_cores == pytest.approx(1.5)
    assert second.throttled_share == pytest.approx(0.25)


@pytest.mark.parametrize("path", ["/docker/0123", "/../outside"])
def test_hidden_group_falls_back_to_the_mount(tmp_path: Path, path: str) -> None:
    state = build_reader(
        tmp_path,
        f"0::{path}\n",
        {"cgroup.controllers": "cpu", "cpu.max": "50000 100000"},
    ).read(0.0)
    assert state is not None
    assert state.cpu_quota_cores == 0.5


def test_v1_reads_joined_controllers_and_ignores_the_unlimited_sentinel(
    tmp_path: Path,
) -> None:
    state = build_reader(
        tmp_path,
        "9:name=systemd:/\n4:memory:/slice/box\n1:cpu,cpuacct:/slice\n0::/\n",
        {
            "cpu,cpuacct/slice/cpu.cfs_quota_us": 250000,
            "cpu,cpuacct/slice/cpu.cfs_period_us": 100000,
            "cpu,cpuacct/slice/cpuacct.usage": 2**61,
            "cpu,cpuacct/cpu.cfs_quota_us": -1,
            "memory/slice/box/memory.limit_in_bytes": 9223372036854771712,
            "memory/slice/memory.limit_in_bytes": 2 * GIB,
            "memory/slice/memory.usage_in_bytes": GIB,
            "memory/slice/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}",
        },
    ).read(0.0)
    assert state is not None
    assert state.version == 1
    assert state.cpu_quota_cores == 2.5
    assert state.memory_limit_bytes == 2 * GIB
    assert state.memory_used_bytes == 0
    assert state.memory_available_bytes == 2 * GIB


def test_v1_hidden_group_falls_back_to_the_mount(tmp_path: Path) -> None:
    state = build_reader(
        tmp_path,
        "4:memory:/docker/0123\n",
        {"memory/memory.limit_in_bytes": GIB, "memory/memory.usage_in_bytes": 1},
    ).read(0.0)
    assert state is not None
    assert state.memory_limit_bytes == GIB


def test_malformed_files_count_as_absent(tmp_path: Path) -> None:
    state = build_reader(
        tmp_path,
        "0::/\n",
        {"cgroup.controllers": "", "cpu.max": "often", "memory.max": "lots"},
    ).read(0.0)
    assert state is not None
    assert state.cpu_quota_cores is None
    assert state.memory_limit_bytes is None


@pytest.mark.skipif(not CGROUP_MOUNT.is_dir(), reason="no control groups here")
def test_real_groups_give_positive_limits_or_none() -> None:
    state = CgroupReader().read(0.0)
    assert state is not None
    assert state.version in (1, 2)
    assert state.cpu_quota_cores is None or state.cpu_quota_cores > 0
    assert state.memory_limit_bytes is None or 0 < state.memory_limit_bytes < 2**60

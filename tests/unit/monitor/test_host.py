"""The host: scripted counters for the arithmetic, psutil for the truth."""

from __future__ import annotations

import os
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from engine.monitor.cgroup import CgroupReader
from engine.monitor.host import HostSampler
from engine.monitor.metrics import CoreState

Times = namedtuple("Times", "user idle iowait steal guest guest_nice")


class PaperHost:
    """Four processors whose counters a test moves by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.own_s = 0.0
        self.busy_s = [0.0] * 4
        self.allowed = {0, 1, 2, 3}
        monkeypatch.setattr(psutil, "cpu_times", self.cpu_times)
        monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 4)
        monkeypatch.setattr(time, "process_time", lambda: self.own_s)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: self.allowed)

    def cpu_times(self, percpu: bool) -> list[Times]:
        assert percpu
        return [Times(b, self.now_s - b, 0.0, 0.0, 0.0, 0.0) for b in self.busy_s]

    def clock(self) -> float:
        return self.now_s

    def run(self, seconds: float, busy: list[float], own: float) -> None:
        self.now_s += seconds
        self.own_s += own * seconds
        self.busy_s = [
            before + share * seconds
            for before, share in zip(self.busy_s, busy, strict=True)
        ]


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> PaperHost:
    return PaperHost(monkeypatch)


def build_sampler(paper: PaperHost, folder: Path, quota: str = "") -> HostSampler:
    mount = folder / "fs"
    mount.mkdir()
    if quota:
        (mount / "cgroup.controllers").write_text("cpu\n")
        (mount / "cpu.max").write_text(quota)
    reader = CgroupReader(mount, folder / "membership")
    return HostSampler(clock=paper.clock, cgroup=reader)


def sample_cores(sampler: HostSampler) -> CoreState:
    return sampler.sample().cores


def test_rates_are_unknown_before_the_first_window(
    paper: PaperHost, tmp_path: Path
) -> None:
    cores = sample_cores(build_sampler(paper, tmp_path))
    assert cores.utilisation is None
    assert cores.idle_cores is None
    assert cores.allowed_cores == 4.0


def test_own_use_is_subtracted(paper: PaperHost, tmp_path: Path) -> None:
    sampler = build_sampler(paper, tmp_path)
    sampler.prime()
    paper.run(1.0, busy=[1.0, 1.0, 1.0, 0.0], own=2.0)
    reading = sampler.sample()
    assert reading.cores.utilisation == pytest.approx(0.75)
    assert reading.cores.others_cores == pytest.approx(1.0)
    assert reading.cores.idle_cores == pytest.approx(3.0)
    assert reading.process.cores_used == pytest.approx(2.0)


def test_others_outside_our_affinity_do_not_count(
    paper: PaperHost, tmp_path: Path
) -> None:
    paper.allowed = {2, 3}
    sampler = build_sampler(paper, tmp_path)
    sampler.prime()
    paper.run(1.0, busy=[1.0, 1.0, 0.5, 0.0], own=0.0)
    cores = sample_cores(sampler)
    assert cores.allowed_cores == 2.0
    assert cores.utilisation == pytest.approx(0.625)
    assert cores.idle_cores == pytest.approx(1.5)


def test_quota_caps_allowed_and_idle_cores(paper: PaperHost, tmp_path: Path) -> None:
    sampler = build_sampler(paper, tmp_path, quota="150000 100000")
    sampler.prime()
    paper.run(1.0, busy=[0.5, 0.0, 0.0, 0.0], own=0.5)
    cores = sample_cores(sampler)
    assert cores.allowed_cores == 1.5
    assert cores.idle_cores == 1.5


def test_quota_used_by_neighbours_in_the_group_is_gone(
    paper: PaperHost, tmp_path: Path
) -> None:
    sampler = build_sampler(paper, tmp_path, quota="200000 100000")
    stat = tmp_path / "fs" / "cpu.stat"
    stat.write_text("usage_usec 0\n")
    sampler.prime()
    sampler.sample()
    stat.write_text("usage_usec 1500000\n")
    paper.run(1.0, busy=[1.0, 0.5, 0.0, 0.0], own=0.5)
    assert sample_cores(sampler).idle_cores == pytest.approx(1.0)


def test_short_windows_keep_the_last_figure(paper: PaperHost, tmp_path: Path) -> None:
    sampler = build_sampler(paper, tmp_path)
    sampler.prime()
    paper.run(1.0, busy=[1.0, 0.0, 0.0, 0.0], own=0.0)
    before = sample_cores(sampler)
    paper.run(0.01, busy=[1.0, 1.0, 1.0, 1.0], own=0.0)
    assert sample_cores(sampler) == before


def test_changed_affinity_starts_a_new_window(paper: PaperHost, tmp_path: Path) -> None:
    sampler = build_sampler(paper, tmp_path)
    sampler.prime()
    paper.allowed = {0}
    paper.run(1.0, busy=[1.0, 0.0, 0.0, 0.0], own=0.0)
    assert sample_cores(sampler).others_cores is None
    paper.run(1.0, busy=[1.0, 0.0, 0.0, 0.0], own=0.0)
    assert sample_cores(sampler).others_cores == pytest.approx(1.0)


def test_hidden_counters_leave_cores_unknown(
    paper: PaperHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(percpu: bool) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    sampler = build_sampler(paper, tmp_path)
    sampler.prime()
    assert sample_cores(sampler).idle_cores is None


def test_memory_limit_and_own_memory(paper: PaperHost, tmp_path: Path) -> None:
    sampler = build_sampler(paper, tmp_path, quota="max 100000")
    limit = psutil.virtual_memory().total // 2
    (tmp_path / "fs" / "memory.max").write_text(str(limit))
    (tmp_path / "fs" / "memory.current").write_text(str(limit // 2))
    memory = sampler.sample().memory
    assert memory.limit_bytes == limit
    assert memory.available_bytes <= limit - limit // 2
    assert memory.available_share > memory.available_bytes / limit


def test_this_machine() -> None:
    sampler = HostSampler()
    sampler.prime()
    cores, memory, process, _ = sampler.sample()
    assert 0 < cores.allowed_cores <= cores.logical_count
    assert 0 < memory.limit_bytes <= memory.total_bytes
    assert 0 <= memory.available_share <= 1
    assert process.rss_bytes is not None
    assert process.rss_bytes > 0
    assert process.thread_count is not None
    assert process.thread_count >= 1

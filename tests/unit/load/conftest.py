"""Workers on paper: they answer as real ones do, by a clock that a test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.load import generator as room
from engine.load.cores import CoreLoad
from engine.load.generator import TICK_S, LoadGenerator
from engine.load.memory import MemoryLoad
from engine.load.sample import LoadSample
from engine.monitor.metrics import MemoryState

GIB = 2**30


@dataclass
class PaperWorld:
    """Two cores and 16 GiB, with neighbours."""

    now_s: float = 0.0
    others: list[float] = field(default_factory=lambda: [0.0, 0.0])
    others_bytes: int = 2 * GIB
    heat_c: float | None = None
    children: list[PaperChild] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    def start(self, module: str, limit_s: float, *arguments: Any) -> PaperChild:
        child = PaperChild(self, module.rpartition(".")[2], limit_s, arguments)
        self.children.append(child)
        return child

    def advance(self, span_s: float) -> None:
        self.now_s += span_s
        for child in self.children:
            child.advance(span_s)

    def held_bytes(self) -> int:
        return sum(c.told for c in self.children if c.kind == "memory_worker")


class PaperChild:
    """A worker that gets what is left of its core, or holds what it is told."""

    def __init__(
        self, world: PaperWorld, kind: str, limit_s: float, arguments: tuple[Any, ...]
    ) -> None:
        self.world, self.kind, self.limit_s = world, kind, limit_s
        self.arguments = arguments
        self.pid = 1000 + len(world.children)
        self.is_alive = True
        self.failure: str | None = None
        self.told: Any = 0
        self.used_s = self.asked_s = 0.0

    def wait_ready(self) -> None:
        pass

    def send(self, command: Any) -> None:
        self.told = command

    def read(self) -> tuple[float, ...]:
        if self.kind == "memory_worker":
            return (self.world.now_s, self.told)
        return (self.world.now_s, self.used_s, self.asked_s)

    def advance(self, span_s: float) -> None:
        if self.kind == "cpu_worker" and self.is_alive:
            room_left = 1.0 - self.world.others[self.arguments[0]]
            self.used_s += span_s * min(self.told, room_left)
            self.asked_s += span_s * self.told

    def close(self) -> None:
        self.is_alive = False
        self.told = 0


class PaperMeter:
    def __init__(self, world: PaperWorld) -> None:
        self.world = world
        self.before = (0.0, [0.0, 0.0])

    def read_totals(self) -> list[float | None]:
        world = self.world
        workers = [c for c in world.children if c.kind == "cpu_worker"]
        used = [c.used_s for c in workers] or [0.0, 0.0]
        span_s = world.now_s - self.before[0]
        rows = zip(used, self.before[1], world.others, strict=True)
        self.before = (world.now_s, used)
        if span_s <= 0:
            return [None, None]
        return [others + (now - then) / span_s for now, then, others in rows]

    def read_memory(self) -> MemoryState:
        left = 16 * GIB - self.world.others_bytes - self.world.held_bytes()
        return MemoryState(16 * GIB, 16 * GIB, left, left / (16 * GIB))

    def read_temperature_c(self) -> float | None:
        return self.world.heat_c


class Rig:
    """A generator in that world."""

    def __init__(self, world: PaperWorld) -> None:
        self.world = world

    def build(self, config: Any, **options: Any) -> LoadGenerator:
        meter: Any = PaperMeter(self.world)
        self.generator = LoadGenerator(
            config, clock=self.world.clock, meter=meter, **options
        )
        self.generator.start()
        return self.generator

    def run(self, span_s: float) -> list[LoadSample]:
        samples = []
        for _ in range(round(span_s / TICK_S)):
            sample = self.generator.step()
            if sample is not None:
                samples.append(sample)
            self.world.advance(TICK_S)
        return samples


@pytest.fixture
def world() -> PaperWorld:
    return PaperWorld()


@pytest.fixture
def rig(world: PaperWorld, monkeypatch: pytest.MonkeyPatch) -> Rig:
    def close_all(children: list[PaperChild]) -> None:
        for child in children:
            child.close()

    def start_cores(*arguments: Any, **options: Any) -> CoreLoad:
        return CoreLoad(*arguments, **options, start_child=world.start)

    def start_memory(*arguments: Any) -> MemoryLoad:
        return MemoryLoad(*arguments, start_child=world.start)

    monkeypatch.setattr("engine.load.cores.close_all", close_all)
    monkeypatch.setattr(room, "CoreLoad", start_cores)
    monkeypatch.setattr(room, "MemoryLoad", start_memory)
    monkeypatch.setattr(room, "list_allowed_cpus", lambda: [0, 1])
    return Rig(world)

"""One real scrape, of a run whose monitor is told of two GPUs, for all tests here."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from engine.config import RunConfig
from engine.monitor import ResourceMonitor, SyntheticSource
from engine.monitor.metrics import GpuState, ProcessState, ResourceSample
from engine.recording import RunSummary
from engine.system import Progress, ScribbleSystem

BuildConfig = Callable[..., RunConfig]
GPUS = (
    GpuState(
        index=0,
        uuid="GPU-a",
        utilisation=0.5,
        memory_used_bytes=2**30,
        power_w=210.5,
        energy_j=1e6,
        temperature_c=61.0,
    ),
    GpuState(index=1, uuid="GPU-b", status="lost"),
)


class SourceWithGpus(SyntheticSource):
    """A synthetic load on a machine with one working and one lost GPU."""

    def read(self, simulated_s: float) -> ResourceSample:
        process = ProcessState(cores_used=1.5, rss_bytes=2**28, thread_count=3)
        return replace(super().read(simulated_s), gpus=GPUS, process=process)


@dataclass
class Watched:
    """A run, and what was seen of it after its last control period."""

    config: RunConfig
    port_file: dict[str, object]
    text: str
    progress: Progress
    summary: RunSummary

    @property
    def families(self) -> dict[str, Metric]:
        found = text_string_to_metric_families(self.text)
        return {
            family.name: family
            for family in found
            if not family.name.endswith("_created")  # when a counter was made
        }

    def value(self, name: str, **labels: str) -> float:
        [found] = [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        ]
        return found


@pytest.fixture(scope="session")
def watched(
    tmp_path_factory: pytest.TempPathFactory, build_config: BuildConfig
) -> Watched:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    config = build_config(
        metrics={"http": True},
        record={"folder": str(folder)},
        tunnel={"max_probability": 0.6},
        load={"level": 0.5},
    )
    seen: list[tuple[dict[str, object], str, Progress]] = []

    def look(progress: Progress) -> None:
        if progress.step == progress.step_count:
            found = json.loads((folder / "metrics.json").read_text("utf-8"))
            url = f"http://{found['address']}:{found['port']}/metrics"
            with urllib.request.urlopen(url, timeout=10) as page:
                seen.append((found, page.read().decode(), progress))

    source = SourceWithGpus(config.load)
    with (
        ResourceMonitor(tunnel=config.tunnel, source=source) as monitor,
        ScribbleSystem(config, monitor=monitor) as system,
    ):
        summary = system.run(look)
    [(port_file, text, progress)] = seen
    return Watched(config, port_file, text, progress, summary)


@pytest.fixture(scope="session")
def grafana_folder() -> Path:
    return Path(__file__).parents[2] / "conf" / "grafana"

"""What a sweep would run, and what each job is forecast to reach and cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.config import RunConfig
from engine.errors import EngineError
from experiments.overrides import compose_node, convert_node, open_hydra
from experiments.sweep.plan import PlannedJob, drop_common
from experiments.wording import (
    format_bytes,
    format_frequency,
    format_jobs,
    format_span,
)

if TYPE_CHECKING:
    from engine.forecast import CoherenceForecast


PROCESS_BYTES: Final = 256 * 2**20
"""What a job's process takes for Python, libraries and compiled kernels [byte].

A run of 256 nodes peaks at 182 MiB resident and 249 MiB of private memory, which is
what ``--job-memory`` counts.
"""


@dataclass(frozen=True)
class JobForecast:
    """What a job would reach and cost."""

    job: int
    """Its number."""
    overrides: list[str]
    """What sets it apart."""
    coherence: float | None = None
    """Order parameter r after settling [-]."""
    frequency_hz: float | None = None
    """Tunnel frequency of the forecast [Hz]; None: every bridge all the time."""
    wall_s: float | None = None
    """Wall time on two cores, roughly [s]."""
    memory_bytes: int | None = None
    """Host and GPU together, the process itself included [byte]."""
    note: str = ""
    """Why something is not known, or not trusted, or not possible."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain figures, ready for JSON."""
        return asdict(self)


def forecast_jobs(
    jobs: Sequence[PlannedJob], hydra_words: Sequence[str]
) -> Iterator[JobForecast]:
    """Forecast jobs one after another; a job that is not possible says why.

    Args:
        jobs: The jobs.
        hydra_words: Words for Hydra, such as its search path.

    Yields:
        One forecast per job.
    """
    apart = drop_common({job.job: job.overrides for job in jobs})
    with open_hydra():
        for job in jobs:
            words = apart[job.job]
            try:
                node = compose_node([*hydra_words, *job.overrides])
                config = convert_node(node, job.overrides)
                yield forecast_job(config, job.job, words)
            except EngineError as error:
                yield JobForecast(job.job, words, note=f"cannot run: {error}")


def forecast_job(config: RunConfig, job: int, words: list[str]) -> JobForecast:
    """Forecast one job at the frequency that its controller is likely to use.

    Args:
        config: Its configuration.
        job: Its number.
        words: What sets it apart.

    Raises:
        EngineError: An input cannot be used.
    """
    from engine.forecast import (
        MAX_RUN_EDGES,
        build_forecaster,
        count_lattice_edges,
        estimate_memory,
    )

    name = "cpu" if config.backend.name == "auto" else config.backend.name
    memory = estimate_memory(config, name)
    memory_bytes = memory.host_bytes + memory.device_bytes + PROCESS_BYTES
    ends = config.bridges.per_node if config.bridges.kind != "none" else 0
    edges = count_lattice_edges(config) + ends * config.lattice.node_count // 2
    if edges > MAX_RUN_EDGES:
        note = "too large to forecast in passing; scribble forecast takes the time"
        return JobForecast(job, words, memory_bytes=memory_bytes, note=note)
    found = _choose_forecast(build_forecaster(config), config)
    pace = found.wall_s_per_simulated_second
    return JobForecast(
        job,
        words,
        found.coherence,
        found.frequency_hz,
        None if pace is None else pace * config.dynamics.duration_s,
        memory_bytes,
        "" if found.is_trusted else f"r is not trusted: {found.reason}",
    )


def _choose_forecast(forecaster: Any, config: RunConfig) -> CoherenceForecast:
    """Forecast the fixed frequency, the cheapest rung, or the most there can be."""
    found: CoherenceForecast
    if config.controller.objective == "fixed":
        found = forecaster.forecast(config.controller.fixed_frequency_hz)
    elif config.controller.objective == "floor":
        ladder = forecaster.forecast_ladder()
        best = ladder.rungs[0] if ladder.rungs else ladder.unlimited
        found = ladder.cheapest or best
    elif config.bridges.kind == "none":
        found = forecaster.unlimited
    else:
        found = forecaster.forecast(config.tunnel.maximum_frequency_hz)
    return found


def list_forecast_cells(
    forecasts: Sequence[JobForecast],
) -> tuple[list[str], list[list[str]]]:
    """Write forecasts as cells.

    Args:
        forecasts: One per job.

    Returns:
        Headings, and the cells of each row.
    """
    heads = ["job", "overrides", "r", "frequency", "time", "memory", "note"]
    return heads, [_list_row(forecast) for forecast in forecasts]


def _list_row(found: JobForecast) -> list[str]:
    hz = found.frequency_hz
    return [
        str(found.job),
        " ".join(found.overrides) or "defaults",
        "-" if found.coherence is None else f"{found.coherence:.3f}",
        "-" if hz is None else format_frequency(hz),
        "-" if found.wall_s is None else format_span(found.wall_s),
        "-" if found.memory_bytes is None else format_bytes(found.memory_bytes),
        found.note,
    ]


def describe_total(forecasts: Sequence[JobForecast]) -> str:
    """Say what all jobs together would cost.

    Args:
        forecasts: One per job.
    """
    walls = [f.wall_s for f in forecasts if f.wall_s is not None]
    sizes = [f.memory_bytes for f in forecasts if f.memory_bytes is not None]
    unknown = len(forecasts) - len(walls)
    text = f"{format_jobs(len(forecasts))}, {format_span(sum(walls))} one after another"
    text += f" (not counting {unknown} without a forecast)" if unknown else ""
    return f"{text}, {format_bytes(max(sizes, default=0))} for the largest"

"""What a run will reach and cost at every tunnel frequency, without running it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from engine.config import RunConfig, check_inputs
from engine.errors import ForecastError, ResourceError
from experiments import outcome
from experiments.overrides import compose_run_config
from experiments.wording import format_bytes, format_count, format_frequency

if TYPE_CHECKING:
    from rich.table import Table

    from engine.forecast import (
        CoherenceForecast,
        Cure,
        LadderForecast,
        MemoryEstimate,
        RecordEstimate,
    )


@dataclass(frozen=True)
class Report:
    """Everything that is forecast of a configuration."""

    config: RunConfig
    """The run."""
    ladder: LadderForecast | None
    """Coherence and cost by rung; None where the theory does not know the network."""
    fixed: CoherenceForecast | None
    """Likewise at the fixed frequency, where one is configured."""
    memory: MemoryEstimate
    """What the run would take."""
    record: RecordEstimate
    """What the run would write."""
    cure: Cure | None
    """What would bring the floor into reach; None where it is."""
    obstacle: str = ""
    """Why no coherence is forecast; empty where it is."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain figures, ready for JSON."""
        if self.ladder is None:
            return {**self._list_needs(), "verdict": describe_verdict(self)}
        return {
            **self.ladder.to_dict(),
            "fixed": self.fixed and asdict(self.fixed),
            **self._list_needs(),
            "cure": self.cure and asdict(self.cure),
            "verdict": describe_verdict(self),
        }

    def _list_needs(self) -> dict[str, Any]:
        record = self.record
        return {
            "memory": asdict(self.memory),
            "record": {
                "files": dict(record.files),
                "total_bytes": record.total_bytes,
                "checkpoint_bytes": record.checkpoint_bytes,
                "peak_bytes": record.peak_bytes,
            },
        }


def show_forecast(overrides: Sequence[str], *, is_json: bool = False) -> int:
    """Forecast a configuration and print it.

    Args:
        overrides: Words as typed, such as ``lattice=chain``.
        is_json: As JSON, for programs.

    Returns:
        Exit code; that of a failure where no coherence can be forecast.

    Raises:
        EngineError: The configuration is not allowed, or too large to forecast.
    """
    report = build_report(compose_run_config(overrides))
    code = outcome.DONE if report.ladder else outcome.FAILED
    if is_json:
        sys.stdout.write(f"{json.dumps(report.to_dict(), indent=2)}\n")
        return code
    from experiments.views.terminal import open_console

    console = open_console()
    if report.ladder:
        console.print(build_rung_table(report, report.ladder))
    for line in list_lines(report):
        console.print(line, soft_wrap=True)
    return code


def build_report(config: RunConfig) -> Report:
    """Forecast everything.

    Args:
        config: Validated configuration.

    Raises:
        EngineError: An input cannot be used, or the network is too large.
    """
    from engine.forecast import (
        build_forecaster,
        estimate_memory,
        estimate_record,
        find_cure,
        find_obstacle,
    )

    check_inputs(config)
    name = "cpu" if config.backend.name == "auto" else config.backend.name
    memory, record = estimate_memory(config, name), estimate_record(config)
    if obstacle := find_obstacle(config):
        return Report(config, None, None, memory, record, None, f"{obstacle}.")
    _check_size(config)
    try:
        forecaster = build_forecaster(config)
    except ForecastError as error:
        return Report(config, None, None, memory, record, None, str(error))
    ladder = forecaster.forecast_ladder()
    is_fixed = config.controller.objective == "fixed"
    hz = config.controller.fixed_frequency_hz
    return Report(
        config=config,
        ladder=ladder,
        fixed=forecaster.forecast(hz) if is_fixed else None,
        memory=memory,
        record=record,
        cure=None if ladder.is_reachable else find_cure(config),
    )


def _check_size(config: RunConfig) -> None:
    """Refuse a network whose forecast would take too long."""
    from engine.forecast import MAX_EDGES, count_lattice_edges

    bridges = config.bridges
    is_drawn = bridges.kind in ("matchings", "procedural", "small_world")
    count = count_lattice_edges(config)
    count += bridges.per_node * config.lattice.node_count // 2 if is_drawn else 0
    if count > MAX_EDGES:
        raise ResourceError(
            f"The forecast would solve for {count:,} edges, and at most {MAX_EDGES:,} "
            "are taken; forecast a smaller lattice.shape, for coherence hardly depends "
            "on the size where there are bridges."
        )


def build_rung_table(report: Report, ladder: LadderForecast) -> Table:
    """Lay the ladder out, the cheapest rung that holds the floor marked.

    Args:
        report: The forecast.
        ladder: Its ladder.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for justify in ("right", "right", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_column()
    table.add_row("frequency", "r", "events/s", "wall s/s", "", style="dim")
    fixed = [report.fixed] if report.fixed else []
    for row in (ladder.unlimited, *fixed, *ladder.rungs):
        is_cheapest = row == ladder.cheapest
        note = "cheapest that holds the floor" if is_cheapest else ""
        if row is report.fixed:
            note = "fixed by the configuration"
        if not row.is_trusted:
            note = "; ".join(text for text in (note, "not trusted") if text)
        style = "bold green" if is_cheapest else ""
        table.add_row(*_list_cells(row), Text(note), style=style)
    return table


def _list_cells(row: CoherenceForecast) -> list[str]:
    hz, events = row.frequency_hz, row.events_per_simulated_second
    wall = row.wall_s_per_simulated_second
    return [
        "no limit" if hz is None else format_frequency(hz),
        f"{row.coherence:.3f}",
        "-" if events is None else format_count(events),
        "-" if wall is None else f"{wall:.3g}",
    ]


def list_lines(report: Report) -> list[str]:
    """Say in sentences what the table does not.

    Args:
        report: The forecast.
    """
    lines = [describe_verdict(report)]
    ladder = report.ladder
    if ladder:
        lines.extend(_list_doubts((ladder.unlimited, *ladder.rungs)))
    lines.append(
        f"memory: {format_bytes(report.memory.host_bytes)} on the host at most"
    )
    if report.memory.device_bytes:
        lines[-1] += f", {format_bytes(report.memory.device_bytes)} on the GPU"
    lines.append(
        f"run folder: about {format_bytes(report.record.total_bytes)}, at most "
        f"{format_bytes(report.record.peak_bytes)} while it is written"
    )
    if ladder:
        lines.append("wall s/s: wall time per simulated second on two cores, roughly")
    rule = report.config.acting_mesh.rule
    if ladder and ladder.rungs and rule != "none":
        lines.append(
            f"This is for bridges that all act alike; with mesh={rule} fewer events "
            "hold the same r."
        )
    return lines


def _list_doubts(rows: Sequence[CoherenceForecast]) -> Iterator[str]:
    """Say from which of the rows on, the highest frequency first, none is trusted."""
    doubtful = [row for row in rows if not row.is_trusted]
    if not doubtful:
        return
    first, hz = doubtful[0], doubtful[0].frequency_hz
    if len(doubtful) == len(rows):
        where = "Nothing is"
    elif hz is None or doubtful != list(rows[-len(doubtful) :]):
        where = "Not everything is"
    else:
        where = f"From {format_frequency(hz)} down nothing is"
    yield f"{where} trusted: {first.reason}."


def describe_verdict(report: Report) -> str:
    """Say whether the floor is in reach, at what cost, or what would help.

    Args:
        report: The forecast.
    """
    ladder = report.ladder
    if ladder is None:
        return f"No coherence is forecast: {report.obstacle}"
    floor, cheapest = ladder.floor, ladder.cheapest
    if cheapest is not None and cheapest.frequency_hz is not None:
        saved = 1.0 / (report.config.dynamics.dt_s * cheapest.frequency_hz)
        return (
            f"{format_frequency(cheapest.frequency_hz)} is the lowest rung that holds "
            f"the floor of {floor:g}: r {cheapest.coherence:.3f}, {saved:.3g} times "
            "fewer events than every bridge in every step."
        )
    best = ladder.rungs[0] if ladder.rungs else ladder.unlimited
    if ladder.is_reachable:
        return f"Without bridges r is {best.coherence:.3f}; the floor is {floor:g}."
    return (
        f"The floor of {floor:g} is out of reach: r is at most {best.coherence:.3f}. "
        f"{_describe_cure(report, ladder)}"
    )


def _describe_cure(report: Report, ladder: LadderForecast) -> str:
    cure, options = report.cure, []
    if cure is not None and cure.coupling_rad_s is not None:
        options.append(f"lattice.coupling_rad_s={cure.coupling_rad_s:g}")
    if cure is not None and cure.per_node is not None:
        options.append(f"bridges.per_node={cure.per_node}")
    if not options and not ladder.rungs:
        return "Bridges would help: bridges=matchings."
    if not options:
        return (
            "Neither a larger lattice.coupling_rad_s nor more bridges.per_node would "
            "bring it into reach; lower lattice.spread_hz."
        )
    return f"{' or '.join(options)} would bring it into reach."

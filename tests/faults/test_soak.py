"""Two hours of simulated time: nothing grows, nothing drifts, files are as forecast."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from engine.constants import TURN
from engine.forecast import estimate_record
from engine.forecast.record import TOLERANCE
from engine.observation import open_snapshots
from engine.recording.parts import FAN
from tests.faults.harness import ROOT, Ledger, build_environment
from tests.faults.soak import DT_S, PERIOD_STEPS, build_config


@dataclass(frozen=True)
class Soak:
    """A long run, and what its process has seen of itself."""

    folder: Path
    duration_s: float
    seen: dict[str, Any]

    def list_values(self, name: str) -> list[float]:
        return [float(np.sum(sample[name])) for sample in self.seen["samples"]]

    def find_growth(self, name: str) -> tuple[float, float]:
        """Compare the last third of the samples with the one before it, by medians.

        The first third is the warm-up: by its end the load has come and gone dozens of
        times, every rung was visited, parts of tables were merged and every cache and
        every library's own memory has been filled once.

        Returns:
            Share by which the value has grown, and growth per control period.
        """
        # The last sample is left out: nodes are watched by then.
        values = self.list_values(name)[:-1]
        third = len(values) // 3
        middle, late = values[third:-third], values[-third:]
        periods = self.list_values("period")
        span = np.median(periods[-third - 1 : -1]) - np.median(
            periods[third : -third - 1]
        )
        growth = float(np.median(late) - np.median(middle))
        return growth / float(np.median(middle)), growth / float(span)


def soak(folder: Path, duration_s: float, samples: int, view: str) -> Soak:
    run = folder / "run"
    words = [str(run), str(duration_s), str(samples), view]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.soak", *words],
        cwd=ROOT,
        env=build_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(run.with_suffix(".json").read_text("utf-8"))
    assert seen["status"] == "done"
    return Soak(run, duration_s, seen)


def check_growth(found: Soak, rss_share: float, blocks: float, entries: float) -> float:
    """Hold memory and work to what they were after the warm-up; return growth [-].

    Args:
        found: The run.
        rss_share: Growth of the resident memory [-].
        blocks: Memory blocks of Python per control period [-]. The samples themselves
            take some thirty each.
        entries: Likewise entries of containers.
    """
    rss, _ = found.find_growth("rss_bytes")
    assert rss < rss_share
    # A single number that is kept for every control period is one block and one entry.
    assert found.find_growth("blocks")[1] < blocks
    assert found.find_growth("entries")[1] < entries
    # The same lines are run in a period late as before, but for the handful by which
    # the mesh has more groups or fewer.
    lines, _ = found.find_growth("lines")
    assert lines <= 0.01
    return rss


def check_files(found: Soak, samples: int) -> int:
    """Hold files to their forecast; return the most that lay there at a time."""
    config = build_config(found.folder, found.duration_s, samples)
    forecast = estimate_record(config)
    sizes = {path.name: path.stat().st_size for path in found.folder.iterdir()}
    for name, size in forecast.files.items():
        if name in sizes:
            assert abs(sizes[name] - size) <= TOLERANCE * size, name
    texts = ("config.yaml", "environment.json", "summary.json")
    assert abs(sum(map(sizes.get, texts)) - forecast.files["texts"]) <= (  # type: ignore[arg-type]
        TOLERANCE * forecast.files["texts"]
    )
    assert set(sizes) == {*forecast.files, *texts} - {"texts"}
    largest = max(found.list_values("checkpoint_bytes"))
    assert abs(largest - forecast.checkpoint_bytes) <= TOLERANCE * largest
    # Checkpoints that are kept, that of the start, and what each of them relies on of
    # two tables: at most seven parts of a level, and eight before they are merged.
    levels = 1 + int(math.log(10 * samples, FAN))
    most = 10 + forecast.kept_count + 2 * (levels * (FAN - 1) + FAN)
    files = int(max(found.list_values("files")))
    assert files <= most
    return files


def check_rows(found: Soak) -> None:
    """Every control period has its row, however often tables were sealed."""
    count = round(found.duration_s / DT_S) // PERIOD_STEPS
    steps = parquet.read_table(found.folder / "timeseries.parquet")["step"].to_numpy()
    assert (steps == PERIOD_STEPS * np.arange(1, count + 1)).all()
    trace = parquet.read_metadata(found.folder / "trace.parquet")
    assert trace.num_rows == count


def check_phase_sum(found: Soak) -> float:
    """Hold the sum of all phases to that of the detunings; return its drift [turn].

    Events keep it to the last bit, so that rounding of lattice steps alone is left, as
    in `engine/verification/conservation.py`: eight errors of 2^-24 per pair of
    neighbours in the pull, half a unit where it becomes a binary angle, and as the
    detunings are not 0 here, two more of 2^-24 of a quarter of a turn at most.
    """
    seen, snapshots = found.seen, open_snapshots(found.folder)
    sums = [int(snapshots[k].sum(dtype=np.uint64)) for k in range(len(snapshots))]
    steps = snapshots.steps - snapshots.steps[0]
    pull = seen["coupling_rad_s"] * DT_S / (2.0 * np.pi) * 2 * 8.0 * 2.0**-24
    per_step = pull + 0.5 / TURN + 2.0 * 2.0**-24 * 0.25
    drifts = []
    for total, count in zip(sums[1:], steps[1:].tolist(), strict=True):
        moved = total - sums[0] - round(count * seen["move_per_step"])
        drift = ((moved + TURN // 2) % TURN - TURN // 2) / TURN
        assert abs(drift) <= 4.0 * math.sqrt(seen["nodes"] * count) * per_step
        drifts.append(abs(drift))
    return max(drifts)


def test_a_minute(tmp_path: Path) -> None:
    # Too short for memory to be flat to 1%; one number kept per period is seen.
    samples = 12
    found = soak(tmp_path, 60.0, samples, "quiet")
    check_growth(found, 0.03, 1.5, 0.8)
    check_files(found, samples)
    check_rows(found)
    check_phase_sum(found)


@pytest.mark.faults
def test_two_hours(tmp_path: Path, ledger: Ledger) -> None:
    # The live view still fills caches of rich then, of 4096 texts each, by 0.15 blocks
    # per control period; one number that is kept for each would be a whole one.
    samples = 72
    found = soak(tmp_path, 7200.0, samples, "live")
    growth = check_growth(found, 0.01, 0.5, 0.1)
    files = check_files(found, samples)
    check_rows(found)
    drift = check_phase_sum(found)
    ledger.soaks.append(
        f"{found.duration_s / 3600.0:g} h of simulated time: memory grew by "
        f"{growth:.2%} after the warm-up, at most {files} files, sum of phases off by "
        f"{drift:.1g} turn"
    )

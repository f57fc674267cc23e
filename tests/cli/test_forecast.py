"""`scribble forecast`, around the real forecast of small networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.views.summary import describe_distance, describe_forecast

Capture = pytest.CaptureFixture[str]
SMALL = ["lattice.shape=[16,16]", "tunnel.rungs=6"]


def test_table_marks_the_cheapest_rung(capsys: Capture) -> None:
    assert main(["forecast", *SMALL]) == 0
    out = capsys.readouterr().out
    (marked,) = [line for line in out.splitlines() if "cheapest that holds" in line]
    hz = " ".join(marked.split()[:2])
    assert f"{hz} is the lowest rung that holds the floor of 0.87" in out
    assert "no limit" in out
    assert "memory:" in out
    assert "This is for bridges that all act alike; with mesh=plastic fewer" in out
    assert main(["forecast", *SMALL, "mesh=none"]) == 0
    assert "alike" not in capsys.readouterr().out


def test_json_holds_every_figure(capsys: Capture) -> None:
    words = ["controller=fixed", "controller.fixed_frequency_hz=100"]
    assert main(["forecast", "--json", *SMALL, *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["rungs"]) == 7
    assert report["cheapest"] in report["rungs"]
    assert report["unlimited"]["frequency_hz"] is None
    assert report["fixed"]["frequency_hz"] == 100.0
    assert report["fixed"]["events_per_simulated_second"] == 100.0 * 512
    assert report["memory"]["host_bytes"] > 0
    assert report["cure"] is None


def test_floor_out_of_reach_names_what_would_help(capsys: Capture) -> None:
    words = ["bridges.per_node=1", "bridges.strength_rad_s=60"]
    assert main(["forecast", *SMALL, *words]) == 0
    out = capsys.readouterr().out
    assert "The floor of 0.87 is out of reach" in out
    assert "lattice.coupling_rad_s=" in out
    assert "bridges.per_node=" in out


def test_doubt_begins_where_the_first_row_has_it(capsys: Capture) -> None:
    # Oscillators that drift at every frequency; many rungs share one reason.
    words = ["lattice.coupling_rad_s=2", "bridges.strength_rad_s=1"]
    assert main(["forecast", *SMALL, *words]) == 0
    assert "\nNothing is trusted: " in capsys.readouterr().out
    assert main(["forecast", SMALL[0]]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = [line for line in lines if "not trusted" in line]
    hz = " ".join(marked[0].split()[:2])
    assert len(marked) > 1
    assert any(line.startswith(f"From {hz} down nothing is trusted") for line in lines)


def test_without_bridges_there_is_no_ladder(capsys: Capture) -> None:
    assert main(["forecast", *SMALL, "bridges=none"]) == 0
    out = capsys.readouterr().out
    assert "Bridges would help: bridges=matchings." in out
    words = ["bridges=none", "lattice.spread_hz=1", "lattice.initial_phases=aligned"]
    assert main(["forecast", *SMALL, *words]) == 0
    assert "Without bridges r is 0.99" in capsys.readouterr().out


OUTSIDE = [
    ("bridges.repulsive_share=1", "512 of 512 bridges repel"),
    ("bridges.directed=true", "512 of 512 bridges are directed"),
    ("lattice.phase_lag_rad=0.3", "lattice.phase_lag_rad is 0.3"),
    ("lattice.coupling_range=all", "lattice.coupling_range is all"),
    ("dynamics.diffusion_rad2_s=5", "dynamics.diffusion_rad2_s is 5"),
    ("dynamics=inertial", "dynamics.inertia_s is "),
]


@pytest.mark.parametrize(("word", "reason"), OUTSIDE)
def test_no_number_beyond_the_theory(word: str, reason: str, capsys: Capture) -> None:
    assert main(["forecast", *SMALL, word]) == 1
    out = capsys.readouterr().out
    assert f"No coherence is forecast: {reason}" in out
    assert "memory:" in out
    assert "no limit" not in out


def test_json_beyond_the_theory(capsys: Capture) -> None:
    words = ["bridges=procedural", "bridges.strength_rad_s=-3", "bridges.directed=true"]
    assert main(["forecast", "--json", *SMALL, *words]) == 1
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"memory", "record", "verdict"}
    assert "all bridges repel and all bridges are directed, but" in report["verdict"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["latice=chain"], "latice is not a configuration key"),
        (["bridges.per_node=0"], "bridges.per_node is 0; it must lie in [1, 64]."),
        (["lattice.shape=[8192,8192]"], "and at most 16,777,216 are taken"),
        (["bridges=file", "bridges.path=none.csv"], "no such file"),
        (["mesh=learned", "mesh.policy_path=none.json"], "no such file"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, capsys: Capture
) -> None:
    assert main(["forecast", *words]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


def test_reason_for_no_forecast_is_said_once(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["lattice.phase_lag_rad=0.3", "dynamics.duration_s=0.05", "backend=cpu"]
    assert main(["run", SMALL[0], *words]) == 0
    out = capsys.readouterr().out
    assert out.count("lattice.phase_lag_rad is 0.3") == 1
    assert "continuous: unknown: no forecast was made; controller.error_windows" in out


def test_closing_line_compares() -> None:
    entry = {
        "coherence": 0.914, "frequency_hz": 63.0, "outcome": 0.912,
        "difference": -0.002, "is_trusted": False, "reason": "they slip",
    }  # fmt: skip
    assert describe_forecast(entry) == (
        "r 0.914 expected at 63.0 Hz on average, 0.912 seen, difference -0.002 (not "
        "trusted: they slip)"
    )


def test_closing_line_prices_the_run() -> None:
    entry = {
        "continuous": 0.9731, "distance_to_continuous": 0.0659,
        "distance_stderr": 0.0022, "distance_source": "windows", "distance_reason": "",
    }  # fmt: skip
    assert describe_distance(entry) == (
        "r 0.973 with every bridge all the time, 0.0659 +- 0.0022 from this run "
        "(measured)"
    )
    theory = entry | {"distance_stderr": None, "distance_source": "forecast"}
    assert "0.0659 from this run (theory)" in describe_distance(theory)
    blurred = entry | {"distance_stderr": 0.07}
    assert describe_distance(blurred) == (
        "not told apart from this run: every bridge all the time would change r by "
        "0.0659 +- 0.0700 (measured)"
    )
    unknown = entry | {"distance_to_continuous": None, "distance_reason": "no bridges"}
    assert describe_distance(unknown) == "unknown: no bridges"

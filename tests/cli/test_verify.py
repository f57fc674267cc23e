"""`scribble verify`, around two real checks and two made-up ones."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from engine.verification import Check, Row, Verdict
from experiments.cli import main
from experiments.views.verdicts import print_verdict

Capture = pytest.CaptureFixture[str]
WRONG = Check(
    "wrong",
    "Nothing holds",
    "nowhere",
    lambda backend: [Row("r", 1.0, 2.0, 0.5), Row("gap [rad/s]", 1.0, 3.0, 0.5)],
)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.verification.CHECKS", (WRONG,))


def test_named_checks_hold(capsys: Capture) -> None:
    words = ["--only", "event-sum", "--only", "unwinding", "backend=reference"]
    assert main(["verify", *words]) == 0
    out = capsys.readouterr().out
    assert "reference on NumPy" in out
    assert "unwinding: More than L/4 turns over a ring unwind" in out
    assert "ok   share of phases that moved | exact 1 | measured 1" in out
    assert "All 2 checks hold on reference: 3 figures in" in out
    assert main(["verify", "--only", "unwinding", "backend=reference"]) == 0
    assert "The check holds on reference: " in capsys.readouterr().out


@pytest.mark.usefixtures("planted")
def test_a_miss_is_named_and_fails(capsys: Capture) -> None:
    assert main(["verify", "backend=reference"]) == 1
    out = capsys.readouterr().out
    assert "FAIL r | exact 1 | measured 2 | error 1.0e+00 | allowed 5.0e-01" in out
    last = out.splitlines()[-1]
    assert last == (
        "1 of 1 checks failed on reference: wrong (r is 2 instead of 1 and 1 more)."
    )


def test_what_cannot_be_measured_is_a_miss(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> tuple[Row, ...]:
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(Check, "measure", fail)
    assert main(["verify", "--only", "event-sum", "backend=cpu"]) == 1
    assert "not measurable (float division by zero)" in capsys.readouterr().out


@pytest.mark.usefixtures("planted")
def test_json_holds_every_figure(capsys: Capture) -> None:
    assert main(["verify", "--json", "backend=reference"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["backend"] == "reference"
    assert report["is_held"] is False
    (check,) = report["checks"]
    assert check["name"] == "wrong"
    assert [row["measured"] for row in check["rows"]] == [2.0, 3.0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lattice=chain"], "'lattice=chain' has no meaning here"),
        (["backend=gpu"], "backend is 'gpu'; choose one of: cpu"),
        (["backend.thread=1"], "backend.thread is not a configuration key"),
        (["--only", "mode-decai"], "--only is 'mode-decai'; choose one of: mode-decay"),
        (
            ["--only", "forecast", "backend=reference"],
            "is not measured on the back end",
        ),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, capsys: Capture
) -> None:
    assert main(["verify", *words]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize("width", [80, 140])
def test_table_fits_and_holds_every_figure(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False)
    long = Row("a quantity whose name is rather long [rad/s]", -1.23456e-4, -1e-9, 1e-3)
    rows = (Row("gap [rad/s]", 1.0, 3.0, 0.5), long)
    print_verdict(console, Verdict(WRONG, rows, 1.0))
    text = stream.getvalue()
    assert max(len(line) for line in text.splitlines()) <= min(width, 110)
    for fact in ("wrong", "Nothing holds", "nowhere", "FAIL", "gap [rad/s]",
                 "-0.00012346", "-1e-09", "1.0e-03"):  # fmt: skip
        assert fact in text


def test_unknown_option_is_answered_by_the_command_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", "--onl", "mode-decay"]) == 2
    err = capsys.readouterr().err
    assert err == (
        "scribble: error: unknown argument: --onl; did you mean --only? "
        "(see scribble verify --help)\n"
    )

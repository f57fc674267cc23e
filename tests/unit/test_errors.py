"""One family of errors, each also the built-in that callers would catch."""

from __future__ import annotations

import pytest

from engine import errors


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ConfigError, ValueError),
        (errors.ShapeError, ValueError),
        (errors.BackendUnavailableError, RuntimeError),
        (errors.ResourceError, MemoryError),
        (errors.DeviceError, RuntimeError),
        (errors.DeviceMemoryError, MemoryError),
        (errors.NumericalError, ArithmeticError),
        (errors.RecordError, OSError),
        (errors.ForecastError, ValueError),
        (errors.ClosedError, RuntimeError),
    ],
)
def test_family(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, errors.EngineError)
    assert issubclass(kind, builtin)
    assert str(kind("A sentence.")) == "A sentence."


def test_unknown_choice_names_the_nearest_first() -> None:
    error = errors.unknown_choice("lattice.kind", "sqare", ["chain", "bcc", "square"])
    assert isinstance(error, errors.ConfigError)
    assert str(error).startswith("lattice.kind is 'sqare'; choose one of: square, ")
    assert sorted(str(error).rstrip(".").partition("of: ")[2].split(", ")) == [
        "bcc", "chain", "square",
    ]  # fmt: skip


def test_unknown_choice_of_another_type() -> None:
    assert "is 3; choose one of: cpu." in str(errors.unknown_choice("k", 3, ["cpu"]))

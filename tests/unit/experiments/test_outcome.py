"""How a command ends when a signal comes at an awkward moment."""

from __future__ import annotations

import ctypes
import signal

import pytest

from engine.errors import ConfigError
from experiments import outcome

STOPPING = pytest.mark.parametrize(
    "kind", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
)


def lose_a_signal(kind: signal.Signals) -> None:
    """Let a signal come in a callback of C, which drops what its handler raises."""
    ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(kind))()


@STOPPING
def test_an_interrupt_that_compiled_code_loses_ends_the_command(
    kind: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(kind)

    def compile_kernels() -> int:
        lose_a_signal(kind)
        raise RuntimeError("no compiled object yet")

    assert outcome.close_command(compile_kernels) == outcome.INTERRUPTED
    assert capsys.readouterr().err == "scribble: interrupted.\n"
    assert signal.getsignal(kind) == before


@STOPPING
def test_it_ends_a_job_in_the_same_process_too(kind: signal.Signals) -> None:
    def run_job() -> int:
        with outcome.interrupt_on_signals():
            lose_a_signal(kind)
            raise RuntimeError("no compiled object yet")

    def sweep() -> int:
        with pytest.raises(KeyboardInterrupt):
            return run_job()
        return outcome.INTERRUPTED

    assert outcome.close_command(sweep) == outcome.INTERRUPTED


def test_other_errors_stay_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise RuntimeError("no signal came")

    def refuse() -> int:
        lose_a_signal(signal.SIGINT)
        raise ConfigError("seed is -1; it must be 0 or more.")

    assert outcome.close_command(fail) == outcome.FAILED
    assert "unexpected RuntimeError: no signal came" in capsys.readouterr().err
    assert outcome.close_command(refuse) == outcome.BAD_INPUT
    assert (
        capsys.readouterr().err
        == "scribble: error: seed is -1; it must be 0 or more.\n"
    )

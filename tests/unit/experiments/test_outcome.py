"""How a command ends when a signal comes at an awkward moment."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Iterator

import pytest

from engine.errors import ConfigError, RecordError, WriteError
from experiments import outcome

STOPPING = pytest.mark.parametrize(
    "kind", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP]
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
        raise ConfigError("seed is -1; it must be 0 or more.")

    assert outcome.close_command(fail) == outcome.FAILED
    assert "unexpected RuntimeError: no signal came" in capsys.readouterr().err
    assert outcome.close_command(refuse) == outcome.BAD_INPUT
    assert (
        capsys.readouterr().err
        == "scribble: error: seed is -1; it must be 0 or more.\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("defaults is not a configuration key."),
        RecordError("a store cannot be written (Interrupted system call)."),
        BrokenPipeError("the reader was stopped as well"),
    ],
)
@STOPPING
def test_an_error_made_of_a_stop_is_a_stop(
    error: Exception, kind: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    def compose() -> int:
        try:
            signal.raise_signal(kind)
        except KeyboardInterrupt:  # as a library does that catches everything
            raise error from None
        return outcome.DONE

    assert outcome.close_command(compose) == outcome.INTERRUPTED
    assert capsys.readouterr().err == "scribble: interrupted.\n"


def test_what_a_stopped_command_could_not_keep_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def keep() -> int:
        lose_a_signal(signal.SIGTERM)
        raise WriteError("summary.json cannot be written (No space left on device).")

    assert outcome.close_command(keep) == outcome.FAILED
    assert "summary.json cannot be written" in capsys.readouterr().err


@pytest.fixture
def restored() -> Iterator[None]:
    before = {kind: signal.getsignal(kind) for kind in outcome.STOPPING}
    yield
    for kind, handler in before.items():
        signal.signal(kind, handler)


@STOPPING
@pytest.mark.usefixtures("restored")
def test_an_ignored_signal_stays_ignored(kind: signal.Signals) -> None:
    signal.signal(kind, signal.SIG_IGN)

    def work() -> int:
        signal.raise_signal(kind)
        return outcome.DONE

    assert outcome.close_command(work) == outcome.DONE
    assert signal.getsignal(kind) == signal.SIG_IGN


def test_a_handler_of_c_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    set_kinds = []
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda kind, _: set_kinds.append(kind))
    assert outcome.close_command(lambda: outcome.DONE) == outcome.DONE
    assert set_kinds == []


@pytest.mark.usefixtures("restored")
def test_the_end_of_a_process_is_deaf(capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> int:
        signal.raise_signal(signal.SIGINT)
        return outcome.DONE

    assert outcome.close_command(stop, is_last=True) == outcome.INTERRUPTED
    for kind in outcome.STOPPING:
        signal.raise_signal(kind)
    assert capsys.readouterr().err == "scribble: interrupted.\n"


def test_a_full_disk_behind_a_stream_is_told_from_one_behind_a_file() -> None:
    stream = OSError(28, "No space left on device")
    assert outcome.describe_error(stream) == (
        "standard output cannot be written: [Errno 28] No space left on device; make "
        "room on the disk, or write elsewhere."
    )
    file = OSError(28, "No space left on device", "page.svg")
    assert outcome.describe_error(file).startswith("[Errno 28]")
    assert "'page.svg'" in outcome.describe_error(file)


@pytest.mark.parametrize("words", [["a", "b"], ["--threads", "x"], []])
def test_bad_options_are_one_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parser = outcome.SentenceParser(prog="tool")
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int)
    with pytest.raises(SystemExit) as end:
        parser.parse_args(words)
    assert end.value.code == outcome.BAD_INPUT
    err = capsys.readouterr().err
    assert err.startswith("scribble: error: ")
    assert err.endswith(" (see tool --help)\n")
    assert err.count("\n") == 1

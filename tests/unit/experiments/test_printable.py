"""Texts from files reach the terminal as texts, never as commands or markup."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from experiments.printable import (
    find_stream,
    guard_streams,
    outlive_output,
    to_printable,
)
from experiments.sweep.command import build_cells_table
from experiments.views.terminal import build_console, open_console

HOSTILE = "\x1b]0;title\x07\x1b[2J[red]a[/red]\r\x9b31m\u202eb\x00\ud800"
SHOWN = "?]0;title??[2J[red]a[/red]??31m?b??"


class Terminal(io.StringIO):
    """A stream that says it is a terminal, a wide one."""

    def isatty(self) -> bool:
        return True


def test_commands_are_replaced_and_text_is_left() -> None:
    assert to_printable(HOSTILE) == SHOWN
    text = "κ = 0.5\tü 漢字\n[red]"
    assert to_printable(text) == text


def test_streams_are_guarded_and_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with guard_streams(), guard_streams():
        sys.stdout.write(HOSTILE)
        sys.stderr.write(HOSTILE)
        sys.stdout.flush()
        assert find_stream() is before[0]
        assert not sys.stdout.isatty()
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == (SHOWN, SHOWN)


def test_console_keeps_its_own_styles_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    console = build_console(stream)
    console.print(HOSTILE, style="bold", soft_wrap=True)
    told = stream.getvalue()
    assert "[red]a[/red]" in told
    assert told.startswith("\x1b[1m")
    assert "\x1b[2J" not in told
    assert "\x1b]" not in told
    assert not set("\x07\r\x9b\u202e\x00\ud800") & set(told)


def test_tables_show_markup_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    stream = Terminal()
    heads = ["job", "status", "message [b]"]
    build_console(stream).print(build_cells_table(heads, [["0", "failed", HOSTILE]]))
    told = stream.getvalue()
    assert "[red]a[/red]" in told
    assert "message [b]" in told
    assert "\x1b[2J" not in told


def test_log_lines_are_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.logging import RichHandler

    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    console = open_console(to_stderr=True)
    handler = RichHandler(console=console, show_time=False, show_path=False)
    record = logging.LogRecord("a", 30, "a", 1, "%s", (HOSTILE,), None)
    handler.handle(record)
    assert "\x1b[2J" not in stream.getvalue()
    assert "[red]a[/red]" in re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue())


def test_missing_streams_are_the_null_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with guard_streams():
        for stream, is_trouble in ((sys.stdout, False), (sys.stderr, True)):
            assert stream.write(HOSTILE) == len(HOSTILE)
            stream.flush()
            assert not open_console(to_stderr=is_trouble).file.isatty()
    assert (sys.stdout, sys.stderr) == (None, None)


@pytest.fixture
def deserted() -> Iterator[TextIO]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", encoding="utf-8")
    yield stream
    with suppress(BrokenPipeError):
        stream.close()


def test_work_outlives_its_reader(
    deserted: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", deserted)
    done = []
    with pytest.raises(BrokenPipeError), outlive_output():
        for job in range(3):
            sys.stdout.write(f"job {job}\n")
            sys.stdout.flush()
            open_console().print(job)
            done.append(job)
    assert done == [0, 1, 2]
    assert sys.stdout is deserted


def test_work_with_a_reader_ends_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    with outlive_output():
        sys.stdout.write(HOSTILE)
        assert not sys.stdout.isatty()
    assert capsys.readouterr().out == SHOWN


def test_console_leaves_a_reader_that_has_gone_to_the_command(
    deserted: TextIO,
) -> None:
    with pytest.raises(BrokenPipeError):
        build_console(deserted).print("told")


@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
def test_no_size_is_an_unknown_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0")
    stream = io.StringIO()
    console = build_console(stream)
    console.print("told")
    assert stream.getvalue() == "told\n"
    assert console.width > 0
    assert console.height > 0

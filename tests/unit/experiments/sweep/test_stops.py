"""Requests to stop are noted, whatever a process is just doing, and never raised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from signal import SIGINT, SIGTERM, SIGUSR1

import pytest

from experiments import outcome
from experiments.sweep.stops import (
    Stops,
    collect_stops,
    spare_children_the_warning,
)

FOREVER_S = 3600.0


@pytest.mark.parametrize(
    ("kinds", "is_urgent"),
    [
        ([SIGTERM], False),
        ([SIGUSR1], False),
        ([SIGINT], False),
        # To the whole tree of processes, and then from the parent.
        ([SIGTERM, SIGTERM], False),
        ([SIGUSR1, SIGTERM], False),
        ([SIGINT, SIGTERM], False),
        ([SIGINT, SIGINT], True),
        ([SIGTERM, SIGINT, SIGINT], True),
    ],
)
def test_only_a_second_interrupt_is_more_than_a_request(
    kinds: list[signal.Signals], is_urgent: bool
) -> None:
    with collect_stops() as stops:
        assert not stops.is_asked
        for kind in kinds:
            signal.raise_signal(kind)
        assert stops.is_asked
        assert stops.is_urgent == is_urgent


def test_a_signal_ends_the_wait() -> None:
    with collect_stops() as stops:
        signal.raise_signal(SIGTERM)
        assert stops.wait(FOREVER_S) == []


def test_what_can_be_read_ends_the_wait() -> None:
    with collect_stops() as stops:
        receiver, sender = os.pipe()
        os.close(sender)
        assert stops.wait(FOREVER_S, receiver) == [receiver]
        os.close(receiver)


def test_any_number_of_signals_is_taken() -> None:
    """The pipe that wakes a waiting process holds 65536 of them."""
    with collect_stops() as stops:
        for _ in range(70_000):
            signal.raise_signal(SIGUSR1)
        assert stops.wait(FOREVER_S) == []
        assert not stops.is_urgent


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(kind) for kind in outcome.STOPPING]
    with outcome.interrupt_on_signals():
        with collect_stops():
            assert isinstance(signal.getsignal(SIGTERM), Stops)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(SIGTERM)
    assert [signal.getsignal(kind) for kind in outcome.STOPPING] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_an_inner_block_hears_what_came_before() -> None:
    with collect_stops() as outer:
        signal.raise_signal(SIGTERM)
        with collect_stops() as inner:
            assert inner is outer
    assert outer.is_asked


def test_handlers_of_others_stay() -> None:
    before = signal.signal(SIGUSR1, signal.SIG_IGN)
    try:
        with collect_stops() as stops:
            signal.raise_signal(SIGUSR1)
            assert not stops.is_asked
    finally:
        signal.signal(SIGUSR1, before)


def test_no_signal_is_heard_outside_the_main_thread() -> None:
    heard: list[bool] = []

    def look() -> None:
        with collect_stops() as stops:
            heard.append(stops.is_asked)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert heard == [False]


def test_the_warning_of_slurm_spares_what_a_launcher_starts() -> None:
    command = [sys.executable, "-c", "input()"]
    with collect_stops() as stops:
        with spare_children_the_warning():
            process = subprocess.Popen(command, stdin=subprocess.PIPE)
            signal.raise_signal(SIGUSR1)
            assert not stops.is_asked
        assert stops.is_asked
        process.send_signal(SIGUSR1)
        process.communicate(b"\n")
        assert process.returncode == 0


def test_a_job_hears_the_warning_that_its_launcher_was_spared() -> None:
    code = (
        "import signal; from experiments.sweep.stops import hear_the_warning;"
        "signal.signal(signal.SIGUSR1, lambda kind, frame: print('heard'));"
        "signal.raise_signal(signal.SIGUSR1); print('spared');"
        "hear_the_warning()"
    )
    with spare_children_the_warning():
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stdout) == (0, "spared\nheard\n"), done.stderr
